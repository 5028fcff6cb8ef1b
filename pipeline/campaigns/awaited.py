"""Who waits for a mail that is not on the route yet, as it is stored: in campaigns, on their lists, and beside them.

Reads for the forecast what `picking.prepare` and `picking.pick` would find, without writing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from models import (
    Campaign,
    Contact,
    Delivery,
    EmailTemplate,
    Enrolment,
    EnrolmentState,
    State,
    Step,
    WhenAccountIsOff,
)
from models.delivery import in_states
from models.states import NOT_CLAIMED
from pipeline.campaigns import audience, picking
from pipeline.campaigns.due import due_of
from pipeline.flow import chunks
from pipeline.rules import contact as contact_rules
from pipeline.rules.eligible import eligible
from pipeline.runtime.settings import settings
from pipeline.throttle.types import Campaign as KnownCampaign
from pipeline.throttle.window import SendingWindow

#: Ids of deliveries and enrolments that are not made yet begin here: behind all that are.
NOT_MADE = 2**40
#: Rows looked up at a time.
BATCH = 500


@dataclass(frozen=True)
class Expected:
    """Somebody who waits for a mail that is not on the route yet. Without a campaign: a contact that is picked beside
    them.
    """

    contact_id: int
    address: str
    website: int | None
    zone: str
    priority: int
    campaign_id: int | None = None
    enrolment_id: int = 0
    position: int = 0
    sender: int | None = None
    due_at: dt.datetime | None = None


def firsts(
    campaign: Campaign, now: dt.datetime, most: int, lets_in: Callable[[Sequence[Expected]], int]
) -> Iterator[Expected]:
    """Yield who waits for a campaign's first mail, the best first, until `most` of them may be written to now: of how
    many of some that is true, `lets_in` tells.
    """
    for page in picking.waiting_for_first(campaign, most):
        found = list(_may_get_first(campaign, page, now))
        yield from found
        most -= lets_in(found)
        if most <= 0:
            break


def newcomers(campaigns: Sequence[Campaign], now: dt.datetime) -> Iterator[Expected]:
    """Yield who is going to be enrolled from the lists of these campaigns, in that order."""
    for campaign, waits in _numbered(audience.newcomers(campaigns)):
        for page in chunks(waits, BATCH):
            yield from _may_get_first(campaign, page, now)


def kept_out(campaigns: Sequence[Campaign], now: dt.datetime) -> Iterator[Expected]:
    """Yield who is on the lists of these campaigns, and comes in when another's sequence has ended."""
    for campaign, contacts in audience.waiting_elsewhere(campaigns):
        for page in chunks([(0, contact.id, contact.priority) for contact in contacts], BATCH):
            yield from _may_get_first(campaign, page, now)


def _numbered(found: Iterable[tuple[Campaign, Contact]]) -> Iterator[tuple[Campaign, list[picking.Waits]]]:
    """Yield for each campaign who comes into it, with the ids that the enrolments get."""
    of_campaign: dict[int, tuple[Campaign, list[picking.Waits]]] = {}
    for number, (campaign, contact) in enumerate(found, NOT_MADE):
        of_campaign.setdefault(campaign.id, (campaign, []))[1].append((number, contact.id, contact.priority))
    yield from of_campaign.values()


def _may_get_first(campaign: Campaign, page: Sequence[picking.Waits], now: dt.datetime) -> Iterator[Expected]:
    """Yield those of a page whom the rules about contacts let in; whether others keep them back changes in time."""
    for one in picking.let_in(page, contact_rules.conditions(now), now):
        who = one.contact
        zone = who.timezone or ""
        yield Expected(
            who.id, who.address, who.website_id, zone, one.priority, campaign.id, one.enrolment_id, position=1
        )


def follow_ups(
    campaigns: Sequence[Campaign], known: Mapping[int, KnownCampaign], window: SendingWindow, now: dt.datetime
) -> Iterator[Expected]:
    """Yield whose next step waits for its time; of an account that is off, what its campaign says."""
    for campaign in campaigns:
        left = picking.is_left(known[campaign.id])
        rows = list(
            Enrolment.select(Enrolment, Step, left.alias("is_left"))
            .join(Step, on=(Step.campaign == Enrolment.campaign) & (Step.position == Enrolment.position), attr="step")
            .where((Enrolment.campaign == campaign.id) & picking.WAITS & (Enrolment.position > 1))
            .order_by(Enrolment.id)
        )
        for some in chunks(rows, BATCH):
            contacts = picking.may_be_written_to([row.contact_id for row in some], now)
            for row in some:
                contact, is_left = contacts.get(row.contact_id), row.account_id is not None and row.is_left
                if contact is None or (is_left and campaign.when_account_is_off == WhenAccountIsOff.STOP):
                    continue
                is_other = is_left and campaign.when_account_is_off == WhenAccountIsOff.OTHER
                due = due_of(row, row.step, window)
                yield _of(row, contact, row.position, None if is_other else row.account_id, due)


def on_route() -> Iterator[tuple[int, Expected]]:
    """Yield the enrolments for which something is on its way, by its delivery."""
    on_its_way = in_states(*NOT_CLAIMED, State.SENDING, column=Delivery.state)
    query = (
        Enrolment.select(Enrolment, Contact)
        .join(Contact)
        .switch(Enrolment)
        .join(Delivery, on=(Delivery.id == Enrolment.delivery_id))
        .where((Enrolment.state == EnrolmentState.ACTIVE) & on_its_way)
    )
    for row in query:
        yield row.delivery_id, _of(row, row.contact, row.position, row.account_id, None)


def _of(row: Enrolment, contact: Contact, position: int, sender: int | None, due: dt.datetime | None) -> Expected:
    return Expected(
        contact.id,
        contact.address,
        contact.website_id,
        contact.timezone or "",
        contact.priority,
        row.campaign_id,
        row.id,
        position,
        sender,
        due,
    )


def contacts(template: EmailTemplate | None, most: int) -> Iterator[Expected]:
    """Yield contacts that are picked beside the campaigns, the best first."""
    if template is None:
        return
    ids = eligible(template, most, settings().mail_publish_min_priority)
    found = {c.id: c for some in chunks(ids, BATCH) for c in Contact.select().where(Contact.id.in_(some))}
    for contact_id in ids:
        c = found[contact_id]
        yield Expected(c.id, c.address, c.website_id, c.timezone or "", c.priority)
