"""What goes out: a message, and when it is to arrive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dramatiq import Message


@dataclass(frozen=True)
class Outgoing:
    """A message to be put on its queue.

    Attributes:
        message: what is published.
        delay: seconds until it is to arrive.
        backoff: seconds in the retry queue of that length, instead.
    """

    message: Message[Any]
    delay: float = 0
    backoff: int | None = None
