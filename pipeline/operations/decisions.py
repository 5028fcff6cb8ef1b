"""What a person decides about what was given up or is in doubt; each action is recorded with time and reason.

Writes: dead letters resolved, deliveries put back to `ready`, doubt resolved. Trouble: refused with the reasons of
*check duplicates*, if one holds, or with what stands in the way.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import peewee

from models import (
    Attempt,
    Cause,
    DeadLetter,
    DeadLetterKind,
    Delivery,
    Outcome,
    Reason,
    Resolution,
    State,
    database,
    transition,
)
from models.control import record_action
from models.dead_letter import OPEN
from models.errors import SlowpostError
from models.lookup import NotThereError
from pipeline.flow import TRIGGER, Handoff, Stage
from pipeline.rules.duplicates import reasons_against

#: A claim must be this old before its mail may be sent again: whoever held it has given up by then.
RESEND_AFTER = dt.timedelta(minutes=30)


class DecisionRefusedError(SlowpostError):
    """What a person asked for is not possible now; the message says why."""


def open_letter(letter_id: int) -> DeadLetter:
    """Return a dead letter nobody has decided about yet. Raises NotThereError."""
    letter = DeadLetter.get_or_none((DeadLetter.id == letter_id) & OPEN)
    if letter is None:
        raise NotThereError(f"there is no open dead letter {letter_id}")
    return letter


def replay(letter_id: int, who: str, reason: str = "") -> tuple[list[Handoff], DeadLetter]:
    """Put a delivery back to `ready`, or resolve a message that the caller then puts back on its queue.

    Raises:
        NotThereError: it is not there, or not open any more.
        DecisionRefusedError: the delivery must not be mailed now.
    """
    with database.transaction():
        letter = open_letter(letter_id)
        if letter.kind == DeadLetterKind.DELIVERY:
            _back_to_ready(letter.delivery)
        _resolve(letter, Resolution.REPLAYED)
        record_action(who, "replay", f"dead letter {letter_id}", database.now(), reason)
    return ([TRIGGER] if letter.kind == DeadLetterKind.DELIVERY else []), letter


def discard(letter_id: int, who: str, reason: str = "") -> None:
    """Close a dead letter; what was given up stays given up. Raises NotThereError."""
    with database.transaction():
        _resolve(open_letter(letter_id), Resolution.DISCARDED)
        record_action(who, "discard", f"dead letter {letter_id}", database.now(), reason)


def resolve_sent(delivery_id: int, who: str, reason: str = "") -> list[Handoff]:
    """Decide that a delivery in doubt was sent. Raises NotThereError, DecisionRefusedError."""
    with database.transaction():
        _in_doubt(delivery_id)
        now = database.now()
        changes = {"sent_at": now, "recorded_at": None}
        _decide(State.IN_DOUBT, State.SENT, delivery_id, Cause.RESOLVE, reason=Reason.RESOLVED_SENT, **changes)
        record_action(who, "resolve --sent", f"delivery {delivery_id}", now, reason)
    return [Handoff(Stage.RECORD, [delivery_id])]


def resolve_resend(delivery_id: int, who: str, reason: str = "") -> list[Handoff]:
    """Decide that a delivery in doubt is to be sent again; its doubtful attempt keeps counting for its day.

    Raises:
        NotThereError: it is not in doubt.
        DecisionRefusedError: its claim is not old enough, or it must not be mailed now.
    """
    with database.transaction():
        delivery = _in_doubt(delivery_id)
        now = database.now()
        claimed_at = (
            Attempt.select(peewee.fn.MAX(Attempt.claimed_at))
            .where((Attempt.delivery == delivery_id) & (Attempt.outcome == Outcome.IN_DOUBT))
            .scalar()
        )
        if claimed_at is not None and now < claimed_at + RESEND_AFTER:
            raise DecisionRefusedError(
                f"its claim is not 30 minutes old: not before {claimed_at + RESEND_AFTER:%H:%M} UTC"
            )
        _refuse_duplicate(delivery)
        changes = {"attempts_since": now, "attempts": 0, "not_before": None, "recorded_at": None}
        _decide(State.IN_DOUBT, State.READY, delivery_id, Cause.RESOLVE, **changes)
        record_action(who, "resolve --resend", f"delivery {delivery_id}", now, reason)
    return [TRIGGER]


def _back_to_ready(delivery: Delivery) -> None:
    if delivery.state != State.FAILED:
        raise DecisionRefusedError(f"delivery {delivery.id} is {delivery.state}, not failed")
    if delivery.subject is None:
        raise DecisionRefusedError(
            f"delivery {delivery.id} was never rendered: mend the template and send the contact anew"
        )
    _refuse_duplicate(delivery)
    changes = {"attempts_since": database.now(), "attempts": 0, "not_before": None, "recorded_at": None}
    try:
        with database.transaction():
            _decide(State.FAILED, State.READY, delivery.id, Cause.REPLAY, **changes)
    except peewee.IntegrityError:
        raise DecisionRefusedError(f"delivery {delivery.id}: {Reason.IN_FLIGHT}") from None


def _refuse_duplicate(delivery: Delivery) -> None:
    against = reasons_against([delivery]).get(delivery.id)
    if against:
        raise DecisionRefusedError(f"delivery {delivery.id}: {', '.join(against)}")


def _in_doubt(delivery_id: int) -> Delivery:
    delivery = Delivery.get_or_none((Delivery.id == delivery_id) & (Delivery.state == State.IN_DOUBT))
    if delivery is None:
        raise NotThereError(f"there is no delivery {delivery_id} in doubt")
    return delivery


def _resolve(letter: DeadLetter, resolution: Resolution) -> None:
    DeadLetter.update(resolved_at=database.now(), resolution=resolution).where(DeadLetter.id == letter.id).execute()


def _decide(origin: State, to: State, delivery_id: int, cause: Cause, **changes: Any) -> None:
    if not transition(origin, to, Delivery.id == delivery_id, cause=cause, **changes):
        raise DecisionRefusedError("somebody else was faster")
