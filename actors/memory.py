"""TODO."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dramatiq import Message
from dramatiq.brokers.stub import StubBroker

from actors.rabbitmq.dead_letters import InStep
from models import DeadLetter


class MemoryBroker(StubBroker):
    """The embedded default: queues of this process, which hold delays themselves and are refilled from the database."""

    def declare_topology(self) -> None:
        """Nothing is to be declared outside this process."""

    def counts(self) -> dict[str, int]:
        """Nothing is to be seen of another process's queues."""
        return {}

    def show(self, letters: Iterable[DeadLetter]) -> None:
        """There is no page on which dead letters could be shown."""

    def keep_in_step(self, *, thorough: bool = True) -> InStep:
        """Nor anything that could differ from the rows."""
        del thorough
        return InStep()

    def send(self, message: Message[Any], *, delay: float = 0, backoff: int | None = None) -> None:
        """Put a message on its queue, to arrive after `delay` or `backoff` seconds."""
        seconds = backoff or delay
        self.enqueue(message, delay=int(seconds * 1000) if seconds > 0 else None)
