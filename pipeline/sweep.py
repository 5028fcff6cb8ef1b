"""The sweep: what the broker lost is put back on the route, and what nobody can know is marked.

Reads: deliveries that have stood still, and claims without an outcome. Writes: `nudged_at`; `in_doubt`. Hands on:
each row to the stage that takes it, at most once in NUDGE_EVERY, for ever: the sweep fails nobody.
Trouble: two sweeps at once nudge a row once, since the nudge is a guarded UPDATE.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from models import Attempt, Cause, Delivery, Outcome, Reason, State, database, transition
from models.delivery import in_states
from models.states import RECORDED
from pipeline.capacity import snapshot
from pipeline.capacity.statement import paused_templates
from pipeline.flow import TRIGGER, Handoff, Stage, hand_on
from pipeline.runtime.settings import settings

#: Seconds a row may stand still before it is put back: a message is normally there at once.
STANDS_STILL = dt.timedelta(minutes=2)
#: A row is put back at most once in this time.
NUDGE_EVERY = dt.timedelta(minutes=10)
#: Seconds beyond MAIL_MAX_LATENESS after which a slot's message counts as lost.
SLOT_GRACE = dt.timedelta(seconds=60)
#: A claim without an outcome is in doubt after this: longer than any timeout of the dialogue (20 min with the
#: defaults).
IN_DOUBT_GRACE = dt.timedelta(minutes=9)


def sweep() -> list[Handoff]:
    """Put back what stands still and mark what is in doubt; return the handoffs."""
    now = database.now()
    doubtful = mark_in_doubt(now - in_doubt_after())
    late = now - dt.timedelta(seconds=settings().mail_max_lateness) - SLOT_GRACE
    still = Delivery.updated_at < now - STANDS_STILL
    handoffs = hand_on(Stage.RECORD, doubtful)
    handoffs += hand_on(Stage.DEDUPE, _nudge(in_states(State.SELECTED) & still, now))
    handoffs += hand_on(Stage.RENDER, _nudge(_to_render() & still, now))
    handoffs += _slots(_nudge(in_states(State.RESERVED) & (Delivery.send_at < late), now))
    unrecorded = in_states(*RECORDED) & Delivery.recorded_at.is_null() & still
    handoffs += hand_on(Stage.RECORD, _nudge(unrecorded, now))
    if snapshot.something_could_go():
        handoffs.append(TRIGGER)
    return handoffs


def refill() -> list[Handoff]:
    """Return handoffs for everything unfinished: a process starts with them if its queues died with the one before it.

    With an SQLite file an operating-system lock says that no other process is at work: whatever is `sending` was
    claimed by one that is dead.
    """
    if database.sqlite_file() is not None:
        mark_in_doubt(database.now())
    unrecorded = in_states(*RECORDED) & Delivery.recorded_at.is_null()
    return [
        *hand_on(Stage.DEDUPE, _ids(in_states(State.SELECTED))),
        *hand_on(Stage.RENDER, _ids(_to_render())),
        *_slots(_ids(in_states(State.RESERVED))),
        *hand_on(Stage.RECORD, _ids(unrecorded)),
        TRIGGER,
    ]


def in_doubt_after() -> dt.timedelta:
    """Return the time after which no outcome of a claim can come any more: all timeouts of the dialogue, and a
    grace.
    """
    return dt.timedelta(seconds=settings().mail_smtp_timeout + settings().mail_data_timeout) + IN_DOUBT_GRACE


def mark_in_doubt(claimed_before: dt.datetime) -> list[int]:
    """Mark deliveries whose claim is older and has no outcome; return their ids. Their attempts keep counting for
    their day.
    """
    with database.transaction():
        open_claims = Attempt.select(Attempt.token).where(
            (Attempt.outcome == Outcome.OPEN) & (Attempt.claimed_at <= claimed_before)
        )
        tokens = [row.token for row in open_claims]
        if not tokens:
            return []
        database.lock_rows(Delivery, (Delivery.state == State.SENDING) & Delivery.token.in_(tokens))
        doubtful = transition(
            State.SENDING, State.IN_DOUBT, Delivery.token.in_(tokens), cause=Cause.SWEEP, reason=Reason.NO_OUTCOME
        )
        Attempt.update(outcome=Outcome.IN_DOUBT).where(
            Attempt.token.in_(tokens) & (Attempt.outcome == Outcome.OPEN)
        ).execute()
    return doubtful


def _to_render() -> Any:
    """Return the condition of what *render* takes: what a paused template has waits until it is resumed."""
    return in_states(State.CLEARED) & Delivery.template.not_in(paused_templates())


def _nudge(which: Any, now: dt.datetime) -> list[int]:
    due = which & (Delivery.nudged_at.is_null() | (Delivery.nudged_at < now - NUDGE_EVERY))
    with database.transaction():
        database.lock_rows(Delivery, due)
        nudged = Delivery.update(nudged_at=now).where(due).returning(Delivery.id).execute()
        return sorted(row.id for row in nudged)


def _ids(which: Any) -> list[int]:
    return [row[0] for row in Delivery.select(Delivery.id).where(which).order_by(Delivery.id).tuples()]


def _slots(ids: Iterable[int]) -> list[Handoff]:
    """Return one handoff for each slot that these deliveries hold."""
    query = Delivery.select(Delivery.id, Delivery.token, Delivery.send_at).where(
        Delivery.id.in_(list(ids)) & in_states(State.RESERVED)
    )
    slots: dict[tuple[str, dt.datetime], list[int]] = {}
    for row in query:
        slots.setdefault((row.token, row.send_at), []).append(row.id)
    return [
        Handoff(Stage.DELIVER, ids, not_before=send_at, slot_token=token) for (token, send_at), ids in slots.items()
    ]
