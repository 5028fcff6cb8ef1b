"""The broker inside one process: Dramatiq's stub broker, which is filled again from the database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dramatiq import Message
from dramatiq.brokers.stub import StubBroker

from actors.rabbitmq.dead_letters import InStep
from models import DeadLetter


class MemoryBroker(StubBroker):
    """The embedded default: queues inside this process, with their own delays, and refilled from the database."""

    def declare_topology(self) -> None:
        """Do nothing: there are no queues outside this process."""

    def counts(self) -> dict[str, int]:
        """Return nothing: the queues of another process can't be seen."""
        return {}

    def show(self, letters: Iterable[DeadLetter]) -> None:
        """Do nothing: there is no management page."""

    def keep_in_step(self, *, thorough: bool = True) -> InStep:
        """Do nothing: there are no copies of dead letters."""
        del thorough
        return InStep()

    def send(self, message: Message[Any], *, delay: float = 0, backoff: int | None = None) -> None:
        """Put a message on its queue, to arrive after `delay` or `backoff` seconds."""
        seconds = backoff or delay
        self.enqueue(message, delay=int(seconds * 1000) if seconds > 0 else None)
