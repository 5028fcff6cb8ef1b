"""What a worker does while database or RabbitMQ is away: it waits, longer each time, and says what for.

Nothing is used up meanwhile: a message stays unacknowledged. Trouble: a worker that is told to stop does not wait any
more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from dramatiq.errors import BrokerConnectionError

from pipeline import faults

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


def patiently(do: Callable[[], T]) -> T:
    """Do something as often as it takes: where the database or RabbitMQ is away, wait and do it again.

    Raises:
        PutBackError: the process was told to stop meanwhile.
    """
    return faults.patiently(do, away=_what_is_away, pause=_pause)


def _what_is_away(error: BaseException) -> str | None:
    return "RabbitMQ" if isinstance(error, BrokerConnectionError) else faults.what_is_away(error)


def _pause(seconds: float) -> None:
    if _stopping.wait(seconds):
        raise PutBackError
