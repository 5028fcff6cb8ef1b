"""Waiting for what is away: the database, or a person who has to repair something. It uses up no tries."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from models import database
from models.errors import SlowpostError
from pipeline.runtime.logs import log

#: Seconds between two tries while something is away: doubled each time, up to the longest.
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0


T = TypeVar("T")


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
    what = None
    while True:
        try:
            done = do()
        except Exception as error:
            what = away(error)
            if what is None:
                raise
            log.warning("waiting", what=what, seconds=wait, reason=f"{name_of(error)}: {str(error).strip()}"[:300])
        else:
            if what is not None:
                log.info("going on", what=what, waited=round(time.monotonic() - since, 1))
            return done
        pause(wait)
        wait = min(wait * 2, LONGEST_WAIT)


def name_of(error: Exception) -> str:
    return type(error).__name__
