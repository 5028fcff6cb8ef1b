"""What a worker does while database or RabbitMQ is away: it waits, longer each time, and says what for.

Nothing is used up meanwhile: a message stays unacknowledged. Trouble: a worker that is told to stop does not wait any
more.
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
    """The process stops while it waits; the message at hand is to be given to another."""


def begin() -> None:
    """Let this process wait from now on."""
    _stopping.clear()


def stop() -> None:
    """End all waiting in this process: it stops."""
    _stopping.set()


def until_available(do: Callable[[], T], sleep: Callable[[float], object] | None = None) -> T:
    """Do something as often as it takes: where the database or RabbitMQ is away, wait and do it again.

    Args:
        do: what to do.
        sleep: waits so many seconds, where something else is to be served meanwhile.

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
