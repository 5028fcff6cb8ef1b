"""When a step is due: so many days after the one before, at the opening of the window. Pure but for `work_out`."""

from __future__ import annotations

import datetime as dt
from typing import Any

from models import Enrolment, EnrolmentState, Step
from pipeline.throttle.window import SendingWindow

#: Enrolments looked at in one go.
BATCH = 1000

_DAY = dt.timedelta(days=1)


def due_at(sent_at: dt.datetime, days: int, window: SendingWindow, *, working_days: bool) -> dt.datetime:
    """Return from when on (UTC) a step may go.

    Args:
        sent_at: when the step before was sent (UTC).
        days: how many days after it; 0: at once.
        window: what opens when.
        working_days: count only dates on which the window opens; else every date, and what is due on a closed one goes
            on the next that opens.
    """
    if days == 0:
        return sent_at
    date = window.local_date(sent_at)
    date = window.open_date(date, days) if working_days else date + days * _DAY
    opening = window.opens_on(date)
    while opening is None:
        date = window.open_date(date, 1)
        opening = window.opens_on(date)
    return opening


def due_of(enrolment: Enrolment, step: Any, window: SendingWindow) -> dt.datetime | None:
    """Return from when on (UTC) the next step of an enrolment may go, whether that is worked out already or not; None:
    at once, or there is no such step.
    """
    due: dt.datetime | None = enrolment.due_at
    if due is not None or enrolment.sent_at is None or step is None:
        return due
    return due_at(enrolment.sent_at, step.days, window, working_days=step.working_days)


def work_out(window: SendingWindow, now: dt.datetime) -> int:
    """Set when the next step is due of enrolments that have come further since; return of how many."""
    number = 0
    missing = (Enrolment.state == EnrolmentState.ACTIVE) & Enrolment.delivery_id.is_null() & Enrolment.due_at.is_null()
    query = (
        Enrolment.select(Enrolment.id, Enrolment.sent_at, Step.days, Step.working_days)
        .join(Step, on=(Step.campaign == Enrolment.campaign) & (Step.position == Enrolment.position))
        .where(missing & (Enrolment.position > 1))
        .order_by(Enrolment.id)
        .limit(BATCH)
    )
    while rows := list(query.namedtuples()):
        for row in rows:
            due = due_at(row.sent_at, row.days, window, working_days=row.working_days)
            Enrolment.update(due_at=due, updated_at=now).where((Enrolment.id == row.id) & missing).execute()
        number += len(rows)
    return number
