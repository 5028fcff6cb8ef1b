"""How everything stands at this moment: window, accounts, deliveries, queues. Reads only.

Queue depths are known to the broker alone, and are passed in.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from peewee import fn

from models import (
    Campaign,
    CampaignState,
    Delivery,
    EmailTemplate,
    Enrolment,
    EnrolmentState,
    SmtpAccount,
    State,
    database,
)
from models.control import control
from models.delivery import in_states
from pipeline.accounts import bounces
from pipeline.accounts.health import health_of
from pipeline.capacity import usage
from pipeline.reports.account_states import (
    AccountState,
    BounceStatus,
    Limited,
    bounces_of,
    limited,
    note,
    state_of,
    why_limit,
)
from pipeline.reports.mailboxes import MailboxStatus, mailbox_status
from pipeline.reports.reasons import reasons_of
from pipeline.reports.running import Running, database_in_use, running
from pipeline.reports.window import WindowStatus, in_a_sentence, window_status
from pipeline.runtime.settings import settings
from pipeline.throttle.limits import is_resting
from pipeline.throttle.window import SendingWindow


@dataclass(frozen=True)
class HealthStatus:
    """How an account has done: its last attempts since it was switched on, as far as they tell something about it.

    Attributes:
        accepted: how many of them were accepted.
        attempts: how many there were: accepted, or charged to the account, the content or the recipient's site.
        rate: accepted / attempts, 0 to 1; null before the first.
    """

    accepted: int
    attempts: int
    rate: float | None


@dataclass(frozen=True)
class AccountStatus:
    """An account.

    Attributes:
        id: the account.
        name: what you call it.
        state: whether it sends.
        used: how many mails of today's limit are used up.
        limit: mails that it may send today.
        limit_because: why so many.
        health: how it has done.
        next_slot: when it sends next (UTC).
        note: why it is off, paused, rests, or may send less than its own limit.
        resting_until: until when it rests (UTC); null: it doesn't.
        rests_after: the failure after which it rests.
        limited: what its provider has lowered its limit to; null: nothing.
        bounces: how many of its last mails bounced.
        mailbox: how its mailbox is read; null: it has none, and bounces that come by mail are unseen.
    """

    id: int
    name: str
    state: AccountState
    used: int
    limit: int
    limit_because: str
    health: HealthStatus
    next_slot: dt.datetime | None
    note: str | None
    resting_until: dt.datetime | None
    rests_after: str | None
    limited: Limited | None
    bounces: BounceStatus
    mailbox: MailboxStatus | None


@dataclass(frozen=True)
class TemplateStatus:
    """A template.

    Attributes:
        id: the template.
        name: what you call it.
        active: whether it can be picked where nobody names a template.
        paused: whether it is paused.
        bounces: how many of the last mails with it bounced.
        note: why the program has paused it.
    """

    id: int
    name: str
    active: bool
    paused: bool
    bounces: BounceStatus
    note: str | None


@dataclass(frozen=True)
class CampaignStatus:
    """A campaign that has been started and is not done.

    Attributes:
        id: the campaign.
        name: what you call it.
        state: whether it runs or is paused.
        active: contacts whose sequence goes on.
        bounces: how many of its last mails bounced.
        note: why the program has paused it.
    """

    id: int
    name: str
    state: CampaignState
    active: int
    bounces: BounceStatus
    note: str | None


@dataclass(frozen=True)
class DeliveryCount:
    """How many deliveries are in one state for one reason.

    Attributes:
        state: where they stand.
        reason: why; several are joined by a comma.
        reasons: the same as a list.
        count: how many there are.
    """

    state: State
    reason: str | None
    reasons: tuple[str, ...]
    count: int


@dataclass(frozen=True)
class QueueDepth:
    """A queue of RabbitMQ.

    Attributes:
        queue: its name.
        messages: how many are ready in it.
    """

    queue: str
    messages: int


@dataclass(frozen=True)
class Status:
    """How everything stands.

    Attributes:
        database: the database that says so: its URL without password and options.
        running: who works, and what is wrong with the running of the program.
        summary: window and pause in a sentence.
        paused: whether everything is paused.
        window: the window in which mails are sent.
        accounts: all that have not been removed, by id.
        templates: all of them, by id.
        campaigns: those that run or are paused, by id.
        deliveries: how many there are of each state and reason, in the order of the route.
        put_back_by_the_sweep: deliveries that the sweep has had to put back on the route.
        queues: RabbitMQ's queues; none with `memory://`, or while it is away.
    """

    database: str
    running: Running
    summary: str
    paused: bool
    window: WindowStatus
    accounts: tuple[AccountStatus, ...]
    templates: tuple[TemplateStatus, ...]
    campaigns: tuple[CampaignStatus, ...]
    deliveries: tuple[DeliveryCount, ...]
    put_back_by_the_sweep: int
    queues: tuple[QueueDepth, ...]


def status(queues: Mapping[str, int], broker_away: str | None = None) -> Status:
    """Return how everything stands.

    Args:
        queues: name → messages that are ready in it.
        broker_away: why RabbitMQ can't be reached; None: it can, or there is none.
    """
    now = database.now()
    window = SendingWindow.from_settings(settings())
    paused = control().paused_at is not None
    return Status(
        database=database_in_use(),
        running=running(broker_away),
        summary=in_a_sentence(window, now, paused=paused),
        paused=paused,
        window=window_status(window, now),
        accounts=accounts(),
        templates=_templates(),
        campaigns=_campaigns(),
        deliveries=_deliveries(),
        put_back_by_the_sweep=Delivery.select().where(Delivery.nudged_at.is_null(False)).count(),
        queues=tuple(QueueDepth(name, number) for name, number in queues.items()),
    )


def accounts(account_ids: Collection[int] | None = None) -> tuple[AccountStatus, ...]:
    """Return how the accounts stand, by id: all that have not been removed, or these of them."""
    now, window = database.now(), SendingWindow.from_settings(settings())
    there = SmtpAccount.removed_at.is_null()
    which = there if account_ids is None else there & SmtpAccount.id.in_(list(account_ids))
    day, slots = window.local_date(now), _next_slots()
    rows = []
    for account in SmtpAccount.select().where(which).order_by(SmtpAccount.id):
        health = health_of(account)
        rests = is_resting(account.cooling_until, now)
        rows.append(
            AccountStatus(
                id=account.id,
                name=account.name,
                state=state_of(account, now),
                used=usage.used_on(account.id, day),
                limit=usage.limit_of(account, day),
                limit_because=why_limit(account, day),
                health=HealthStatus(health.accepted, health.attempts, health.rate),
                next_slot=slots.get(account.id),
                note=note(account, now, window.zone),
                resting_until=account.cooling_until if rests else None,
                rests_after=account.rests_after if rests else None,
                limited=limited(account, day),
                bounces=bounces_of(account),
                mailbox=mailbox_status(account),
            )
        )
    return tuple(rows)


def _next_slots() -> dict[int, dt.datetime | None]:
    """Return when each account sends next, of those that have a slot."""
    slots = Delivery.select(Delivery.account, fn.MIN(Delivery.send_at)).where(in_states(State.RESERVED))
    return {i: Delivery.send_at.python_value(at) for i, at in slots.group_by(Delivery.account).tuples()}


def _templates() -> tuple[TemplateStatus, ...]:
    return tuple(
        TemplateStatus(
            id=template.id,
            name=template.name,
            active=template.active,
            paused=template.paused_at is not None,
            bounces=BounceStatus.of(bounces.of_template(template)),
            note=template.paused_after,
        )
        for template in EmailTemplate.select().order_by(EmailTemplate.id)
    )


def _campaigns() -> tuple[CampaignStatus, ...]:
    started = Campaign.state.in_([CampaignState.RUNNING, CampaignState.PAUSED])
    active = Enrolment.state == EnrolmentState.ACTIVE
    counted = Enrolment.select(Enrolment.campaign, fn.COUNT(Enrolment.id)).where(active).group_by(Enrolment.campaign)
    number = dict(counted.tuples())
    return tuple(
        CampaignStatus(
            id=campaign.id,
            name=campaign.name,
            state=CampaignState(campaign.state),
            active=number.get(campaign.id, 0),
            bounces=BounceStatus.of(bounces.of_campaign(campaign)),
            note=campaign.paused_after,
        )
        for campaign in Campaign.select().where(started).order_by(Campaign.id)
    )


def _deliveries() -> tuple[DeliveryCount, ...]:
    query = Delivery.select(Delivery.state, Delivery.reason, fn.COUNT(Delivery.id)).group_by(
        Delivery.state, Delivery.reason
    )
    order = {state: number for number, state in enumerate(State)}
    rows = sorted(query.tuples(), key=lambda row: (order[State(row[0])], row[1] or ""))
    return tuple(DeliveryCount(State(state), reason, reasons_of(reason), count) for state, reason, count in rows)
