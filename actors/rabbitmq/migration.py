"""Brings a server whose queues have other arguments to this topology; their messages move over, and none is lost.

RabbitMQ can't change a queue's arguments: the queue is emptied into a second one, deleted, declared anew and filled
again. Each message is confirmed in its new place before it is acknowledged in its old one, so that a run which is cut
off, at any point, is finished by the next. Trouble: a queue that somebody consumes is left alone; what waited in the
ladder or for a retry begins its wait in that queue anew, so that it may come late and never comes early.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import ChannelClosedByBroker

from actors.rabbitmq import dead_letters, topology
from actors.rabbitmq.topology import Queue, Topology
from models.errors import SlowpostError

#: Exchange through which messages move, so that they keep their routing keys: in the ladder these are their delays.
MOVING_EXCHANGE = "moving"
#: Held by the one process that migrates.
LOCK = "migration"
#: Messages that move between two reports of how far it is.
MOVES_BETWEEN = 10_000
#: AMQP 0-9-1 1.2, reply codes.
_NOT_FOUND = 404

_HALF = "queue '{}' was left half migrated"


Moving = Callable[[str, int], object]


class MigrationRefusedError(SlowpostError):
    """A queue can't be migrated now; the message says why."""


@dataclass(frozen=True)
class Step:
    """What was different, and how many messages moved."""

    what: str
    moved: int


def differences(connection: BlockingConnection, unit_ms: int = topology.UNIT_MS) -> list[str]:
    """Return what is different on the server, one line for each queue and exchange; what is missing is no
    difference.
    """
    wanted = topology.topology(topology.version_of(connection), unit_ms)
    half = [_HALF.format(q.name) for q in wanted.queues if _exists(connection, _aside(q), is_queue=True)]
    return [*_different_exchanges(connection, wanted).values(), *_different_queues(connection, wanted).values(), *half]


def migrate(
    connection: BlockingConnection, unit_ms: int = topology.UNIT_MS, moving: Moving = lambda _source, _moved: None
) -> Iterator[Step]:
    """Bring everything on the server to this topology, and yield what was done.

    Args:
        connection: nobody else's.
        unit_ms: milliseconds of the ladder's step.
        moving: told, every MOVES_BETWEEN messages, the queue they come from and how many have moved.

    Raises:
        MigrationRefusedError: a queue is consumed, or messages came onto it in the very instant it was deleted.
    """
    if not topology.exclusive(connection.channel(), LOCK):
        raise MigrationRefusedError("another migration is at work")
    if not topology.exclusive(connection.channel(), dead_letters.LOCK):
        raise MigrationRefusedError("a sweep compares the dead letters: run it again")
    wanted = topology.topology(topology.version_of(connection), unit_ms)
    exchanges, queues = _different_exchanges(connection, wanted), _different_queues(connection, wanted)
    channel = connection.channel()
    for name in queues:
        _demand_unused(channel, name)
    # Exchanges first, so that what is moved has somewhere to go on to. Whatever dead-letters to one that is away waits
    # in its queue: that is what at-least-once means.
    for name, what in exchanges.items():
        channel.exchange_delete(name)
        yield Step(what, 0)
    for name in wanted.exchanges:
        topology.declare_exchange(channel, wanted, name)
    for queue in wanted.queues:
        if queue.name not in queues:
            topology.declare_queue(channel, queue)
    topology.bind_exchanges(channel, wanted)
    for queue in wanted.queues:
        is_different = queue.name in queues
        moved = _move_over(connection, queue, moving, set_aside=is_different)
        if is_different or moved:
            yield Step(queues.get(queue.name, _HALF.format(queue.name)), moved)
    topology.declare(channel, unit_ms)


def _different_exchanges(connection: BlockingConnection, wanted: Topology) -> dict[str, str]:
    return {
        name: what
        for name in wanted.exchanges
        if _exists(connection, name, is_queue=False)
        and (what := _difference(connection, partial(topology.declare_exchange, wanted=wanted, name=name)))
    }


def _different_queues(connection: BlockingConnection, wanted: Topology) -> dict[str, str]:
    return {
        queue.name: what
        for queue in wanted.queues
        if _exists(connection, queue.name, is_queue=True)
        and (what := _difference(connection, partial(topology.declare_queue, queue=queue)))
    }


def _difference(connection: BlockingConnection, declare: Callable[[BlockingChannel], None]) -> str | None:
    """Return what is different, by trying to declare it: AMQP has no other way to ask for a queue's arguments."""
    channel = connection.channel()
    try:
        declare(channel)
    except ChannelClosedByBroker as error:
        mismatch = topology.mismatch_of(error)
        if mismatch is None:
            raise
        return mismatch.what
    channel.close()
    return None


def _exists(connection: BlockingConnection, name: str, *, is_queue: bool) -> bool:
    channel = connection.channel()
    try:
        (channel.queue_declare if is_queue else channel.exchange_declare)(name, passive=True)
    except ChannelClosedByBroker as error:
        if error.reply_code != _NOT_FOUND:
            raise
        return False
    channel.close()
    return True


def _demand_unused(channel: BlockingChannel, name: str) -> None:
    if consumers := channel.queue_declare(name, passive=True).method.consumer_count:
        raise MigrationRefusedError(f"queue '{name}' has {consumers} consumers: stop the workers first")


def _move_over(connection: BlockingConnection, queue: Queue, moving: Moving, *, set_aside: bool) -> int:
    """Set the messages of a queue aside, make it anew, and bring them back; also those that an earlier run has left
    aside. Return how many came back.
    """
    aside = _aside(queue)
    if not set_aside and not _exists(connection, aside, is_queue=True):
        return 0
    channel, lost = connection.channel(), 0
    if set_aside:
        channel.queue_declare(aside, durable=True, arguments={"x-queue-type": "quorum"})
        _move(connection, queue.name, aside, moving)
        _demand_unused(channel, queue.name)
        # RabbitMQ can delete a quorum queue only as it is, not only if it is empty.
        lost = channel.queue_delete(queue.name).method.message_count
    topology.declare_queue(channel, queue)
    moved = _move(connection, aside, queue.name, moving)
    channel.queue_delete(aside)
    channel.close()
    if lost:
        raise MigrationRefusedError(
            f"{lost} messages came onto queue '{queue.name}' in the instant in which it was deleted, and are gone: "
            "stop what publishes there before you run this"
        )
    return moved


def _aside(queue: Queue) -> str:
    return f"{queue.name}-moving"


def _move(connection: BlockingConnection, source: str, destination: str, moving: Moving) -> int:
    # A channel of its own: one that has known a queue as a classic one breaks when a quorum queue takes its name.
    channel = connection.channel()
    channel.confirm_delivery()
    # Anew, so that nothing is bound to it that an earlier run has left.
    channel.exchange_delete(MOVING_EXCHANGE)
    channel.exchange_declare(MOVING_EXCHANGE, "fanout", durable=True)
    channel.queue_bind(destination, MOVING_EXCHANGE)
    moved = 0
    while True:
        method, properties, body = channel.basic_get(source)
        if method is None:
            break
        own = _own(properties.headers or {})
        kept = topology.persistent(properties.message_id, own)
        channel.basic_publish(MOVING_EXCHANGE, method.routing_key, body, kept, mandatory=True)
        channel.basic_ack(method.delivery_tag)
        moved += 1
        if moved % MOVES_BETWEEN == 0:
            moving(source, moved)
    channel.exchange_delete(MOVING_EXCHANGE)
    channel.close()
    return moved


def _own(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return headers without RabbitMQ's own, but for where a message died: `dead_letters` wants to know."""
    own = {name: value for name, value in headers.items() if not name.startswith("x-")}
    return own | {kept: headers[name] for name, kept in dead_letters.KEPT.items() if name in headers}
