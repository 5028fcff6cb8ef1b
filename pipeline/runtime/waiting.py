"""Waiting for what is away: the database, a person who has to mend something. It costs nobody a try."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from models import database
from models.errors import SlowpostError
from pipeline.runtime.logs import log

#: Seconds between two tries of what has to wait for its surroundings: doubling up to the last.
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0


T = TypeVar("T")


class TroubleOutsideError(SlowpostError):
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


def until_stored(
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
            log.warning("waiting", what=what, seconds=wait, reason=f"{name_of(error)}: {str(error).strip()}"[:300])
        else:
            if what is not None:
                log.info("going on", what=what, waited=round(time.monotonic() - since, 1))
            return done
        pause(wait)
        wait = min(wait * 2, LONGEST_WAIT)


def name_of(error: Exception) -> str:
    return type(error).__name__
