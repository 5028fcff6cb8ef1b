"""Faults: what becomes of ids whose stage raises.

If a list of ids raises, the stage runs for each id alone, so that one bad id stops none of the others; one that still
raises after MAX_TRIES is given up: `failed` (`fault`) with its dead letter. A server that is away is no fault
(`waiting`).
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from models import Cause, Delivery, Reason, State, database, transition
from models.dead_letter import file_deliveries, file_message
from models.states import NOT_CLAIMED
from pipeline.flow import Handoff, Stage, hand_on
from pipeline.runtime.logs import log
from pipeline.runtime.waiting import name_of, what_is_away

#: Times a single id may raise.
MAX_TRIES = 3

#: An id, or a pair of a source and an id.
Id = TypeVar("Id")
Run = Callable[[Sequence[Id]], list[Handoff]]
GiveUp = Callable[[Id, Exception], list[Handoff]]


def isolated(run: Run[Id], ids: Sequence[Id], give_up: GiveUp[Id]) -> list[Handoff]:
    """Run a stage over `ids`; give up those that can't be processed, and go on with the others.

    Raises:
        Exception: only what is to be waited for, such as a database that is away.
    """
    tries = 1 if len(ids) > 1 else MAX_TRIES
    for attempt in range(1, tries + 1):
        try:
            return run(ids)
        except Exception as error:
            if what_is_away(error):
                raise
            log.error("fault", ids=_bare(ids)[:10], of=len(ids), attempt=attempt, **described(error))
            last = error
    if len(ids) > 1:
        return [handoff for i in ids for handoff in isolated(run, [i], give_up)]
    return [handoff for i in ids for handoff in give_up(i, last)]


def _bare(ids: Sequence[Any]) -> list[int]:
    """Return ids without their sources, which may be any text."""
    return [i[1] if isinstance(i, tuple) else i for i in ids]


def described(error: Exception) -> dict[str, Any]:
    """Return what the log says of an error: not its text, which may quote an address."""
    where = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
    return {"error": name_of(error), "where": where}


def give_up_message(queue: str, body: bytes, error: Exception) -> None:
    """Keep a message whose stage fails as a whole."""
    file_message(queue, body, f"fault: {short(error)}", database.now())


def give_up_trigger(_id: int, _error: Exception, **_asked: Any) -> list[Handoff]:
    """Let a trigger go: the stage did not look at the ids it carries, and the sweep sends another in a minute."""
    return []


def give_up_delivery(delivery_id: int, error: Exception, **_asked: Any) -> list[Handoff]:
    """Fail a delivery that a stage can't process, with its dead letter, and hand it on to *record outcome*; one that
    has been claimed is left to the sweep.
    """
    with database.transaction():
        delivery = Delivery.get_or_none(Delivery.id == delivery_id)
        if delivery is None or delivery.state not in NOT_CLAIMED:
            return []
        detail = short(error)
        this = Delivery.id == delivery_id
        origin = State(delivery.state)
        given_up = transition(origin, State.FAILED, this, cause=Cause.FAULT, reason=Reason.FAULT, detail=detail)
        file_deliveries(dict.fromkeys(given_up, (Reason.FAULT, detail)), database.now())
    return hand_on(Stage.RECORD, given_up)


def short(error: Exception) -> str:
    """Return what a dead letter says of an error."""
    return f"{name_of(error)}: {error}"[:500]
