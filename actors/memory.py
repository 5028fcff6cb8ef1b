"""The broker inside one process: Dramatiq's stub broker, which is filled again from the database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dramatiq import Consumer, MessageProxy
from dramatiq.brokers.stub import StubBroker, _StubConsumer

from actors.gathering import GATHERS, PREFETCH, parts_of
from actors.outgoing import Outgoing
from actors.rabbitmq.dead_letters import InStep
from models import DeadLetter


class _Consumer(_StubConsumer):
    def ack(self, message: MessageProxy) -> None:
        for part in parts_of(message):
            super().ack(part)  # type: ignore[no-untyped-call]

    #: There is nothing to reject: a fault has its dead letter by the time it comes here.
    nack = ack


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

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 100) -> Consumer:
        """Return a consumer of a queue."""
        letters = self.dead_letters_by_queue[queue_name]
        fetched = PREFETCH if queue_name in GATHERS else prefetch
        return _Consumer(self.queues[queue_name], letters, fetched, timeout)  # type: ignore[no-untyped-call]

    def send_all(self, messages: Sequence[Outgoing]) -> None:
        """Put messages on their queues, to arrive when their time has come."""
        for outgoing in messages:
            seconds = outgoing.backoff or outgoing.delay
            self.enqueue(outgoing.message, delay=int(seconds * 1000) if seconds > 0 else None)
