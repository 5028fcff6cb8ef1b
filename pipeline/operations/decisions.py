"""What a person decides about what was given up or is in doubt; each action is recorded with time and reason.

Writes: dead letters resolved, deliveries put back to `ready`, doubt resolved. Trouble: refused with the reasons of
*check duplicates*, if one holds, or with what stands in the way.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
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
    Website,
    database,
    transition,
)
from models.control import record_action
from models.dead_letter import OPEN
from models.lookup import NotThereError
from pipeline.flow import TRIGGER, Handoff, Stage
from pipeline.operations import sent_folder
from pipeline.operations.done import Done, OperationRefusedError
from pipeline.rules.duplicates import reasons_against

#: A claim must be this old before its mail may be sent again: whoever held it has given up by then.
RESEND_AFTER = dt.timedelta(minutes=30)


#: Puts a message back on its queue: (queue, body, source id).
PutBack = Callable[[str | None, bytes, str], object]


class DecisionRefusedError(OperationRefusedError):
    """What a person decided is not possible now; the message says why."""


@dataclass(frozen=True)
class LetterDecided(Done):
    """A dead letter that is open no longer."""

    letter_id: int
    resolution: Resolution


@dataclass(frozen=True)
class DoubtResolved(Done):
    """A delivery that is in doubt no longer.

    Attributes:
        delivery_id: the delivery.
        state: `sent`, or `ready` to be sent again.
    """

    delivery_id: int
    state: State


def replay(letter_id: int, who: str, reason: str = "", *, put_back: PutBack) -> LetterDecided:
    """Put a delivery back to `ready`, or a message back on its queue.

    A message is put back before its letter is closed, and while the letter is locked: where it can't be, nothing has
    happened; after a crash in between, the letter is still open and can be replayed again. Its source id is the same
    then, by which stage 1 makes nothing twice.

    Args:
        letter_id: the dead letter.
        who: who does it; kept with the action.
        reason: why; kept with the action.
        put_back: puts a message back, or raises.

    Raises:
        NotThereError: it is not there, or not open any more.
        DecisionRefusedError: the delivery must not be mailed now.
    """
    with database.transaction():
        letter = _open_letter(letter_id)
        is_message = letter.kind == DeadLetterKind.MESSAGE
        if is_message:
            put_back(letter.queue, bytes(letter.body), f"replay-{letter_id}")
        else:
            _back_to_ready(letter.delivery)
        _resolve(letter, Resolution.REPLAYED)
        record_action(who, "replay", f"dead letter {letter_id}", database.now(), reason)
    return LetterDecided(letter_id, Resolution.REPLAYED, handoffs=() if is_message else (TRIGGER,))


def discard(letter_id: int, who: str, reason: str = "") -> LetterDecided:
    """Close a dead letter; what was given up stays given up. Raises NotThereError."""
    with database.transaction():
        _resolve(_open_letter(letter_id), Resolution.DISCARDED)
        record_action(who, "discard", f"dead letter {letter_id}", database.now(), reason)
    return LetterDecided(letter_id, Resolution.DISCARDED)


def resolve_sent(delivery_id: int, who: str, reason: str = "") -> DoubtResolved:
    """Decide that a delivery in doubt was sent. Raises NotThereError, DecisionRefusedError."""
    with database.transaction():
        now, account_id = database.now(), _in_doubt(delivery_id).account_id
        changes = {"sent_at": now, "recorded_at": None, "account": account_id}
        _decide(State.IN_DOUBT, State.SENT, delivery_id, Cause.RESOLVE, reason=Reason.RESOLVED_SENT, **changes)
        record_action(who, "resolve --sent", f"delivery {delivery_id}", now, reason)
    return DoubtResolved(delivery_id, State.SENT, handoffs=(Handoff(Stage.RECORD, [delivery_id]),))


def resolve_resend(delivery_id: int, who: str, reason: str = "", *, looks: bool = True) -> DoubtResolved:
    """Decide that a delivery in doubt is to be sent again; its doubtful attempt keeps counting for its day.

    Args:
        delivery_id: the delivery.
        who: who does it; kept with the action.
        reason: why; kept with the action.
        looks: whether its account's folder Sent is looked at first.

    Raises:
        NotThereError: it is not in doubt.
        OperationRefusedError: it lies in Sent, or that can't be looked at.
        DecisionRefusedError: its claim is not old enough, or it must not be mailed now.
    """
    delivery = _in_doubt(delivery_id)
    _demand_old_claim(delivery_id)
    if looks:
        sent_folder.demand_not_there(delivery)
    with database.transaction():
        delivery, now = _in_doubt(delivery_id), database.now()
        # It may have been sent again, and be in doubt once more, while its folder was looked at.
        _demand_old_claim(delivery_id)
        _ready_again(delivery, State.IN_DOUBT, Cause.RESOLVE)
        record_action(who, "resolve --resend", f"delivery {delivery_id}", now, reason)
    return DoubtResolved(delivery_id, State.READY, handoffs=(TRIGGER,))


def _demand_old_claim(delivery_id: int) -> None:
    claimed_at = (
        Attempt.select(peewee.fn.MAX(Attempt.claimed_at))
        .where((Attempt.delivery == delivery_id) & (Attempt.outcome == Outcome.IN_DOUBT))
        .scalar()
    )
    if claimed_at is not None and database.now() < claimed_at + RESEND_AFTER:
        raise DecisionRefusedError(f"its claim is not 30 minutes old: not before {claimed_at + RESEND_AFTER:%H:%M} UTC")


def _back_to_ready(delivery: Delivery) -> None:
    if delivery.state != State.FAILED:
        raise DecisionRefusedError(f"delivery {delivery.id} is {delivery.state}, not failed")
    if delivery.subject is None:
        raise DecisionRefusedError(
            f"delivery {delivery.id} was never rendered: correct the template and put the contact onto the route again"
        )
    _ready_again(delivery, State.FAILED, Cause.REPLAY)


def _ready_again(delivery: Delivery, origin: State, cause: Cause) -> None:
    """Make a delivery `ready` again, unless a rule is against it; with the locks of *check duplicates*.

    It is judged when it is unfinished again, and in a later statement: whoever else may write to the same address is
    kept away by the unique index then, to the same website by the lock, and who was faster is seen.
    """
    database.lock_rows(Website, Website.id == delivery.website_id)
    changes = {"attempts_since": database.now(), "attempts": 0, "not_before": None, "recorded_at": None}
    try:
        with database.transaction():
            _decide(origin, State.READY, delivery.id, cause, **changes)
    except peewee.IntegrityError:
        raise DecisionRefusedError(f"delivery {delivery.id}: {Reason.IN_FLIGHT}") from None
    against = reasons_against([delivery]).get(delivery.id)
    if against:
        raise DecisionRefusedError(f"delivery {delivery.id}: {', '.join(against)}")


def _in_doubt(delivery_id: int) -> Delivery:
    which = (Delivery.id == delivery_id) & (Delivery.state == State.IN_DOUBT)
    delivery: Delivery | None = Delivery.get_or_none(which)
    if delivery is None:
        raise NotThereError(f"there is no delivery {delivery_id} in doubt")
    return delivery


def _open_letter(letter_id: int) -> DeadLetter:
    """Return a dead letter nobody has decided about yet; a message's is locked. (Not a delivery's: forgetting a person
    locks the delivery first, and its letter then.)
    """
    query = DeadLetter.select().where((DeadLetter.id == letter_id) & OPEN)
    is_message = DeadLetter.kind == DeadLetterKind.MESSAGE
    letter: DeadLetter | None = database.for_update(query.where(is_message)).first() or query.where(~is_message).first()
    if letter is None:
        raise NotThereError(f"there is no open dead letter {letter_id}")
    return letter


def _resolve(letter: DeadLetter, resolution: Resolution) -> None:
    query = DeadLetter.update(resolved_at=database.now(), resolution=resolution)
    if not query.where((DeadLetter.id == letter.id) & OPEN).execute():
        raise NotThereError(f"there is no open dead letter {letter.id}")


def _decide(origin: State, to: State, delivery_id: int, cause: Cause, **changes: Any) -> None:
    if not transition(origin, to, Delivery.id == delivery_id, cause=cause, **changes):
        raise DecisionRefusedError("somebody else was faster")
