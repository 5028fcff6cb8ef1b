"""The timeline: a day as it was and as it is going to be, account by account; and the figures of a week or a month.
Reads only.

What was comes from the attempts, what is going to be from the plan, and why an account did not send from the actions
that are kept.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain

from models import Attempt, Delivery, LateBounce, SmtpAccount, database
from pipeline.capacity import usage
from pipeline.reports import account_spans, coming
from pipeline.reports.account_spans import Span
from pipeline.reports.account_states import AccountState, state_of, why_limit
from pipeline.reports.happened import DayFigures, Figures, Happened, attempts_on, by_day, came_back_on, what_came_of
from pipeline.runtime.settings import settings
from pipeline.throttle.wall_clock import midnight
from pipeline.throttle.window import SendingWindow


@dataclass(frozen=True)
class OpenSpan:
    """A time in which the window is open.

    Attributes:
        opens: when it opens (UTC).
        closes: when it closes (UTC).
    """

    opens: dt.datetime
    closes: dt.datetime


@dataclass(frozen=True)
class Mark:
    """Something that happened, or is going to.

    Attributes:
        at: when (UTC).
        what: what came of it.
        contact_id: whose mail it was; null for what is planned.
        delivery_id: the delivery; null for what the batch publisher is going to pick.
        verdict: what the server's reply was judged to mean; null where there was none.
        reply_code: what the server said (RFC 5321); null where it said nothing.
    """

    at: dt.datetime
    what: Happened
    contact_id: int | None
    delivery_id: int | None
    verdict: str | None = None
    reply_code: int | None = None


@dataclass(frozen=True)
class AccountDay:
    """A day of an account.

    Attributes:
        id: the account.
        name: what you call it.
        state: whether it sends now.
        used: how many mails of the day's limit are used up.
        limit: mails that it may send on that day.
        limit_because: why so many.
        figures: how often what happened.
        planned: how many mails are going to be sent from it.
        marks: each of them, in order.
        spans: when it did not send, or is not going to, and why.
    """

    id: int
    name: str
    state: AccountState
    used: int
    limit: int
    limit_because: str
    figures: Figures
    planned: int
    marks: tuple[Mark, ...]
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Day:
    """A day.

    Attributes:
        date: the date, in the window's zone.
        zone: the window's zone.
        start: when the day begins (UTC).
        end: when it ends (UTC).
        now: the time at which all of this was so (UTC).
        open: when the window is open.
        paused: when everything was paused, or is.
        figures: how often what happened, of the accounts below.
        planned: how many mails are going to be sent from them.
        is_planned: whether the plan is worked out; else only the next mail of each account is known.
        planned_until: how far the plan was made, where that is not the end of the day (UTC); null: it was.
        accounts: by id.
    """

    date: dt.date
    zone: str
    start: dt.datetime
    end: dt.datetime
    now: dt.datetime
    open: tuple[OpenSpan, ...]
    paused: tuple[Span, ...]
    figures: Figures
    planned: int
    is_planned: bool
    planned_until: dt.datetime | None
    accounts: tuple[AccountDay, ...]


@dataclass(frozen=True)
class NamedAccount:
    """An account.

    Attributes:
        id: the account.
        name: what you call it.
    """

    id: int
    name: str


@dataclass(frozen=True)
class Days:
    """The figures of some days.

    Attributes:
        first: the first date, in the window's zone.
        last: the last one.
        today: today's.
        closed: dates on which the window does not open.
        accounts: those that the figures are of, by id.
        days: of each date and account of which there are any, by date and account.
    """

    first: dt.date
    last: dt.date
    today: dt.date
    closed: tuple[dt.date, ...]
    accounts: tuple[NamedAccount, ...]
    days: tuple[DayFigures, ...]


def today() -> dt.date:
    """Return today's date in the window's zone."""
    return usage.date_of(database.now())


def account_ids(on: dt.date) -> list[int]:
    """Return the accounts that a local date has, by id: those that had not been removed by then."""
    return [account.id for account in _accounts(_start(on), None)]


def day(on: dt.date | None = None, account_ids: Collection[int] | None = None, *, with_plan: bool = True) -> Day:
    """Return a day.

    Args:
        on: its date, in the window's zone; None: today.
        account_ids: of these accounts; None: of all. Of either those that had not been removed by then.
        with_plan: whether the plan is worked out, as `slowpost plan` does; that can take a while.
    """
    now, window = database.now(), SendingWindow.from_settings(settings())
    on = on or window.local_date(now)
    start, end = _start(on), _start(on + dt.timedelta(days=1))
    accounts = _accounts(start, account_ids)
    ids = [account.id for account in accounts]
    marks = _marks(window, on, ids)
    planned, planned_until = coming.by_plan(now, start, end) if with_plan else (coming.by_slots(start, end), None)
    for mail in planned:
        if mail.account_id in marks:
            marks[mail.account_id].append(Mark(mail.at, Happened.PLANNED, None, mail.delivery_id))
    spans = account_spans.of_accounts(accounts, start, end, now)
    days = tuple(_day_of(account, on, now, marks[account.id], spans[account.id]) for account in accounts)
    every = [mark.what for found in marks.values() for mark in found]
    return Day(
        date=on,
        zone=window.zone.key,
        start=start,
        end=end,
        now=now,
        open=tuple(OpenSpan(*span) for span in window.open_time(start, end).spans),
        paused=account_spans.of_everything(start, end),
        figures=Figures.of({what: every.count(what) for what in Happened}),
        planned=every.count(Happened.PLANNED),
        is_planned=with_plan or end <= now,
        planned_until=planned_until,
        accounts=days,
    )


def days(first: dt.date, last: dt.date, account_ids: Collection[int] | None = None) -> Days:
    """Return the figures of some days, both dates among them."""
    window = SendingWindow.from_settings(settings())
    dates = (first + dt.timedelta(days=i) for i in range((last - first).days + 1))
    there = _accounts(_start(first), account_ids)
    return Days(
        first=first,
        last=last,
        today=today(),
        closed=tuple(date for date in dates if window.opens_on(date) is None),
        accounts=tuple(NamedAccount(account.id, account.name) for account in there),
        days=tuple(by_day(window, first, last, account_ids)),
    )


def _start(on: dt.date) -> dt.datetime:
    return midnight(settings().mail_window_timezone, on)


def _accounts(start: dt.datetime, account_ids: Collection[int] | None) -> list[SmtpAccount]:
    there = SmtpAccount.removed_at.is_null() | (SmtpAccount.removed_at >= start)
    which = there if account_ids is None else there & SmtpAccount.id.in_(list(account_ids))
    return list(SmtpAccount.select().where(which).order_by(SmtpAccount.id))


def _day_of(
    account: SmtpAccount, on: dt.date, now: dt.datetime, marks: list[Mark], spans: tuple[Span, ...]
) -> AccountDay:
    happened = [mark.what for mark in marks]
    return AccountDay(
        id=account.id,
        name=account.name,
        state=state_of(account, now),
        used=usage.used_on(account.id, on),
        limit=usage.limit_of(account, on),
        limit_because=why_limit(account, on),
        figures=Figures.of({what: happened.count(what) for what in Happened}),
        planned=happened.count(Happened.PLANNED),
        marks=tuple(sorted(marks, key=lambda mark: mark.at)),
        spans=spans,
    )


def _marks(window: SendingWindow, on: dt.date, account_ids: list[int]) -> dict[int, list[Mark]]:
    """Return what happened on a local date, by account."""
    found: dict[int, list[Mark]] = {account_id: [] for account_id in account_ids}
    columns = (
        *(Attempt.account, Attempt.claimed_at, Attempt.finished_at, Attempt.outcome, Attempt.verdict),
        *(Attempt.charged_to, Attempt.reply_code, Attempt.delivery, Delivery.contact),
    )
    queries = (Attempt.select(*columns).join(Delivery).where(w) for w in attempts_on(window, on, on, account_ids))
    for row in chain.from_iterable(query.tuples() for query in queries):
        account_id, claimed_at, finished_at, outcome, verdict, charged_to, reply_code, delivery_id, contact_id = row
        what = what_came_of(outcome, verdict, charged_to)
        found[account_id].append(Mark(claimed_at or finished_at, what, contact_id, delivery_id, verdict, reply_code))
    said = (LateBounce.account, LateBounce.at, LateBounce.verdict, LateBounce.delivery, Delivery.contact)
    late = LateBounce.select(*said).join(Delivery).where(came_back_on(window, on, on, account_ids))
    for account_id, at, verdict, delivery_id, contact_id in late.tuples():
        found[account_id].append(Mark(at, Happened.CAME_BACK, contact_id, delivery_id, verdict))
    return found
