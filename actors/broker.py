"""The broker: RabbitMQ with confirms, safe acknowledgements and the delay ladder, or Dramatiq's in-process one.

Both have one more method than Dramatiq's, `send(message, delay, backoff)`, so that nobody else knows which it is.
Trouble: what can't be published raises; what can't be decoded becomes a dead letter and is acknowledged.
"""

from __future__ import annotations

import logging
from typing import Any

import pika
import pika.exceptions
from dramatiq import Message, MessageProxy, Middleware
from dramatiq.brokers.rabbitmq import MAX_ENQUEUE_ATTEMPTS, RabbitmqBroker, _RabbitmqConsumer, _RabbitmqMessage
from dramatiq.brokers.stub import StubBroker
from dramatiq.errors import ConnectionClosed
from pika.adapters.blocking_connection import BlockingChannel

from models import database
from models.dead_letter import file_messages
from pipeline.logs import log

from . import topology
from .intake import UnacceptableError, UnknownActorError, decode

#: Seconds a publisher waits while RabbitMQ blocks it (memory or disk alarm) before it counts as away.
BLOCKED_TIMEOUT = 30
#: Seconds a message for an actor of a newer version is held back.
HOLD_BACK = 60.0

# What pika logs on its own, several lines for each failed connection, its exceptions say too.
logging.getLogger("pika").setLevel(logging.CRITICAL)

_AWAY = (pika.exceptions.AMQPConnectionError, pika.exceptions.AMQPChannelError)


class MemoryBroker(StubBroker):
    """The embedded default: queues of this process, which hold delays themselves and are refilled from the database."""

    def declare_topology(self) -> None:
        """Nothing is to be declared outside this process."""

    def counts(self) -> dict[str, int]:
        """Nothing is to be seen of another process's queues."""
        return {}

    def send(self, message: Message[Any], *, delay: float = 0, backoff: int | None = None) -> None:
        """Put a message on its queue, to arrive after `delay` or `backoff` seconds."""
        seconds = backoff or delay
        self.enqueue(message, delay=int(seconds * 1000) if seconds > 0 else None)


class QuorumBroker(RabbitmqBroker):
    """RabbitMQ: quorum queues of our own topology instead of Dramatiq's queue, delay queue and dead-letter queue."""

    def __init__(self, url: str, *, middleware: list[Middleware], unit_ms: int = topology.UNIT_MS) -> None:
        """Connect lazily to `url` (several joined by `;` for a cluster); `unit_ms` is the step of the delay ladder."""
        super().__init__(url=url, confirm_delivery=True, middleware=middleware)
        for parameters in self.parameters if isinstance(self.parameters, list) else [self.parameters]:
            parameters.blocked_connection_timeout = BLOCKED_TIMEOUT
        self.unit_ms = unit_ms
        self.declared = False

    @property
    def consumer_class(self) -> type[QuorumConsumer]:
        """The consumer that trusts no envelope and no stale channel."""
        return QuorumConsumer

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
        """Declare all queues and exchanges on the server; what is there stays as it is. Raises ConnectionClosed."""
        try:
            topology.declare(self.channel, self.unit_ms)
        except _AWAY as error:
            del self.connection
            raise ConnectionClosed(error) from None
        self.declared = True

    def counts(self) -> dict[str, int]:
        """Return how many messages are ready in each queue."""
        return topology.counts(self.channel)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Publish a message (Dramatiq's entry); `delay` in milliseconds goes through the ladder."""
        self.send(message, delay=(delay or 0) / 1000)
        return message

    def send(self, message: Message[Any], *, delay: float = 0, backoff: int | None = None) -> None:
        """Publish a message and wait for the confirm.

        Args:
            message: what to publish.
            delay: seconds in the ladder.
            backoff: seconds in the retry queue of that length, instead.

        Raises:
            ConnectionClosed: it is not known to be safe; publish it again.
        """
        if backoff is not None:
            target = ("", topology.retry_queue(backoff))
        elif delay > 0:
            target = topology.delayed(message.queue_name, delay, self.unit_ms)
        else:
            target = ("", message.queue_name)
        self.emit_before("enqueue", message, delay)
        self.publish(*target, message.encode(), message.message_id)
        self.emit_after("enqueue", message, delay)

    def publish(self, exchange: str, routing_key: str, body: bytes, message_id: str | None) -> None:
        """Publish bytes and wait for the confirm; raises ConnectionClosed if it does not come."""
        for attempt in range(1, MAX_ENQUEUE_ATTEMPTS + 1):
            try:
                if not self.declared:
                    self.declare_topology()
                self.channel.basic_publish(
                    exchange,
                    routing_key,
                    body,
                    pika.BasicProperties(delivery_mode=2, content_type="application/json", message_id=message_id),
                    mandatory=True,
                )
                return
            except (*_AWAY, ConnectionClosed) as error:
                # A connection that has idled for long is found dead only now, and an unroutable message says that the
                # server has lost the topology; a new connection declares it again.
                del self.connection
                self.declared = False
                if attempt == MAX_ENQUEUE_ATTEMPTS or isinstance(error, pika.exceptions.ConnectionBlockedTimeout):
                    raise ConnectionClosed(error) from None


class _ChannelMessage(_RabbitmqMessage):
    """A message that knows the channel it came from, and whether it is to be left unacknowledged."""

    def __init__(self, redelivered: bool, tag: int, message: Message[Any], channel: BlockingChannel) -> None:
        super().__init__(redelivered, tag, message)
        self.channel = channel
        self.put_back = False


class QuorumConsumer(_RabbitmqConsumer):
    """Takes messages off a queue; remembers the channel each came from, and believes nothing that is in them."""

    def __next__(self) -> MessageProxy | None:
        """Return the next good message, or None after a while without one."""
        try:
            method, properties, body = next(self.iterator)
        except (AssertionError, *_AWAY) as error:
            self.broker.declared = False
            raise ConnectionClosed(error) from None
        if method is None:
            return None
        message = self._decode(body, properties.message_id)
        if message is None:
            self.channel.basic_ack(method.delivery_tag)
            return None
        proxy = _ChannelMessage(method.redelivered, method.delivery_tag, message, self.channel)
        self.known_tags.add(method.delivery_tag)
        return proxy

    def ack(self, message: MessageProxy) -> None:
        """Acknowledge on the channel the message came from; on any other, its tag is another message's."""
        if message.channel is not self.channel:
            log.info("stale acknowledgement dropped", queue=self.queue_name, message_id=message.message_id)
        elif not message.put_back:
            # A message put back stays unacknowledged: RabbitMQ gives it to another worker when this one has gone.
            super().ack(message)

    #: There is nothing to reject: a fault has its dead letter by the time it comes here.
    nack = ack

    def _decode(self, body: bytes, message_id: str | None) -> Message[Any] | None:
        try:
            decoded = decode(self.queue_name, body, message_id)
        except UnacceptableError as error:
            self._dead_letter({str(error): body}, message_id)
            return None
        except UnknownActorError as error:
            log.warning("held back for a newer version", queue=self.queue_name, actor=str(error))
            self.broker.publish(*topology.delayed(self.queue_name, HOLD_BACK, self.broker.unit_ms), body, message_id)
            return None
        if decoded.refused:
            self._dead_letter({refused.reason: refused.body for refused in decoded.refused}, message_id)
        return decoded.message

    def _dead_letter(self, bodies: dict[str, bytes], message_id: str | None) -> None:
        try:
            with database.connection():
                file_messages(self.queue_name, bodies, database.now(), message_id=message_id)
        except Exception as error:
            if not database.is_trouble_outside(error):
                raise
            # Unacknowledged: it comes again when the consumer restarts.
            raise ConnectionClosed(error) from None
        log.warning("dead letter", queue=self.queue_name, parts=len(bodies))
