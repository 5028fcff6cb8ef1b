"""The campaigns, and one with its parts and figures. Reads only, and counts through indexes."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import SQL, fn

from models import (
    Campaign,
    CampaignList,
    CampaignSender,
    CampaignState,
    ContactList,
    Delivery,
    EmailTemplate,
    Enrolment,
    EnrolmentState,
    SmtpAccount,
    State,
    Step,
    Variant,
    WhenAccountIsOff,
    lookup,
)
from models.delivery import in_states
from pipeline.accounts import bounces
from pipeline.campaigns import readiness
from pipeline.reports.account_states import BounceStatus


@dataclass(frozen=True)
class CampaignRow:
    """A campaign.

    Attributes:
        id: the campaign.
        name: what you call it.
        state: where it stands.
        enrolled: contacts that have ever been put into it.
        active: those of them whose sequence goes on.
        ended: how many have ended, by how: finished, replied, bounced, unsubscribed, suppressed, failed, forgotten,
            stopped.
        sent: mails of it that were sent.
        waiting: contacts that wait for their first mail, or have it on its way.
        next_due_at: when the next follow-up is due (UTC); null: none waits whose time is known.
        daily_limit: mails a day at most; null: no limit of its own.
        starts_on: its first date; null: none.
        ends_on: its last date; null: none.
    """

    id: int
    name: str
    state: CampaignState
    enrolled: int
    active: int
    ended: Mapping[str, int]
    sent: int
    waiting: int
    next_due_at: dt.datetime | None
    daily_limit: int | None
    starts_on: dt.date | None
    ends_on: dt.date | None


@dataclass(frozen=True)
class ListOfCampaign:
    """A list that a campaign has.

    Attributes:
        id: the list.
        name: what you call it.
    """

    id: int
    name: str


@dataclass(frozen=True)
class SenderOfCampaign:
    """An account that sends a campaign.

    Attributes:
        id: the account.
        name: what you call it.
        enabled: whether it is switched on.
    """

    id: int
    name: str
    enabled: bool


@dataclass(frozen=True)
class VariantRow:
    """A template that a step may be sent with.

    Attributes:
        template_id: the template.
        name: what you call it.
        weight: how often it is chosen beside the others.
    """

    template_id: int
    name: str
    weight: int


@dataclass(frozen=True)
class StepRow:
    """A step of a campaign.

    Attributes:
        step: which one, from 1.
        days: how long after the one before; 0 of the first.
        working_days: whether only dates on which the window opens count.
        quotes: whether the mails before stand below its own words.
        variants: what is written.
        active: contacts for whom it is next.
        sent: mails of it that were sent.
    """

    step: int
    days: int
    working_days: bool
    quotes: bool
    variants: tuple[VariantRow, ...]
    active: int
    sent: int


@dataclass(frozen=True)
class CampaignDetails(CampaignRow):
    """A campaign with its parts.

    Attributes:
        hours: its own hours, inside the window's; empty: the window's.
        weight: its share of accounts that others want, too.
        shares_contacts: whether its contacts may be in other campaigns' sequences.
        stops_website: whether a reply ends it for all contacts of the website.
        when_account_is_off: what becomes of the next step when the account that has written is off for good.
        reply_prefix: whether follow-ups begin with "Re: ".
        no_footer_because: why its mails may go without unsubscribe or postal address.
        lists: those whose contacts it is for.
        without: those whose contacts it is not for.
        account_ids: accounts that are named.
        tags: tags that are named.
        senders: all accounts that send it, by their ids or their tags.
        steps: what is sent, in its order.
        paused_after: why the program has paused it.
        bounces: how many of its last mails bounced.
        created_at: when it was made (UTC).
        started_at: when it was started (UTC).
        ended_at: when it was stopped, or its last date was over (UTC).
        problems: what keeps it from running, in sentences.
    """

    hours: str
    weight: int
    shares_contacts: bool
    stops_website: bool
    when_account_is_off: WhenAccountIsOff
    reply_prefix: bool
    no_footer_because: str | None
    lists: tuple[ListOfCampaign, ...]
    without: tuple[ListOfCampaign, ...]
    account_ids: tuple[int, ...]
    tags: tuple[str, ...]
    senders: tuple[SenderOfCampaign, ...]
    steps: tuple[StepRow, ...]
    paused_after: str | None
    bounces: BounceStatus
    created_at: dt.datetime
    started_at: dt.datetime | None
    ended_at: dt.datetime | None
    problems: tuple[str, ...]


#: Columns that are shown as they are.
_AS_IT_IS = (
    "hours", "weight", "shares_contacts", "stops_website", "reply_prefix", "no_footer_because", "paused_after",
    "created_at", "started_at", "ended_at",
)  # fmt: skip


def campaigns() -> list[CampaignRow]:
    """Return all campaigns, by id."""
    there = list(Campaign.select().order_by(Campaign.id))
    figures = _Figures([campaign.id for campaign in there])
    return [CampaignRow(**figures.row(campaign)) for campaign in there]


def campaign(named: str) -> CampaignDetails:
    """Return one campaign, by its name or id. Raises NotThereError."""
    found = lookup.campaign(named)
    figures = _Figures([found.id])
    senders = list(CampaignSender.select().where(CampaignSender.campaign == found.id))
    return CampaignDetails(
        **figures.row(found),
        **{name: getattr(found, name) for name in _AS_IT_IS},
        when_account_is_off=WhenAccountIsOff(found.when_account_is_off),
        lists=_lists(found, excluded=False),
        without=_lists(found, excluded=True),
        account_ids=tuple(sorted(s.account_id for s in senders if s.account_id is not None)),
        tags=tuple(sorted(s.tag for s in senders if s.tag is not None)),
        senders=_senders(found),
        steps=figures.steps(found.id),
        bounces=BounceStatus.of(bounces.of_campaign(found)),
        problems=() if found.state == CampaignState.DONE else tuple(readiness.problems(found)),
    )


class _Figures:
    """What is counted for some campaigns, in three statements."""

    def __init__(self, campaign_ids: Sequence[int]) -> None:
        of = Enrolment.campaign.in_(list(campaign_ids))
        stands = (Enrolment.campaign, Enrolment.state, Enrolment.position)
        counted = Enrolment.select(*stands, fn.COUNT(SQL("*"))).where(of).group_by(*stands)
        self._stands: dict[int, list[tuple[str, int, int]]] = defaultdict(list)
        for campaign_id, state, position, number in counted.tuples():
            self._stands[campaign_id].append((state, position, number))
        by_step = (Delivery.campaign, Delivery.position)
        is_sent = Delivery.campaign.in_(list(campaign_ids)) & in_states(State.SENT)
        sent = Delivery.select(*by_step, fn.COUNT(SQL("*"))).where(is_sent).group_by(*by_step)
        self._sent: dict[int, dict[int, int]] = defaultdict(dict)
        for campaign_id, position, number in sent.tuples():
            self._sent[campaign_id][position] = number
        waits = SQL("state = 'active' AND delivery_id IS NULL AND position > 1")
        due = Enrolment.select(fn.MIN(Enrolment.due_at)).where((Enrolment.campaign == Campaign.id) & waits)
        first = Campaign.select(Campaign.id, due).where(Campaign.id.in_(list(campaign_ids)))
        self._due = {i: Enrolment.due_at.python_value(at) for i, at in first.tuples()}

    def row(self, campaign: Campaign) -> dict[str, Any]:
        """Return the fields of a campaign's row."""
        ended: dict[str, int] = {}
        for state, _, number in self._stands[campaign.id]:
            if state != EnrolmentState.ACTIVE:
                ended[state] = ended.get(state, 0) + number
        active = self._active(campaign.id)
        return {
            "id": campaign.id,
            "name": campaign.name,
            "state": CampaignState(campaign.state),
            "enrolled": sum(active.values()) + sum(ended.values()),
            "active": sum(active.values()),
            "ended": dict(sorted(ended.items())),
            "sent": sum(self._sent[campaign.id].values()),
            "waiting": active.get(1, 0),
            "next_due_at": self._due[campaign.id],
            "daily_limit": campaign.daily_limit,
            "starts_on": campaign.starts_on,
            "ends_on": campaign.ends_on,
        }

    def steps(self, campaign_id: int) -> tuple[StepRow, ...]:
        """Return a campaign's steps."""
        variants: dict[int, list[VariantRow]] = defaultdict(list)
        query = (
            Variant.select(Variant.step, EmailTemplate.id, EmailTemplate.name, Variant.weight)
            .join(EmailTemplate)
            .switch(Variant)
            .join(Step)
            .where(Step.campaign == campaign_id)
            .order_by(EmailTemplate.id)
        )
        for step_id, *variant in query.tuples():
            variants[step_id].append(VariantRow(*variant))
        active, sent = self._active(campaign_id), self._sent[campaign_id]
        return tuple(
            StepRow(
                step.position, step.days, step.working_days, step.quotes, tuple(variants[step.id]),
                active.get(step.position, 0), sent.get(step.position, 0),
            )
            for step in Step.select().where(Step.campaign == campaign_id).order_by(Step.position)
        )  # fmt: skip

    def _active(self, campaign_id: int) -> dict[int, int]:
        """Return for how many each step is next."""
        return {position: n for state, position, n in self._stands[campaign_id] if state == EnrolmentState.ACTIVE}


def _lists(campaign: Campaign, *, excluded: bool) -> tuple[ListOfCampaign, ...]:
    its = (CampaignList.campaign == campaign.id) & (CampaignList.excluded == excluded)
    query = ContactList.select(ContactList.id, ContactList.name).join(CampaignList).where(its).order_by(ContactList.key)
    return tuple(ListOfCampaign(*row) for row in query.tuples())


def _senders(campaign: Campaign) -> tuple[SenderOfCampaign, ...]:
    columns = (SmtpAccount.id, SmtpAccount.name, SmtpAccount.enabled)
    query = SmtpAccount.select(*columns).where(readiness.sends(campaign)).order_by(SmtpAccount.id)
    return tuple(SenderOfCampaign(*row) for row in query.tuples())
