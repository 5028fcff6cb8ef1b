"""A RabbitMQ broker in this run's vhost, with a delay ladder a hundred times faster, and an empty server afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pika
import pytest

from actors import topology, topology_migration
from actors.broker import QuorumBroker
from actors.running import WorkerState
from pipeline.flow import Stage

#: Milliseconds of the ladder's step here.
UNIT_MS = 10


@pytest.fixture
def empty_rabbitmq(rabbitmq_url: str) -> Iterator[str]:
    """The URL of a vhost in which there is nothing, before and after."""
    wipe(rabbitmq_url)
    yield rabbitmq_url
    wipe(rabbitmq_url)


def wipe(url: str) -> None:
    """Delete all queues and exchanges of Slowpost."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        everything = topology.topology(topology.version_of(connection))
        for queue in everything.queues:
            channel.queue_delete(queue.name)
            channel.queue_delete(f"{queue.name}-moving")
        for exchange in (*everything.exchanges, topology_migration.MOVING_EXCHANGE):
            channel.exchange_delete(exchange)


@pytest.fixture
def broker(empty_rabbitmq: str, configure: Callable[..., None]) -> Iterator[QuorumBroker]:
    """A broker that knows the six queues."""
    configure(mail_retry_backoff="1,2")
    made = QuorumBroker(empty_rabbitmq, middleware=[WorkerState()], unit_ms=UNIT_MS)
    for stage in Stage:
        made.declare_queue(stage)
    made.declare_topology()
    yield made
    made.close()


def until(holds: Callable[[], bool], what: object = "", patience: float = 30) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.05)


def count(url: str, queue: str) -> int:
    """Return how many messages are ready in a queue; none if it is not there."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        try:
            return int(connection.channel().queue_declare(queue, passive=True).method.message_count)
        except pika.exceptions.ChannelClosedByBroker:
            return 0


def until_counted(broker: QuorumBroker, queue: str, number: int, patience: float = 10) -> None:
    """Wait until `number` messages are ready in a queue: what a closed consumer held is there again a little later."""
    deadline = time.monotonic() + patience
    while (found := broker.counts()[queue]) != number:
        assert time.monotonic() < deadline, f"{found} messages in {queue}, not {number}"
        broker.connection.sleep(0.02)


def take(broker: QuorumBroker, queue: str, patience: float = 5) -> tuple[float, pika.BasicProperties, bytes]:
    """Wait for a message on a queue and take it; return when it came (monotonic), its properties and its body."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        method, properties, body = broker.channel.basic_get(queue, auto_ack=True)
        if method is not None:
            return time.monotonic(), properties, body
        broker.connection.sleep(0.002)
    raise AssertionError(f"nothing came to {queue} within {patience} s")
