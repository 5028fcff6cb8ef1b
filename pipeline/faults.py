"""Faults: what an exception in a stage means, and to whom it is charged.

A fault of the surroundings (database or broker away) counts for nothing: the worker waits. A fault of a list is
looked for id by id, so that it never holds up its neighbours; a single id that still raises after MAX_TRIES is given
up: `failed` (`fault`) with its dead letter.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from models import Delivery, Reason, State, database
from models.dead_letter import file_deliveries, file_message
from models.delivery import NOT_CLAIMED, move

from .flow import Handoff, Stage, hand_on
from .logs import log

#: Times a single id may raise.
MAX_TRIES = 3
#: Seconds between two tries of what has to wait for its surroundings: doubling up to the last.
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0

Run = Callable[[Sequence[int]], list[Handoff]]
GiveUp = Callable[[int, Exception], list[Handoff]]
T = TypeVar("T")


class TroubleOutsideError(Exception):
    """Something a stage needs is not as it should be and a person must mend it; the worker waits and says so."""


def what_is_away(error: BaseException) -> str | None:
    """Return what `error` waits for where it is the state of the surroundings, which uses up nobody's tries; else
    None.
    """
    if isinstance(error, TroubleOutsideError):
        return "a person"
    return "the database" if database.is_trouble_outside(error) else None


def connected(do: Callable[[], T]) -> Callable[[], T]:
    """Give a function a database connection; where the server behind it may have gone, it is thrown away."""

    def run() -> T:
        try:
            with database.connection():
                return do()
        except Exception as error:
            if what_is_away(error):
                database.discard_connection()
            raise

    return run


def patiently(
    do: Callable[[], T],
    *,
    away: Callable[[BaseException], str | None] = what_is_away,
    pause: Callable[[float], object] = time.sleep,
) -> T:
    """Do something as often as it takes: where its surroundings are away, wait and say what for.

    As it stands, for what must not be forgotten, such as the outcome of a mail that is out: a worker that is stopped
    meanwhile leaves that delivery in doubt, and nothing else could be true of it.

    Args:
        do: what to do.
        away: what an error waits for; where that is None, the error is raised.
        pause: waits so many seconds; what it raises ends the waiting.
    """
    wait, since = FIRST_WAIT, time.monotonic()
    what = None
    while True:
        try:
            done = do()
        except Exception as error:
            what = away(error)
            if what is None:
                raise
            log.warning("waiting", what=what, seconds=wait, reason=f"{_name(error)}: {str(error).strip()}"[:300])
        else:
            if what is not None:
                log.info("going on", what=what, waited=round(time.monotonic() - since, 1))
            return done
        pause(wait)
        wait = min(wait * 2, LONGEST_WAIT)


def isolated(run: Run, ids: Sequence[int], give_up: GiveUp) -> list[Handoff]:
    """Run a stage over `ids`; give up those that can't be processed, and go on with their neighbours.

    Raises:
        Exception: only trouble outside.
    """
    tries = 1 if len(ids) > 1 else MAX_TRIES
    for attempt in range(1, tries + 1):
        try:
            return run(ids)
        except Exception as error:
            if what_is_away(error):
                raise
            log.error("fault", ids=list(ids)[:10], of=len(ids), attempt=attempt, **described(error))
            last = error
    if len(ids) > 1:
        return [handoff for i in ids for handoff in isolated(run, [i], give_up)]
    return [handoff for i in ids for handoff in give_up(i, last)]


def described(error: Exception) -> dict[str, Any]:
    """Return what a log may say of an error: not its text, in which a database may quote an address."""
    where = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
    return {"error": _name(error), "where": where}


def give_up_message(queue: str, body: bytes, error: Exception) -> None:
    """Keep a message whose stage fails as a whole."""
    file_message(queue, body, f"fault: {short(error)}", database.now())


def give_up_trigger(_id: int, _error: Exception, **_asked: Any) -> list[Handoff]:
    """Let a trigger go: the stage did not look at the ids it carries, and the sweep sends another in a minute."""
    return []


def give_up_delivery(delivery_id: int, error: Exception, **_asked: Any) -> list[Handoff]:
    """Fail a delivery that a stage can't process, with its dead letter, and hand it to *record outcome*; one that has
    been claimed is left to the sweep.
    """
    with database.transaction():
        delivery = Delivery.get_or_none(Delivery.id == delivery_id)
        if delivery is None or delivery.state not in NOT_CLAIMED:
            return []
        detail = short(error)
        given_up = move(
            State(delivery.state), State.FAILED, Delivery.id == delivery_id, reason=Reason.FAULT, detail=detail
        )
        file_deliveries(dict.fromkeys(given_up, (Reason.FAULT, detail)), database.now())
    return hand_on(Stage.RECORD, given_up)


def short(error: Exception) -> str:
    """Return what a dead letter says of an error."""
    return f"{_name(error)}: {error}"[:500]


def _name(error: Exception) -> str:
    return type(error).__name__
