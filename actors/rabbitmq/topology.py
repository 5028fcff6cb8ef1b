"""Every queue and exchange by name, once: stages, retries, the delay ladder, dead letters. Declared idempotently.

The delay ladder is a binary one (NServiceBus's RabbitMQ transport and Celery's native delayed delivery use the same):
level n delays a message by 2ⁿ units or passes it on at once, as the n-th bit of its delay says. The routing key is the
delay's bits, highest first, and the stage: `0.0.….1.0.1.deliver` waits 5 units. So no message waits behind another, and
no worker keeps one in memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import ChannelClosedByBroker

from pipeline.flow import Stage
from pipeline.runtime.settings import settings
from pipeline.runtime.waiting import TroubleOutsideError

#: Exchange to which every queue dead-letters, and the queue that shows dead letters on the management page.
DEAD_EXCHANGE = "dead"
DEAD_LETTER_QUEUE = "dead-letter"
#: Exchange that routes what has waited to its stage.
DUE_EXCHANGE = "due"
#: Levels of the ladder; with a unit of 1 s the longest delay is 2¹⁸ − 1 s = 72.8 h.
LEVELS = 18
#: Milliseconds of one step of the ladder.
UNIT_MS = 1000

_WORDS = ".".join("*" * LEVELS)
#: AMQP 0-9-1 1.2, reply codes.
_RESOURCE_LOCKED, _PRECONDITION_FAILED = 405, 406

#: What RabbitMQ says of something that is there with other arguments.
_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<argument>.+?)' for (?P<kind>queue|exchange) '(?P<name>.+?)'.*?"
    r"received (the value )?(?P<wanted>none|'.*?').* current is (the value )?(?P<found>none|'.*?')( of type|$)"
)


class MismatchError(TroubleOutsideError):
    """A queue or an exchange is on the server with another argument; the message says which, and what to do."""

    def __init__(self, said: str) -> None:
        found = _INEQUIVALENT.search(said)
        what = (
            "{kind} '{name}' has {argument} {found}, Slowpost's has {wanted}".format(**found.groupdict())
            if found
            else said
        )
        super().__init__(f"{what}: stop the workers and run `slowpost topology migrate`, which keeps its messages")
        self.what = what


def retry_queue(backoff: int) -> str:
    """Return the queue in which a retry waits `backoff` seconds."""
    return f"retry-{backoff}s"


def ladder(level: int) -> str:
    """Return the name of a level's exchange, and of its queue."""
    return f"delay-{level:02}"


def delayed(stage: str, seconds: float, unit_ms: int = UNIT_MS) -> tuple[str, str]:
    """Return exchange and routing key for a delay of `seconds`, rounded up to the ladder's unit and cut to its
    length.
    """
    units = min(math.ceil(seconds * 1000 / unit_ms), 2**LEVELS - 1)
    bits = ".".join(format(units, f"0{LEVELS}b"))
    # Levels above the highest set bit would only pass it on.
    return (ladder(units.bit_length() - 1) if units else DUE_EXCHANGE), f"{bits}.{stage}"


@dataclass(frozen=True)
class Queue:
    """A queue, its arguments, and what is bound to it as (exchange, routing key)."""

    name: str
    arguments: Mapping[str, Any]
    bindings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Topology:
    """All that is declared: exchanges with their types, queues, and bindings between exchanges (source,
    destination, key).
    """

    exchanges: Mapping[str, str]
    queues: tuple[Queue, ...]
    exchange_bindings: tuple[tuple[str, str, str], ...] = field(default=())


def topology(server_version: tuple[int, ...], unit_ms: int = UNIT_MS) -> Topology:
    """Return what Slowpost declares on a server of this version, in an order in which it can be declared."""
    levels = range(LEVELS)
    exchanges = {DEAD_EXCHANGE: "fanout", DUE_EXCHANGE: "topic"} | {ladder(n): "topic" for n in levels}
    return Topology(
        exchanges,
        tuple(_queues(server_version, unit_ms)),
        tuple((ladder(n), _below(n), _key(n, "0")) for n in levels),
    )


def _queues(version: tuple[int, ...], unit_ms: int) -> Iterator[Queue]:
    yield Queue(DEAD_LETTER_QUEUE, _unlimited(version), ((DEAD_EXCHANGE, ""),))
    for stage in Stage:
        # The exact number of words: `#.deliver` would also match names that end in `.deliver`.
        bindings = ((DUE_EXCHANGE, stage.value), (DUE_EXCHANGE, f"{_WORDS}.{stage}"))
        yield Queue(stage.value, _dead_lettering_to(DEAD_EXCHANGE), bindings)
    for backoff in sorted(set(settings().mail_retry_backoff)):
        waits = {"x-message-ttl": backoff * 1000, "x-dead-letter-routing-key": Stage.RESERVE.value}
        yield Queue(retry_queue(backoff), _dead_lettering_to(DUE_EXCHANGE) | waits)
    for n in range(LEVELS):
        waits = {"x-message-ttl": 2**n * unit_ms}
        yield Queue(ladder(n), _dead_lettering_to(_below(n)) | waits, ((ladder(n), _key(n, "1")),))


def _dead_lettering_to(exchange: str) -> dict[str, Any]:
    # Without reject-publish RabbitMQ falls back silently to at-most-once
    # (rabbitmq.com/docs/quorum-queues#activating-at-least-once-dead-lettering).
    return {
        "x-queue-type": "quorum",
        "x-overflow": "reject-publish",
        "x-dead-letter-strategy": "at-least-once",
        "x-dead-letter-exchange": exchange,
    }


def _unlimited(version: tuple[int, ...]) -> dict[str, Any]:
    """Looking at a queue in the management page returns its messages: from 4.0 on, 20 looks would delete them."""
    limit = {"x-delivery-limit": -1} if version >= (4,) else {}
    return {"x-queue-type": "quorum"} | limit


def _below(level: int) -> str:
    return ladder(level - 1) if level else DUE_EXCHANGE


def _key(level: int, bit: str) -> str:
    """Match routing keys whose bit of this level is `bit`; the highest level's comes first."""
    words = ["*"] * LEVELS
    words[LEVELS - 1 - level] = bit
    return ".".join(words) + ".*"


def declare(channel: BlockingChannel, unit_ms: int = UNIT_MS) -> None:
    """Declare everything; what is there already stays as it is.

    Raises:
        MismatchError: something is there, and is different.
    """
    wanted = topology(version_of(channel.connection), unit_ms)
    try:
        for name in wanted.exchanges:
            declare_exchange(channel, wanted, name)
        for queue in wanted.queues:
            declare_queue(channel, queue)
        bind_exchanges(channel, wanted)
    except ChannelClosedByBroker as error:
        raise mismatch_of(error) or error from None


def declare_exchange(channel: BlockingChannel, wanted: Topology, name: str) -> None:
    """Declare one exchange."""
    channel.exchange_declare(name, wanted.exchanges[name], durable=True)


def declare_queue(channel: BlockingChannel, queue: Queue) -> None:
    """Declare one queue and bind it."""
    channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
    for exchange, key in queue.bindings:
        channel.queue_bind(queue.name, exchange, key)


def bind_exchanges(channel: BlockingChannel, wanted: Topology) -> None:
    """Bind the levels of the ladder to one another."""
    for source, destination, key in wanted.exchange_bindings:
        channel.exchange_bind(destination, source, key)


def mismatch_of(error: ChannelClosedByBroker) -> MismatchError | None:
    """Return the mismatch that RabbitMQ closed the channel for (AMQP 0-9-1 precondition-failed); None: another
    reason.
    """
    return MismatchError(error.reply_text) if error.reply_code == _PRECONDITION_FAILED else None


def exclusive(channel: BlockingChannel, lock: str) -> bool:
    """Take an exclusive lock until the connection ends; tell whether it was free. If not, the channel is closed.

    The lock is an exclusive queue, which one connection at a time can declare. (An exclusive consumer would not do:
    quorum queues admit others beside it.)
    """
    try:
        channel.queue_declare(lock, exclusive=True)
    except ChannelClosedByBroker as error:
        if error.reply_code != _RESOURCE_LOCKED:
            raise
        return False
    return True


def persistent(message_id: str | None, headers: Mapping[str, Any] | None = None) -> pika.BasicProperties:
    """Return the properties of a message that survives a restart of the server.

    No header is taken over from an earlier message: if it has an `x-death` header, RabbitMQ can take it for a
    dead-letter cycle and drop it (rabbitmq.com/docs/dlx#automatic-dead-letter-cycles).
    """
    return pika.BasicProperties(
        delivery_mode=2, content_type="application/json", message_id=message_id, headers=dict(headers or {}) or None
    )


def definitions(server_version: tuple[int, ...], vhost: str) -> dict[str, Any]:
    """Return everything as RabbitMQ's definitions, for those who keep their server's in a file
    (rabbitmq.com/docs/definitions).
    """
    wanted = topology(server_version)
    bindings = [
        _binding(vhost, exchange, queue.name, "queue", key)
        for queue in wanted.queues
        for exchange, key in queue.bindings
    ]
    bindings += [_binding(vhost, above, below, "exchange", key) for above, below, key in wanted.exchange_bindings]
    common = {"vhost": vhost, "durable": True, "auto_delete": False}
    return {
        "vhosts": [{"name": vhost}],
        "exchanges": [
            {"name": name, "type": kind, "internal": False, "arguments": {}} | common
            for name, kind in wanted.exchanges.items()
        ],
        "queues": [{"name": q.name, "arguments": dict(q.arguments)} | common for q in wanted.queues],
        "bindings": bindings,
    }


def _binding(vhost: str, source: str, destination: str, kind: str, key: str) -> dict[str, Any]:
    ends = {"source": source, "vhost": vhost, "destination": destination, "destination_type": kind}
    return ends | {"routing_key": key, "arguments": {}}


def counts(channel: BlockingChannel) -> dict[str, int]:
    """Return how many messages are ready in each queue; the levels of the ladder as one, `delay`.

    Raises:
        ChannelClosedByBroker: a queue is not there: `slowpost init` declares it.
    """
    found: dict[str, int] = {}
    for queue in topology(version_of(channel.connection)).queues:
        name = "delay" if queue.name.startswith("delay-") else queue.name
        found[name] = found.get(name, 0) + channel.queue_declare(queue.name, passive=True).method.message_count
    return found


def version_of(connection: BlockingConnection) -> tuple[int, ...]:
    """Return the server's version as it says at connection (AMQP 0-9-1 connection.start, server-properties)."""
    properties = connection._impl.server_properties
    return tuple(int(part) for part in properties["version"].split("-")[0].split(".")[:2])
