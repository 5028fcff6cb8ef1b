"""Events: what became of each delivery, step by step. A change of state and its event are one transaction.

`transition` is the only way from one state to another, for a row that is locked and known in the form of
`transition_of`; `insert_deliveries` is the only way in. Each writes one row for each delivery. Whoever writes a state
past them has its event written by the database (a trigger, `cause` = outside), so that no state is without one. The log
is told after the commit: that may be lost with a crash, the row may not.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import peewee
import structlog

from models import database, json_rows
from models.account import SmtpAccount
from models.attempt import Attempt
from models.base import Base, one_of
from models.compiled import Parameter, compiled, given
from models.delivery import Delivery, by_id
from models.enrolment import follow
from models.states import ENDED_BY_ATTEMPT, HOLDS_SLOT, TRANSITIONS, Cause, IllegalTransitionError, State
from models.utc import UTCDateTimeField

log = structlog.stdlib.get_logger("slowpost")


class Event(Base):
    """One change of a delivery's state. Ids only: no address, no word of a mail or a server.

    `step` counts a delivery's events from 1. `origin` is the state before, None where there was none. `cause` is the
    stage or the act that did it. `reason` says why, from a closed list (several of a skip are joined by a comma).
    `account`, `attempt` and `reply_code` are those that the change was about.
    """

    delivery = peewee.ForeignKeyField(Delivery, index=False)
    step = peewee.IntegerField()
    at = UTCDateTimeField(index=True)
    origin = peewee.TextField(null=True)
    state = peewee.TextField()
    reason = peewee.TextField(null=True)
    cause = peewee.TextField()
    account = peewee.ForeignKeyField(SmtpAccount, null=True, index=False)
    attempt = peewee.ForeignKeyField(Attempt, null=True, index=False)
    reply_code = peewee.IntegerField(null=True)

    class Meta:
        """A step of a delivery is one event."""

        indexes = ((("delivery", "step"), True),)


Event.add_index(
    peewee.SQL(
        f"CREATE INDEX event_account_ended ON event (account_id, id) WHERE state IN ({one_of(ENDED_BY_ATTEMPT)})"
    )
)


def transition(
    origin: State,
    to: State,
    which: Any,
    *,
    cause: Cause,
    reason: str | Mapping[int, str] | None = None,
    account: int | Mapping[int, int] | None = None,
    attempt: int | None = None,
    reply_code: int | None = None,
    at: dt.datetime | None = None,
    **changes: Any,
) -> list[int]:
    """Bring deliveries from `origin` to `to`, if they still are in `origin` and match `which`, and write their events.

    To be called in the caller's transaction.

    Args:
        origin: the state they must be in.
        to: the state they go to; the pair must stand in TRANSITIONS.
        which: a peewee condition: which of them.
        cause: the stage or act that does it.
        reason: why, for all or by id; of an end it is kept with the delivery, too.
        account: the account it is about, for all or by id: of `reserved` the one they get; None: the one whose slot
            they hold, if they do.
        attempt: the id of the attempt it is about.
        reply_code: what the server said.
        at: when (UTC), where the caller has read the clock already; None: now.
        changes: other columns to set. A delivery that leaves `reserved` or `sending` gives its slot up by itself.

    Returns:
        The ids that were moved, in their order. Rows that did not match are never assumed.

    Raises:
        IllegalTransitionError: the table does not have this transition.
    """
    _check(origin, to)
    here = (Delivery.state == origin) & which
    if account is None and origin in HOLDS_SLOT:
        account = dict(Delivery.select(Delivery.id, Delivery.account).where(here).tuples())
    now = at or database.now()
    values = _values(to, now, reason, account) | changes
    returned = (Delivery.id, Delivery.step, Delivery.enrolment)
    rows = list(Delivery.update(**values).where(here).returning(*returned).execute())
    common = {"at": now, "origin": origin, "state": to, "cause": cause, "attempt": attempt, "reply_code": reply_code}
    moved: dict[int, int] = dict(sorted((row.id, row.step) for row in rows))
    _write(
        [
            common | {"delivery": i, "step": step, "reason": _of(reason, i), "account": _of(account, i)}
            for i, step in moved.items()
        ]
    )
    if enrolled := {row.id: row.enrolment_id for row in rows if row.enrolment_id is not None}:
        about = {
            name: {i: _of(value, i) for i in enrolled} for name, value in (("account", account), ("reason", reason))
        }
        follow(enrolled, origin, to, now, account_of=about["account"], reason_of=about["reason"])
    return list(moved)


def transition_of(
    held: Delivery,
    to: State,
    *,
    cause: Cause,
    account: int,
    at: dt.datetime,
    reason: str | None = None,
    attempt: int | None = None,
    claim: str | None = None,
    reply_code: int | None = None,
    **changes: Any,
) -> None:
    """Do what `transition` does for one delivery that the caller's transaction has locked, and read since: that it
    moves is known, so nothing is asked, and all of it travels with the next request, at the latest with the COMMIT.

    Args:
        held: the delivery as it was read; its state is the one that it leaves.
        to, cause, account, at, reason, reply_code: as of `transition`.
        attempt: the id of the attempt it is about.
        claim: or the attempt's token, where its id is known to the database alone.
        changes: values of other columns.

    Raises:
        IllegalTransitionError: the table does not have this transition.
        IntegrityError: (peewee's, by that request) the row is not as it was read, so that its event has no step.
    """
    origin = State(held.state)
    _check(origin, to)
    values = _values(to, at, reason, account) | changes
    del values["step"]
    _next_step(tuple(values)).later(**values, id=held.id, origin=origin, left=held.step)
    event = {"delivery": held.id, "at": at, "origin": origin, "state": to, "cause": cause, "reason": reason}
    event |= {"account": account, "reply_code": reply_code}
    _event_of_step(claim is not None).later(**event, reached=held.step + 1, attempt=attempt, claim=claim)
    database.after_commit(partial(_tell, [event]))
    if held.enrolment_id is not None:
        follow({held.id: held.enrolment_id}, origin, to, at, account_of={held.id: account}, reason_of={held.id: reason})


@compiled
def _next_step(names: Sequence[str]) -> Any:
    here = (Delivery.id == Parameter("id")) & (Delivery.state == Parameter("origin"))
    here &= Delivery.step == Parameter("left")
    return Delivery.update(step=Delivery.step + 1, **given(Delivery, names)).where(here)


@compiled
def _event_of_step(is_by_claim: bool) -> Any:
    moved = (Delivery.id == Parameter("delivery")) & (Delivery.state == Parameter("state"))
    moved &= Delivery.step == Parameter("reached")
    attempt = Attempt.select(Attempt.id).where(Attempt.token == Parameter("claim"))
    values = given(Event, ("delivery", "at", "origin", "state", "cause", "reason", "account", "attempt", "reply_code"))
    values |= {"step": Delivery.select(Delivery.step).where(moved)} | ({"attempt": attempt} if is_by_claim else {})
    return Event.insert(**values)


def _check(origin: State, to: State) -> None:
    if to not in TRANSITIONS[origin]:
        raise IllegalTransitionError(f"{origin} → {to}")


def _values(to: State, now: dt.datetime, reason: Any, account: Any) -> dict[str, Any]:
    """Return what changes of a delivery that comes to a state."""
    values: dict[str, Any] = {"state": to, "updated_at": now, "step": Delivery.step + 1}
    if to not in (State.RESERVED, State.SENDING, State.IN_DOUBT):
        values |= {"account": None, "send_at": None, "token": None}
    if to is State.RESERVED:
        values["account"] = _column(account)
    if to is State.READY:
        values |= {"reason": None, "detail": None}
    elif reason is not None:
        values["reason"] = _column(reason)
    return values


def insert_deliveries(rows: Sequence[Mapping[str, Any]], *, cause: Cause) -> list[int]:
    """Store new deliveries and their first events; those that meet a unique index are passed over.

    Args:
        rows: columns of each; all have `state`, `reason` and `created_at`.
        cause: the stage or act that makes them.

    Returns:
        The ids of those that were stored, in their order.
    """
    if not rows:
        return []
    query = Delivery.insert_many([{**row, "step": 1} for row in rows]).on_conflict(action="nothing")
    stored = query.returning(Delivery.id, Delivery.state, Delivery.reason, Delivery.created_at).execute()
    common = {"step": 1, "origin": None, "cause": cause, "account": None, "attempt": None, "reply_code": None}
    made = sorted(stored, key=lambda row: int(row.id))
    _write([common | {"delivery": d.id, "at": d.created_at, "state": d.state, "reason": d.reason} for d in made])
    return [d.id for d in made]


def _column(value: Any) -> Any:
    return by_id(value) if isinstance(value, Mapping) else value


def _of(value: Any, delivery_id: int) -> Any:
    """Return a value that is given for all, or for each by id."""
    return value.get(delivery_id) if isinstance(value, Mapping) else value


def _write(events: Sequence[Mapping[str, Any]]) -> None:
    json_rows.insert_later(Event, events)
    database.after_commit(partial(_tell, events))


def _tell(events: Sequence[Mapping[str, Any]]) -> None:
    """Say in the log what has been committed."""
    for event in events:
        about = {name: event[column] for name, column in _TOLD.items() if event[column] is not None}
        log.info("delivery", **about)


#: Names in the log → columns.
_TOLD = {
    "delivery_id": "delivery",
    "stage": "cause",
    "result": "state",
    "reason": "reason",
    "account_id": "account",
    "reply_code": "reply_code",
}
