"""Brings a server whose queues have other arguments to this topology; their messages move over, and none is lost.

RabbitMQ can't change a queue's arguments: the queue is emptied into a second one, deleted, declared anew and filled
again. Each message is confirmed in its new place before it is acknowledged in its old one, so that a run which is cut
off, at any point, is finished by the next. Trouble: a queue that somebody consumes is left alone; what waited in the
ladder or for a retry begins its wait in that queue anew, so that it may come late and never comes early.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial

from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from . import topology
from .topology import MismatchError, Queue, Topology

#: Exchange through which messages move, so that they keep their routing keys: in the ladder these are their delays.
MOVING_EXCHANGE = "moving"
#: AMQP 0-9-1 1.2, reply codes.
_NOT_FOUND, _RESOURCE_LOCKED = 404, 405

_HALF = "queue '{}' was left half migrated"

OpenChannel = Callable[[], AbstractContextManager[BlockingChannel]]


class MigrationRefusedError(Exception):
    """A queue can't be migrated now; the message says why."""


@dataclass(frozen=True)
class Step:
    """What was different, and how many messages moved."""

    what: str
    moved: int


def differences(open_channel: OpenChannel, unit_ms: int = topology.UNIT_MS) -> list[str]:
    """Return what is different on the server, one line for each queue and exchange; what is missing is no
    difference.
    """
    wanted = _wanted(open_channel, unit_ms)
    half = [_HALF.format(q.name) for q in wanted.queues if _exists(open_channel, _aside(q), is_queue=True)]
    return [
        *_different_exchanges(open_channel, wanted).values(),
        *_different_queues(open_channel, wanted).values(),
        *half,
    ]


def migrate(open_channel: OpenChannel, unit_ms: int = topology.UNIT_MS) -> Iterator[Step]:
    """Bring everything on the server to this topology, and yield what was done.

    Args:
        open_channel: opens a channel with confirms on a new connection.
        unit_ms: milliseconds of the ladder's step.

    Raises:
        MigrationRefusedError: a queue is consumed, or messages came onto it in the very instant it was deleted.
        ConnectionClosed: RabbitMQ is away; run it again.
    """
    wanted = _wanted(open_channel, unit_ms)
    with _alone(open_channel), open_channel() as channel:
        exchanges = _different_exchanges(open_channel, wanted)
        queues = _different_queues(open_channel, wanted)
        for name in queues:
            _demand_unused(channel, name)
        # Exchanges first, so that what is moved has somewhere to go on to. Whatever dead-letters to one that is away
        # waits in its queue: that is what at-least-once means.
        for name, what in exchanges.items():
            channel.exchange_delete(name)
            yield Step(what, 0)
        for name in wanted.exchanges:
            topology.declare_exchange(channel, wanted, name)
        for queue in wanted.queues:
            is_different = queue.name in queues
            moved = _move_over(open_channel, queue, set_aside=is_different)
            if is_different or moved:
                yield Step(queues.get(queue.name, _HALF.format(queue.name)), moved)
        topology.declare(channel, unit_ms)


def _wanted(open_channel: OpenChannel, unit_ms: int) -> Topology:
    with open_channel() as channel:
        return topology.topology(topology.version_of(channel), unit_ms)


def _different_exchanges(open_channel: OpenChannel, wanted: Topology) -> dict[str, str]:
    found = {
        name: _difference(
            open_channel, name, is_queue=False, declare=partial(topology.declare_exchange, wanted=wanted, name=name)
        )
        for name in wanted.exchanges
    }
    return {name: what for name, what in found.items() if what}


def _different_queues(open_channel: OpenChannel, wanted: Topology) -> dict[str, str]:
    found = {
        queue.name: _difference(
            open_channel, queue.name, is_queue=True, declare=partial(topology.declare_queue, queue=queue)
        )
        for queue in wanted.queues
    }
    return {name: what for name, what in found.items() if what}


def _difference(
    open_channel: OpenChannel, name: str, *, is_queue: bool, declare: Callable[[BlockingChannel], None]
) -> str | None:
    """Return what is different, by trying to declare it: RabbitMQ tells nobody a queue's arguments in another way."""
    if not _exists(open_channel, name, is_queue=is_queue):
        return None
    with open_channel() as channel:
        try:
            declare(channel)
        except ChannelClosedByBroker as error:
            try:
                topology.raise_mismatch(error)
            except MismatchError as mismatch:
                return mismatch.what
            raise
    return None


def _exists(open_channel: OpenChannel, name: str, *, is_queue: bool) -> bool:
    with open_channel() as channel:
        try:
            (channel.queue_declare if is_queue else channel.exchange_declare)(name, passive=True)
        except ChannelClosedByBroker as error:
            if error.reply_code != _NOT_FOUND:
                raise
            return False
    return True


@contextmanager
def _alone(open_channel: OpenChannel) -> Iterator[None]:
    """Hold, for the block, what only one migration can hold: an exclusive queue."""
    with open_channel() as channel:
        try:
            channel.queue_declare("migration", exclusive=True)
        except ChannelClosedByBroker as error:
            if error.reply_code != _RESOURCE_LOCKED:
                raise
            raise MigrationRefusedError("another migration is at work") from None
        yield


def _demand_unused(channel: BlockingChannel, name: str) -> None:
    consumers = channel.queue_declare(name, passive=True).method.consumer_count
    if consumers:
        raise MigrationRefusedError(f"queue '{name}' has {consumers} consumers: stop the workers first")


def _move_over(open_channel: OpenChannel, queue: Queue, *, set_aside: bool) -> int:
    """Set the messages of a queue aside, make it anew, and bring them back; also those that an earlier run has left
    aside. Return how many came back.
    """
    aside = _aside(queue)
    if not set_aside and not _exists(open_channel, aside, is_queue=True):
        return 0
    lost = 0
    with open_channel() as channel:
        if set_aside:
            channel.queue_declare(aside, durable=True, arguments={"x-queue-type": "quorum"})
            _move(channel, queue.name, aside)
            # RabbitMQ can delete a quorum queue only as it is, not only if it is empty.
            lost = channel.queue_delete(queue.name).method.message_count
        topology.declare_queue(channel, queue)
        moved = _move(channel, aside, queue.name)
        channel.queue_delete(aside)
    if lost:
        raise MigrationRefusedError(
            f"{lost} messages came onto queue '{queue.name}' in the instant in which it was deleted, and are gone: "
            "stop what publishes there before you run this"
        )
    return moved


def _aside(queue: Queue) -> str:
    return f"{queue.name}-moving"


def _move(channel: BlockingChannel, source: str, destination: str) -> int:
    # Anew, so that nothing is bound to it that an earlier run has left.
    channel.exchange_delete(MOVING_EXCHANGE)
    channel.exchange_declare(MOVING_EXCHANGE, "fanout", durable=True)
    channel.queue_bind(destination, MOVING_EXCHANGE)
    moved = 0
    while True:
        method, properties, body = channel.basic_get(source)
        if method is None:
            channel.exchange_delete(MOVING_EXCHANGE)
            return moved
        own = {k: v for k, v in (properties.headers or {}).items() if not k.startswith("x-")}
        kept = topology.persistent(properties.message_id, own)
        channel.basic_publish(MOVING_EXCHANGE, method.routing_key, body, kept, mandatory=True)
        channel.basic_ack(method.delivery_tag)
        moved += 1
