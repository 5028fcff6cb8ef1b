"""What a worker does while the database or RabbitMQ is away: it waits, longer each time, and logs what for.

No attempt is used up meanwhile; the message stays unacknowledged. Trouble: a worker that is told to stop stops
waiting.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from dramatiq.errors import BrokerConnectionError

from pipeline.runtime import waiting

T = TypeVar("T")

_stopping = threading.Event()


class PutBackError(Exception):
    """The process stops while it waits; another worker is to get its message."""


def begin() -> None:
    """Allow waiting in this process from now on."""
    _stopping.clear()


def stop() -> None:
    """End all waiting in this process: it stops."""
    _stopping.set()


def until_available(do: Callable[[], T], sleep: Callable[[float], object] | None = None) -> T:
    """Try `do` until it succeeds: while the database or RabbitMQ is away, wait and try again.

    Args:
        do: what to do; what it raises for any other reason is raised.
        sleep: waits so many seconds and serves something else meanwhile (a connection); None: just wait.

    Raises:
        PutBackError: the process was told to stop meanwhile.
    """

    def pause(seconds: float) -> None:
        if sleep is not None and not _stopping.is_set():
            sleep(seconds)
        if _stopping.wait(0 if sleep else seconds):
            raise PutBackError

    return waiting.until_stored(do, away=_what_is_away, pause=pause)


def _what_is_away(error: BaseException) -> str | None:
    return "RabbitMQ" if isinstance(error, BrokerConnectionError) else waiting.what_is_away(error)
