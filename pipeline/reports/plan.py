"""The plan: who is going to be mailed when and from which account, if nothing changes. Sends nothing, writes nothing.

Reads: accounts, slots, backlog and campaigns as they stand, and asks the forecast. What is still in the first stages
counts as ready, though it can still be skipped; so does what the batch publisher is going to pick.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

from models import Campaign, CampaignState, Delivery, SmtpAccount, State, database
from models.control import control
from models.delivery import in_states, of_ids
from pipeline.campaigns.awaited import NOT_MADE
from pipeline.campaigns.expected import ExpectedPublisher
from pipeline.capacity import statement
from pipeline.reports import account_states, foreseen
from pipeline.reports.closed import ClosedDate, closed_dates
from pipeline.reports.ends import LOOKS_AHEAD, End, Watch
from pipeline.runtime.settings import settings
from pipeline.throttle.forecast import Forecast, Planned
from pipeline.throttle.window import SendingWindow

#: Rows looked up at a time.
BATCH = 500


@dataclass(frozen=True)
class PlannedRow:
    """A mail that is going to be sent, if nothing changes.

    Attributes:
        send_at: when (UTC).
        delivery_id: the delivery; null for what the batch publisher is going to pick.
        contact_id: to whom.
        template_id: what is written.
        campaign_id: the campaign; null for a plain mail.
        enrolment_id: the contact's enrolment there; null before the batch publisher has enrolled it.
        position: the step, from 1.
        account_id: from which account.
        account: the account's name.
        priority: 0 to 9, higher first.
        state: where the delivery stands now; null for what is going to be picked.
    """

    send_at: dt.datetime
    delivery_id: int | None
    contact_id: int
    template_id: int
    campaign_id: int | None
    enrolment_id: int | None
    position: int | None
    account_id: int
    account: str
    priority: int
    state: State | None


@dataclass(frozen=True)
class AccountNote:
    """Why an account sends nothing for now, or less than it could.

    Attributes:
        account_id: the account.
        account: its name.
        note: why it is off, paused, rests, or may send less than its own limit.
    """

    account_id: int
    account: str
    note: str


@dataclass(frozen=True)
class OfCampaign:
    """How many mails of a campaign go on a date.

    Attributes:
        campaign_id: the campaign.
        mails: how many.
    """

    campaign_id: int
    mails: int


@dataclass(frozen=True)
class PlannedDay:
    """How many mails go on a date.

    Attributes:
        date: the date, in the window's zone.
        mails: how many in all.
        plain: how many of them are of no campaign.
        campaigns: how many are of each campaign, in the order of their ids.
    """

    date: dt.date
    mails: int
    plain: int
    campaigns: tuple[OfCampaign, ...]


@dataclass(frozen=True)
class PlannedCampaign:
    """A running campaign.

    Attributes:
        id: the campaign.
        name: what you call it.
        mails: how many of its mails are in the plan.
        end: when its last mail is expected: in the plan, or after it.
    """

    id: int
    name: str
    mails: int
    end: End


@dataclass(frozen=True)
class Plan:
    """Who is going to be mailed when and from which account, if nothing changes.

    Attributes:
        until: how far the plan goes (UTC).
        planned: the mails, soonest first.
        days: how many of them go on each date on which any goes.
        campaigns: the running campaigns, by id.
        paused: deliveries that wait and are not in the plan because they are paused.
        notes: accounts that send nothing for now, or less than they could.
        closed: dates in it on which nothing goes out.
    """

    until: dt.datetime
    planned: tuple[PlannedRow, ...]
    days: tuple[PlannedDay, ...]
    campaigns: tuple[PlannedCampaign, ...]
    paused: int
    notes: tuple[AccountNote, ...]
    closed: tuple[ClosedDate, ...]


#: Is told how many seconds the forecast has come to, and of how many.
Progress = Callable[[float, float], object]


def plan(days: int, progress: Progress = lambda _seconds, _of: None) -> Plan:
    """Return the plan.

    Args:
        days: how far ahead, 24 hours each.
        progress: is told how far the plan has come; then, where a campaign goes on longer, how far its end has been
            looked for.
    """
    now = database.now()
    until = now + dt.timedelta(days=days)
    window = SendingWindow.from_settings(settings())
    closed = closed_dates(window, now, until)
    running = list(Campaign.select().where(Campaign.state == CampaignState.RUNNING).order_by(Campaign.id))
    forecast = foreseen.start(now, _days(until, now), days_in_all=LOOKS_AHEAD.days)
    watch = Watch(running, now)
    rows = () if forecast is None else tuple(_rows(forecast, until, watch, progress))
    if forecast is not None:
        watch.look_ahead(forecast, lambda seconds: progress(seconds, LOOKS_AHEAD.total_seconds()))
    mails, ends = Counter(row.campaign_id for row in rows), watch.ends(forecast)
    campaigns = tuple(PlannedCampaign(c.id, c.name, mails[c.id], ends[c.id]) for c in running)
    return Plan(until, rows, tuple(_sums(rows, window)), campaigns, _paused(), tuple(_notes(now)), tuple(closed))


def _sums(rows: Sequence[PlannedRow], window: SendingWindow) -> Iterator[PlannedDay]:
    for date, of_date in groupby(rows, key=lambda row: window.local_date(row.send_at)):
        counts = Counter(row.campaign_id for row in of_date)
        of_campaigns = sorted((i, number) for i, number in counts.items() if i is not None)
        yield PlannedDay(date, counts.total(), counts[None], tuple(OfCampaign(*found) for found in of_campaigns))


def _rows(forecast: Forecast, until: dt.datetime, watch: Watch, progress: Progress) -> Iterator[PlannedRow]:
    names = dict(SmtpAccount.select(SmtpAccount.id, SmtpAccount.name).tuples())
    now, planned = forecast.now, forecast.run(until)
    while some := list(islice(planned, BATCH)):
        progress((some[-1].send_at - now).total_seconds(), (until - now).total_seconds())
        found = {d.id: d for d in Delivery.select().where(of_ids(p.delivery.id for p in some if _is_made(p)))}
        for entry in some:
            watch.sent(entry)
            if _is_made(entry) and entry.delivery.id not in found:
                continue
            yield PlannedRow(
                send_at=entry.send_at,
                account_id=entry.account_id,
                account=names[entry.account_id],
                priority=entry.delivery.priority,
                **(_made(found[entry.delivery.id]) if _is_made(entry) else _picked(forecast, entry.delivery.id)),
            )


def _is_made(planned: Planned) -> bool:
    return planned.delivery.id < NOT_MADE


def _made(delivery: Delivery) -> dict[str, Any]:
    return {
        "delivery_id": delivery.id,
        "contact_id": delivery.contact_id,
        "template_id": delivery.template_id,
        "campaign_id": delivery.campaign_id,
        "enrolment_id": delivery.enrolment_id,
        "position": delivery.position,
        "state": State(delivery.state),
    }


def _picked(forecast: Forecast, delivery_id: int) -> dict[str, Any]:
    assert isinstance(forecast.publisher, ExpectedPublisher)
    who, template = forecast.publisher.picked[delivery_id]
    return {
        "delivery_id": None,
        "contact_id": who.contact_id,
        "template_id": template.id,
        "campaign_id": who.campaign_id,
        "enrolment_id": who.enrolment_id if 0 < who.enrolment_id < NOT_MADE else None,
        "position": who.position or None,
        "state": None,
    }


def _notes(now: dt.datetime) -> Iterator[AccountNote]:
    zone = settings().mail_window_timezone
    for account in SmtpAccount.select().where(SmtpAccount.removed_at.is_null()).order_by(SmtpAccount.id):
        if (said := account_states.note(account, now, zone)) is not None:
            yield AccountNote(account.id, account.name, said)


def _paused() -> int:
    """Return how many deliveries wait, and are not in the plan because they are paused."""
    waiting = in_states(State.SELECTED, State.CLEARED, State.READY)
    if control().paused_at is None:
        waiting &= Delivery.template.in_(statement.paused_templates())
    return int(Delivery.select().where(waiting).count())


def upcoming(until: dt.datetime) -> Iterator[Planned]:
    """Yield what is going to be sent before `until` (UTC), soonest first; nothing while everything is paused."""
    now = database.now()
    forecast = foreseen.start(now, _days(until, now))
    return iter(()) if forecast is None else forecast.run(until)


def _days(until: dt.datetime, now: dt.datetime) -> int:
    return max(1, (until - now).days + 2)
