"""How often what happened, by day: sums of the days that are over, and all there is together with the days since.

Reads: events, and attempts that have ended. Writes: `daily_figures`, a day once and for all. So a total is read without
reading all of history, and never falls, whatever rows of summed days are erased.

A row belongs to the day (UTC, by the database's clock) on which it happened: `event.at`, `attempt.finished_at`. It can
be committed later than that. A day is therefore summed when it has been over for GRACE, and no transaction is open any
more that began before its end: whoever reads the clock does so in the transaction that writes the row, or less than
GRACE before it.

Trouble: two who sum at once write the same rows, and each is stored once. While nobody sums, totals are as right, and
take longer to read.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from typing import Any

import peewee
from peewee import fn

from models import database
from models.attempt import Attempt, Outcome
from models.base import Base
from models.database import db, is_postgres
from models.event import Event

#: A day is summed so long after its end at the earliest.
GRACE = dt.timedelta(hours=1)
#: Days that are summed by one call at most: the first one may find years.
AT_ONCE = 31

_DAY = dt.timedelta(days=1)
#: What of an attempt is never changed any more. (One in doubt may still be found to be accepted.)
_ENDED = Attempt.outcome.in_([Outcome.ACCEPTED, Outcome.FAILED])


class DailyFigure(Base):
    """How often something happened on a day (UTC): a change of a delivery's state (`stage`, `state`, `reason`), or the
    end of an attempt (`outcome`, `charged_to`); the other columns are empty.
    """

    day = peewee.DateField()
    stage = peewee.TextField(default="")
    state = peewee.TextField(default="")
    reason = peewee.TextField(default="")
    outcome = peewee.TextField(default="")
    charged_to = peewee.TextField(default="")
    number = peewee.IntegerField()

    class Meta:
        """A day's figure is there once."""

        table_name = "daily_figures"
        indexes = ((("day", "stage", "state", "reason", "outcome", "charged_to"), True),)


#: By what each is counted: columns of a sum, as they stand in the rows that are summed.
_TRANSITION = {"stage": Event.cause, "state": Event.state, "reason": fn.COALESCE(Event.reason, "")}
_ENDING = {"outcome": Attempt.outcome, "charged_to": fn.COALESCE(Attempt.charged_to, "")}
_NOTHING = dict.fromkeys((*_TRANSITION, *_ENDING), peewee.Value(""))
_NUMBER = fn.COUNT(peewee.SQL("*"))


def sum_days() -> list[dt.date]:
    """Sum the days that can be and have not been yet, the oldest first, each in a transaction of its own; return them.
    To be called outside a transaction.
    """
    days: list[dt.date] = []
    settled = _settled_before()
    while len(days) < AT_ONCE and (day := _first_unsummed(settled)) is not None:
        since, until = _begins(day), _begins(day + _DAY)
        events = _events(since).where(Event.at < until)
        attempts = _attempts(since).where(Attempt.finished_at < until)
        with database.transaction():
            _store(day, events, _TRANSITION)
            _store(day, attempts, _ENDING)
        days.append(day)
    return days


def transitions() -> dict[tuple[str, str, str], int]:
    """Return how many changes of deliveries' states there have been, by cause, state and reason ("": none)."""
    since = _summed_until()
    return _total(since, _events(since), _TRANSITION)


def attempts() -> dict[tuple[str, str], int]:
    """Return how many attempts have ended, by outcome and whom it was charged to ("": not known)."""
    since = _summed_until()
    return _total(since, _attempts(since), _ENDING)


def _settled_before() -> dt.datetime:
    """Return the time before which nothing can happen any more."""
    graced = database.now() - GRACE
    if not is_postgres():
        # None waits longer than `database.SQLITE_BUSY_TIMEOUT`.
        return graced
    # (Those of a user whom this one may not watch are not seen.)
    others = "datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    (oldest,) = db.execute_sql(f"SELECT MIN(xact_start) FROM pg_stat_activity WHERE {others}").fetchone()  # noqa: S608
    return graced if oldest is None else min(graced, oldest)


def _first_unsummed(settled: dt.datetime) -> dt.date | None:
    """Return the first day after those that are summed on which something happened, if it ended before `settled`."""
    since = _summed_until()
    if since + _DAY > settled:
        return None
    first_event = _events(since).order_by(Event.at).select(Event.at).first()
    first_attempt = _attempts(since).order_by(Attempt.finished_at).select(Attempt.finished_at).first()
    times = [first_event and first_event.at, first_attempt and first_attempt.finished_at]
    day = min((at.astimezone(dt.UTC).date() for at in times if at), default=None)
    return day if day is not None and _begins(day + _DAY) <= settled else None


def _summed_until() -> dt.datetime:
    """Return the end of the last day that is summed; the beginning of time if none is."""
    last = DailyFigure.select(fn.MAX(DailyFigure.day)).scalar()
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) if last is None else _begins(last + _DAY)


def _begins(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)


def _events(since: dt.datetime) -> Any:
    return Event.select().where(Event.at >= since)


def _attempts(since: dt.datetime) -> Any:
    return Attempt.select().where(_ENDED & (Attempt.finished_at >= since))


def _store(day: dt.date, rows: Any, by: Mapping[str, Any]) -> None:
    values = {"day": peewee.Value(day, converter=DailyFigure.day.db_value), **_NOTHING, **by, "number": _NUMBER}
    # In one order: two at once would wait for each other's rows.
    counted = rows.select(*values.values()).group_by(*by.values()).order_by(*by.values())
    DailyFigure.insert_from(counted, list(values)).on_conflict(action="nothing").execute()


def _total(since: dt.datetime, rows: Any, by: Mapping[str, Any]) -> dict[Any, int]:
    """Return the sums of the days before `since`, and beside them what is in `rows`, which are those since then: also
    if a day is being summed at this moment, so that it could be found in both.
    """
    total: Counter[Any] = Counter()
    columns = [DailyFigure._meta.fields[name] for name in by]
    # The first of the columns is empty in a row of the other kind.
    before = DailyFigure.select().where((columns[0] != "") & (DailyFigure.day < since.date())).group_by(*columns)
    since_then = rows.select(*by.values(), _NUMBER).group_by(*by.values())
    for query in (before.select(*columns, fn.SUM(DailyFigure.number)), since_then):
        for *names, number in query.tuples():
            total[tuple(names)] += int(number)
    return dict(total)
