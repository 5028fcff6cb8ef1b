"""How everything stands at this moment: window, accounts, deliveries, queues. Reads only.

Queue depths are known to the broker alone, and are passed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from peewee import fn

from models import (
    Campaign,
    CampaignState,
    Delivery,
    EmailTemplate,
    Enrolment,
    EnrolmentState,
    State,
    database,
)
from models.control import control
from pipeline.accounts import bounces
from pipeline.reports.account_states import BounceStatus
from pipeline.reports.account_status import AccountStatus, accounts
from pipeline.reports.reasons import reasons_of
from pipeline.reports.running import Running, database_in_use, running
from pipeline.reports.window import WindowStatus, in_a_sentence, window_status
from pipeline.runtime.settings import settings
from pipeline.throttle.window import SendingWindow


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
    by = (Delivery.state, Delivery.reason)
    query = Delivery.select(*by, fn.COUNT(Delivery.id)).group_by(*by)
    order = {state: number for number, state in enumerate(State)}
    rows = sorted(query.tuples(), key=lambda row: (order[State(row[0])], row[1] or ""))
    return tuple(DeliveryCount(State(state), reason, reasons_of(reason), count) for state, reason, count in rows)
