"""Waiting for what is away: the database, or a person who has to repair something. It uses up no tries.

What this process waits for at the moment, in any of its threads, `longest` says.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from models import database
from models.errors import SlowpostError
from pipeline.runtime.clocks import elapsed
from pipeline.runtime.logs import log

#: Seconds between two tries while something is away: doubled each time, up to the longest.
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0

T = TypeVar("T")


@dataclass(frozen=True)
class Wait:
    """What a thread waits for.

    Attributes:
        what: what is away, in a word or two.
        began: when it began, by `clocks.elapsed`, in seconds.
        reason: why, where a person has to do something; never what a server has said.
    """

    what: str
    began: float
    reason: str | None


#: Each wait of this process. (One step to add, replace, take away or copy: no lock is needed.)
_waits: dict[object, Wait] = {}


def longest() -> Wait | None:
    """Return what this process has waited for longest of all that it waits for; None if it waits for nothing."""
    return min(_waits.copy().values(), key=lambda wait: wait.began, default=None)


class TroubleOutsideError(SlowpostError):
    """Something that a stage needs is wrong, and a person must repair it; the worker waits and logs that."""


def what_is_away(error: BaseException) -> str | None:
    """Return what is to be waited for after `error`, in words; None if the error is a fault of the program."""
    if isinstance(error, TroubleOutsideError):
        return "a person"
    return "the database" if database.is_trouble_outside(error) else None


def connected(do: Callable[[], T]) -> Callable[[], T]:
    """Give a function a database connection, which is closed for good if its server may be gone."""

    def run() -> T:
        try:
            with database.connection():
                return do()
        except Exception as error:
            if what_is_away(error):
                database.discard_connection()
            raise

    return run


def until_stored(
    do: Callable[[], T],
    *,
    away: Callable[[BaseException], str | None] = what_is_away,
    pause: Callable[[float], object] = time.sleep,
) -> T:
    """Try `do` until it succeeds: while something is away, wait, log what for, and try again.

    With the defaults it never gives up. That is for what must not be lost, such as the outcome of a mail that has been
    sent: if the worker is killed meanwhile, the delivery is in doubt.

    Args:
        do: what to do.
        away: returns what is to be waited for after an error; None: the error is raised.
        pause: waits so many seconds; what it raises ends the waiting.
    """
    wait, since = FIRST_WAIT, time.monotonic()
    what, this = None, object()
    try:
        while True:
            try:
                done = do()
            except Exception as error:
                before, what = what, away(error)
                if what is None:
                    raise
                began = _waits[this].began if what == before else elapsed()
                _waits[this] = Wait(what, began, str(error) if isinstance(error, TroubleOutsideError) else None)
                log.warning("waiting", what=what, seconds=wait, reason=f"{name_of(error)}: {str(error).strip()}"[:300])
            else:
                if what is not None:
                    log.info("going on", what=what, waited=round(time.monotonic() - since, 1))
                return done
            pause(wait)
            wait = min(wait * 2, LONGEST_WAIT)
    finally:
        _waits.pop(this, None)


def name_of(error: Exception) -> str:
    return type(error).__name__
