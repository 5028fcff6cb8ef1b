"""Takes messages off a queue of RabbitMQ: remembers the channel each came from, and believes nothing that is in them.

What can't be decoded becomes a dead letter and is acknowledged. What only a newer version can process comes back every
minute for a day, and then is a dead letter, too. Trouble: RabbitMQ away raises ConnectionClosed, and the message comes
again; the database away, it waits.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import pika.data
import pika.exceptions
from dramatiq import Message, MessageProxy
from dramatiq.brokers.rabbitmq import _RabbitmqConsumer, _RabbitmqMessage
from dramatiq.errors import ConnectionClosed
from pika.adapters.blocking_connection import BlockingChannel

from actors.gathering import GATHERS, PREFETCH, parts_of
from actors.intake import UnacceptableError, UnknownActorError, decode, is_text
from actors.rabbitmq import topology
from actors.rabbitmq.confirms import Publication
from actors.waiting import PutBackError, until_available
from models import DeadLetter, database
from models.dead_letter import file_messages
from pipeline.runtime.faults import described
from pipeline.runtime.logs import log
from pipeline.runtime.waiting import connected

T = TypeVar("T")

#: Seconds a message for an actor of a newer version is held back, and how often: for a day.
DEFER = 60.0
MAX_DEFERS = 24 * 60
#: Header of such a message: how often it was held back. Anybody can write it, and it is never believed to be below 0.
DEFERS = "held-back"

#: Seconds after which a consumer that has found little on its queue looks whether it may take more.
LOOK_AGAIN = 1.0

#: What pika raises where RabbitMQ is away, or has closed a channel; OSError: its host name can't be resolved.
AWAY = (pika.exceptions.AMQPConnectionError, pika.exceptions.AMQPChannelError, OSError)

_decode_table = pika.data.decode_table


def _decode_any_table(encoded: bytes, offset: int) -> tuple[dict[str, Any], int]:
    """Decode an AMQP table, or pass over one with values that pika can't (a time beyond the year 9999, NaN): one such
    header would end the consumer each time its message came.
    """
    try:
        found: tuple[dict[str, Any], int] = _decode_table(encoded, offset)
        return found
    except Exception:
        (size,) = struct.unpack_from(">I", encoded, offset)
        return {}, offset + 4 + size


def read_any_header() -> None:
    """Let pika pass over a header table that it can't read, in this process."""
    pika.data.decode_table = _decode_any_table


class _ChannelMessage(_RabbitmqMessage):
    """A message that knows the channel it came from, and whether it is to be left unacknowledged."""

    def __init__(self, redelivered: bool, tag: int, message: Message[Any], channel: BlockingChannel) -> None:
        super().__init__(redelivered, tag, message)
        self.channel = channel
        self.put_back = False


class QuorumConsumer(_RabbitmqConsumer):
    """Consumer of one queue, with a connection of its own.

    Attributes:
        prefetch: messages that RabbitMQ gives it before it acknowledges one.
    """

    def __init__(self, broker: Any, queue_name: str, prefetch: int, timeout: int) -> None:
        """Begin to consume. Raises ConnectionClosed."""
        self.connection: Any = None
        gathers = queue_name in GATHERS
        self.prefetch, self._widest = (0, PREFETCH) if gathers else (prefetch, prefetch)
        self._looks_at = time.monotonic()
        self._inactivity_timeout = timeout / 1000
        try:
            super().__init__(broker, queue_name, prefetch, timeout)
        except (ConnectionClosed, OSError) as error:
            self._disconnect()
            raise ConnectionClosed(error) from None

    def close(self) -> None:
        """Close the connection. Raises ConnectionClosed if it was closed already."""
        try:
            super().close()
        finally:
            self._disconnect()

    def _disconnect(self) -> None:
        """Close the connection where Dramatiq leaves it open: when the channel is closed already."""
        if self.connection is not None and self.connection.is_open:
            with suppress(*AWAY):
                self.connection.close()

    def __next__(self) -> MessageProxy | None:
        """Return the next good message, or None after a while without one."""
        try:
            if self.prefetch < self._widest and time.monotonic() >= self._looks_at:
                self._look()
            method, properties, body = next(self.iterator)
        except (StopIteration, AssertionError, *AWAY) as error:
            # StopIteration: RabbitMQ has cancelled the consumer, as it does when its queue is deleted.
            self.broker.declared = False
            raise ConnectionClosed(error) from None
        if method is None:
            return None
        try:
            message = self._decode(body, properties)
        except (PutBackError, *AWAY) as error:
            # Unacknowledged: it comes again.
            raise ConnectionClosed(error) from None
        if message is None:
            self.channel.basic_ack(method.delivery_tag)
            return None
        proxy = _ChannelMessage(method.redelivered, method.delivery_tag, message, self.channel)
        self.known_tags.add(method.delivery_tag)
        return proxy

    def _look(self) -> None:
        """Take half of what lies ready at most, so that others who begin get their share; look again a little later.
        Where nothing lies there, all that can be gathered may come: RabbitMQ deals it to one after the other.
        """
        self._looks_at = time.monotonic() + LOOK_AGAIN
        if self.channel.get_waiting_message_count():
            # RabbitMQ would give it out again.
            return
        self.channel.cancel()
        ready = self.channel.queue_declare(self.queue_name, passive=True).method.message_count
        self.prefetch = min(self._widest, max(1, ready // 2)) if ready else self._widest
        self.channel.basic_qos(prefetch_count=self.prefetch)
        self.iterator = self.channel.consume(self.queue_name, inactivity_timeout=self._inactivity_timeout)

    def ack(self, message: MessageProxy) -> None:
        """Acknowledge each message by itself, on the channel it came from: on any other, its tag is another's."""
        if message.put_back:
            # It stays unacknowledged: RabbitMQ gives it to another worker when this one has gone.
            return
        for part in parts_of(message):
            if part.channel is self.channel:
                super().ack(part)
            else:
                log.info("stale acknowledgement dropped", queue=self.queue_name, message_id=part.message_id)

    #: There is nothing to reject: a fault has its dead letter by the time it comes here.
    nack = ack

    def _decode(self, body: bytes, properties: pika.BasicProperties) -> Message[Any] | None:
        message_id: str | bytes | None = properties.message_id
        try:
            decoded = decode(self.queue_name, body, message_id)
        except UnknownActorError as error:
            self._defer(str(error), body, properties)
            return None
        except UnacceptableError as error:
            self._dead_letter({str(error): body}, message_id)
            return None
        except Exception as error:
            # A mistake of ours: the message is kept, and its queue goes on.
            log.error("fault", queue=self.queue_name, **described(error))
            self._dead_letter({f"fault: {type(error).__name__}": body}, message_id)
            return None
        if decoded.refused:
            self._dead_letter({refused.reason: refused.body for refused in decoded.refused}, message_id)
        return decoded.message

    def _defer(self, why: str, body: bytes, properties: pika.BasicProperties) -> None:
        """Hold a message back for a newer version; give up one that has waited for a day."""
        defers = (properties.headers or {}).get(DEFERS)
        defers = defers if type(defers) is int and defers > 0 else 0
        if defers >= MAX_DEFERS:
            reason = f"{why}: it was held back for a newer version {MAX_DEFERS} times, and none came"
            self._dead_letter({reason: body}, properties.message_id)
            return
        log.warning("held back for a newer version", queue=self.queue_name, reason=why)
        later = topology.delayed(self.queue_name, DEFER, self.broker.unit_ms)
        again = topology.persistent(properties.message_id, {DEFERS: defers + 1})
        self._patiently(partial(self.broker.publish, [Publication(*later, body, again)]))

    def _dead_letter(self, bodies: dict[str, bytes], message_id: str | bytes | None) -> None:
        kept_id = message_id if is_text(message_id) else None

        def file() -> list[DeadLetter]:
            return file_messages(self.queue_name, bodies, database.now(), message_id=kept_id)

        filed = self._patiently(connected(file))
        log.warning("dead letter", queue=self.queue_name, parts=len(filed))
        self.broker.show(filed)

    def _patiently(self, do: Callable[[], T]) -> T:
        """Do something as often as it takes, and serve the connection meanwhile: were it closed, all that is fetched
        and not yet acknowledged would come again, and RabbitMQ 4 gives up what has come 20 times.
        """
        return until_available(do, self.connection.sleep)
