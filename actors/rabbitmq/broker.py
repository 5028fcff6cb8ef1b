"""The broker on RabbitMQ: confirms, and the delay ladder instead of Dramatiq's delays.

Like `actors.memory` it has a few methods beside Dramatiq's, above all `send_all(messages)`, so that hardly
any other code has to know which of the two it is. Trouble: what can't be published raises; a consumer that
finds RabbitMQ away waits, and says so.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pika
import pika.exceptions
from dramatiq import Consumer, Message, Middleware
from dramatiq.brokers.rabbitmq import MAX_ENQUEUE_ATTEMPTS, RabbitmqBroker
from dramatiq.errors import ConnectionClosed
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from actors.outgoing import Outgoing
from actors.rabbitmq import dead_letters, topology
from actors.rabbitmq.confirms import Confirms, Publication
from actors.rabbitmq.consumer import AWAY, QuorumConsumer, read_any_header
from actors.rabbitmq.dead_letters import InStep
from actors.waiting import PutBackError, until_available
from models import DeadLetter
from pipeline.runtime.logs import log

#: Seconds a publisher waits while RabbitMQ blocks it (memory or disk alarm) before it counts as away.
BLOCKED_TIMEOUT = 30

#: Copies of dead letters that are published while something waits for it.
SHOWN_AT_ONCE = 100
#: RabbitMQ is there and takes nothing now: it blocks publishers, or the queue is full. Trying at once is of no use.
_HELD_BACK = (pika.exceptions.ConnectionBlockedTimeout, pika.exceptions.NackError)


class QuorumBroker(RabbitmqBroker):
    """RabbitMQ: quorum queues of our own topology instead of Dramatiq's queue, delay queue and dead-letter queue."""

    def __init__(self, url: str, *, middleware: list[Middleware], unit_ms: int = topology.UNIT_MS) -> None:
        """Connect lazily to `url` (several joined by `;` for a cluster); `unit_ms` is the step of the delay ladder."""
        super().__init__(url=url, confirm_delivery=True, middleware=middleware)
        # What pika logs on its own, several lines for each failed connection, its exceptions say too.
        logging.getLogger("pika").setLevel(logging.CRITICAL)
        read_any_header()
        for parameters in self.parameters if isinstance(self.parameters, list) else [self.parameters]:
            parameters.blocked_connection_timeout = BLOCKED_TIMEOUT
        self.unit_ms = unit_ms
        self.declared = False
        self._coming_back = threading.Lock()

    @property
    def vhost(self) -> str:
        """The vhost of the URL (of its first one)."""
        first = self.parameters[0] if isinstance(self.parameters, list) else self.parameters
        return str(first.virtual_host)

    @property
    def confirms(self) -> Confirms:
        """What this thread publishes with. Raises an error of pika's where RabbitMQ is away."""
        confirms: Confirms | None = getattr(self.state, "confirms", None)
        if confirms is None or confirms.connection is not self.connection:
            confirms = self.state.confirms = Confirms(self.connection)
        return confirms

    def _make_channel(self) -> BlockingChannel:
        channel: BlockingChannel | None = getattr(self.state, "channel", None)
        if channel is None:
            channel = self.connection.channel()
            channel.confirm_delivery()
            self.state.channel = channel
            self.channels.add(channel)
        return channel

    # Dramatiq's own keeps a channel on which confirms could not be switched on, and then can't forget it (KeyError).
    channel = RabbitmqBroker.channel.getter(_make_channel)  # type: ignore[attr-defined]  # mypy: a property

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        """Return a consumer of a queue; while RabbitMQ is away, wait for it and say so.

        Raises:
            ConnectionClosed: the process stops.
        """

        def connect() -> Consumer:
            self.declare_queue(queue_name, ensure=True)
            return QuorumConsumer(self, queue_name, prefetch, timeout)

        # One waits for all: the others' consumers would only say the same.
        with self._coming_back:
            try:
                return until_available(connect)
            except PutBackError:
                raise ConnectionClosed(RuntimeError("it was not there when the worker stopped")) from None

    def declare_queue(self, queue_name: str, *, ensure: bool = False) -> None:
        """Make a queue known to the workers, without a delay queue beside it; `ensure`: declare the server's
        topology.
        """
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)
        if ensure and not self.declared:
            self.declare_topology()

    def declare_topology(self) -> None:
        """Declare all queues and exchanges on the server; what is there stays as it is.

        Raises:
            ConnectionClosed: RabbitMQ is away.
            MismatchError: something is there, and is different.
        """
        try:
            topology.declare(self.channel, self.unit_ms)
        except topology.MismatchError:
            del self.channel
            raise
        except AWAY as error:
            del self.connection
            raise ConnectionClosed(error) from None
        self.declared = True

    def close(self) -> None:
        """Close all connections. This thread's is forgotten, too: found closed by who publishes next, it would be taken
        for one that was lost, and all be declared again.
        """
        super().close()
        del self.connection

    def counts(self) -> dict[str, int]:
        """Return how many messages are ready in each queue.

        Raises:
            ConnectionClosed: RabbitMQ is away.
            ChannelClosedByBroker: a queue is not there.
        """
        try:
            return topology.counts(self.channel)
        except (pika.exceptions.AMQPConnectionError, OSError) as error:
            del self.connection
            raise ConnectionClosed(error) from None

    def show(self, letters: Iterable[DeadLetter]) -> None:
        """Put copies of dead letters on their queue; where they are many, or that can't be done now, the sweep does
        it.
        """
        try:
            copies = [dead_letters.copy_of(letter) for letter in islice(letters, SHOWN_AT_ONCE)]
            if copies:
                self.publish(copies)
        except (ConnectionClosed, topology.MismatchError) as error:
            log.info("a dead letter's copy is left to the sweep", reason=str(error)[:300])

    def keep_in_step(self, *, thorough: bool = True) -> InStep:
        """Bring the copies of dead letters to what the rows say; see `dead_letters`. Raises ConnectionClosed."""
        try:
            if not self.declared:
                self.declare_topology()
            with self.own_connection() as connection:
                return dead_letters.keep_in_step(connection, thorough=thorough)
        except ConnectionClosed:
            # Perhaps the server has lost the queue.
            self.declared = False
            raise

    def get_queue_message_counts(self, queue_name: str) -> tuple[int, int, int]:
        """Return the messages of a queue (Dramatiq's entry; its delay queue and dead-letter queue are not there)."""
        return self.counts()[queue_name], 0, 0

    def flush(self, queue_name: str) -> None:
        """Drop the messages of a queue (Dramatiq's entry)."""
        self.channel.queue_purge(queue_name)

    @contextmanager
    def own_connection(self) -> Iterator[BlockingConnection]:
        """Yield a connection for the block alone, which may spoil its channels.

        Raises:
            ConnectionClosed: RabbitMQ is away, or goes away.
        """
        try:
            with pika.BlockingConnection(self.parameters) as connection:
                yield connection
        except AWAY as error:
            raise ConnectionClosed(error) from None

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Publish a message (Dramatiq's entry); `delay` in milliseconds goes through the ladder."""
        self.send(message, delay=(delay or 0) / 1000)
        return message

    def send(self, message: Message[Any], *, delay: float = 0, backoff: int | None = None) -> None:
        """Publish a message; see `send_all`."""
        self.send_all([Outgoing(message, delay, backoff)])

    def send_all(self, messages: Sequence[Outgoing]) -> None:
        """Publish messages, then wait until all are confirmed.

        Raises:
            ConnectionClosed: one is not known to be safe; publish them all again.
        """
        for outgoing in messages:
            self.emit_before("enqueue", outgoing.message, outgoing.delay)
        self.publish([self._publication(outgoing) for outgoing in messages])
        for outgoing in messages:
            self.emit_after("enqueue", outgoing.message, outgoing.delay)

    def _publication(self, outgoing: Outgoing) -> Publication:
        message = outgoing.message
        if outgoing.backoff is not None:
            target = ("", topology.retry_queue(outgoing.backoff))
        elif outgoing.delay > 0:
            target = topology.delayed(message.queue_name, outgoing.delay, self.unit_ms)
        else:
            target = ("", message.queue_name)
        return Publication(*target, message.encode(), topology.persistent(message.message_id))

    def publish(self, publications: Sequence[Publication]) -> None:
        """Publish bytes, then wait until all are confirmed; raises ConnectionClosed if one is not."""
        for attempt in range(1, MAX_ENQUEUE_ATTEMPTS + 1):
            try:
                if not self.declared:
                    self.declare_topology()
                self.confirms.publish(publications)
                return
            except (*AWAY, ConnectionClosed) as error:
                # A connection that has idled for long is found dead only now, and an unroutable message says that the
                # server has lost the topology; a new connection declares it again.
                del self.connection
                self.declared = False
                if attempt == MAX_ENQUEUE_ATTEMPTS or isinstance(error, _HELD_BACK):
                    raise ConnectionClosed(error) from None
