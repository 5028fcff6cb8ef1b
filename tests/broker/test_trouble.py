"""RabbitMQ is away, or refuses: nothing is lost, and the workers say what they wait for.

On a node of the tests' own, which they stop and alarm. What the stock Dramatiq loses is shown beside it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import dramatiq
import pika
import pytest
import structlog
from pika.channel import Channel

import actors.rabbitmq.broker
from actors import waiting
from actors.intake import encode
from actors.rabbitmq import topology
from actors.rabbitmq.broker import QuorumBroker
from pipeline.flow import Stage
from pipeline.runtime import waiting as waits
from tests.broker.conftest import count, until
from tests.broker.two_stages import STOCK_VHOST, VHOST, ours, stock
from tests.faults.on_rabbitmq import short_of_memory
from tests.servers import PrivateRabbitmq


@pytest.mark.parametrize(
    "make_broker",
    [
        ours,
        pytest.param(
            stock, marks=pytest.mark.xfail(strict=True, reason="its retry can't be published either, and is forgotten")
        ),
    ],
)
def test_what_can_not_be_handed_on_to_a_full_queue_stays_where_it_was(
    node: PrivateRabbitmq, worker_of: Callable[..., dramatiq.Worker], make_broker: Callable[[str], dramatiq.Broker]
) -> None:
    worker = worker_of(make_broker)
    worker.broker.enqueue(encode(Stage.DEDUPE, [1]))
    full = '{"max-length":0,"overflow":"reject-publish"}'
    vhost = STOCK_VHOST if make_broker is stock else VHOST
    node.ctl("set_policy", "-p", vhost, "full", "^(render|dedupe.DQ)$", full, "--apply-to", "queues")
    tried = threading.Event()
    publish = worker.broker.enqueue if make_broker is stock else worker.broker.publish  # type: ignore[attr-defined]

    def watched(*args: Any, **options: Any) -> Any:
        try:
            return publish(*args, **options)
        finally:
            tried.set()

    setattr(worker.broker, "enqueue" if make_broker is stock else "publish", watched)
    try:
        worker.start()
        assert tried.wait(20)
        # Its end waits for what is being processed.
        worker.stop()
    finally:
        node.ctl("clear_policy", "-p", vhost, "full")
    url = node.url.replace(VHOST, vhost)
    kept = {queue: count(url, queue) for queue in ("dedupe", "dedupe.DQ", "render")}
    assert sum(kept.values()) == 1, kept


def test_a_memory_alarm_holds_a_handoff_back_and_the_worker_says_so(
    node: PrivateRabbitmq, worker_of: Callable[..., dramatiq.Worker]
) -> None:
    worker = worker_of(ours)
    worker.broker.enqueue(encode(Stage.DEDUPE, [1]))
    with structlog.testing.capture_logs() as logs:
        with short_of_memory(node):
            worker.start()
            until(lambda: waited_for(logs) == {"RabbitMQ"}, logs)
            assert count(node.url, Stage.RENDER) == 0
        until(lambda: any(entry["event"] == "going on" for entry in logs), logs)
    # Perhaps twice: RabbitMQ may also have read what it had held back.
    assert count(node.url, Stage.RENDER) >= 1
    worker.stop()
    assert count(node.url, Stage.DEDUPE) == 0


def test_a_worker_that_finds_rabbitmq_away_waits_says_so_once_for_all_queues_and_goes_on(
    node: PrivateRabbitmq, worker_of: Callable[..., dramatiq.Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dramatiq.worker, "CONSUMER_RESTART_DELAY_SECS", 0.1)
    worker = worker_of(ours)
    worker.start()
    until(lambda: len(worker.consumers) == 1)
    with structlog.testing.capture_logs() as logs:
        node.stop()
        until(lambda: waited_for(logs) == {"RabbitMQ"}, logs)
        node.start()
        until(lambda: any(entry["event"] == "going on" for entry in logs), logs)
        worker.broker.enqueue(encode(Stage.DEDUPE, [1]))
        until(lambda: count(node.url, Stage.RENDER) == 1, logs)


def test_a_worker_whose_queue_is_deleted_declares_it_again(
    node: PrivateRabbitmq, worker_of: Callable[..., dramatiq.Worker]
) -> None:
    worker = worker_of(ours)
    worker.start()

    def consumers() -> int:
        with pika.BlockingConnection(pika.URLParameters(node.url)) as connection:
            try:
                return int(connection.channel().queue_declare(Stage.DEDUPE, passive=True).method.consumer_count)
            except pika.exceptions.ChannelClosedByBroker:
                return 0

    until(lambda: consumers() == 1)
    before: Any = worker.consumers["dedupe"].consumer
    with pika.BlockingConnection(pika.URLParameters(node.url)) as connection:
        connection.channel().queue_delete(Stage.DEDUPE)
    assert consumers() == 0
    until(lambda: consumers() == 1)
    assert before.connection.is_closed
    worker.broker.enqueue(encode(Stage.DEDUPE, [1]))
    until(lambda: count(node.url, Stage.RENDER) == 1)


def test_a_consumer_that_waits_for_rabbitmq_ends_with_its_worker(quick: None) -> None:
    broker = QuorumBroker("amqp://guest:guest@127.0.0.1:1/", middleware=[])
    broker.queues.add(Stage.DEDUPE)
    ended: list[BaseException] = []

    def consume() -> None:
        try:
            broker.consume(Stage.DEDUPE)
        except dramatiq.errors.ConnectionClosed as error:
            ended.append(error)

    with structlog.testing.capture_logs() as logs:
        thread = threading.Thread(target=consume, daemon=True)
        thread.start()
        until(lambda: waited_for(logs) == {"RabbitMQ"}, logs)
        waiting.stop()
        thread.join(5)
        waiting.begin()
    assert len(ended) == 1


def test_a_host_name_that_can_not_be_resolved_is_rabbitmq_away() -> None:
    broker = QuorumBroker("amqp://guest:guest@rabbitmq.invalid/", middleware=[])
    with pytest.raises(dramatiq.errors.ConnectionClosed, match=r"not known|resolution"):
        broker.send(encode(Stage.DEDUPE, [1]))


def test_a_connection_that_is_lost_before_confirms_are_on_is_rabbitmq_away_and_no_fault_of_a_message(
    broker: QuorumBroker, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = iter([pika.exceptions.StreamLostError("gone")])
    switch_on = Channel.confirm_delivery

    def confirm_delivery(channel: Channel, *args: Any, **options: Any) -> None:
        for error in lost:
            raise error
        switch_on(channel, *args, **options)

    monkeypatch.setattr(Channel, "confirm_delivery", confirm_delivery)
    broker.send(encode(Stage.RECORD, [1]))
    assert count(rabbitmq_url, Stage.RECORD) == 1


@pytest.fixture(scope="module")
def node() -> Iterator[PrivateRabbitmq]:
    """A RabbitMQ that may be stopped."""
    with PrivateRabbitmq() as server:
        server.add_vhosts(STOCK_VHOST)
        yield server


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let those who wait look often."""
    monkeypatch.setattr(waits, "FIRST_WAIT", 0.1)
    monkeypatch.setattr(waits, "LONGEST_WAIT", 0.5)
    monkeypatch.setattr(actors.rabbitmq.broker, "BLOCKED_TIMEOUT", 0.5)


@pytest.fixture
def worker_of(
    node: PrivateRabbitmq, quick: None, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., dramatiq.Worker]]:
    """Make workers, not yet started, whose only queue is *dedupe*."""
    workers: list[dramatiq.Worker] = []
    monkeypatch.setattr(dramatiq.broker, "global_broker", None)

    def make(make_broker: Callable[[str], dramatiq.Broker]) -> dramatiq.Worker:
        workers.append(
            dramatiq.Worker(make_broker(node.url), queues={"dedupe", "dedupe.DQ"}, worker_threads=2, worker_timeout=50)
        )
        return workers[-1]

    yield make
    for worker in workers:
        if worker.workers:
            worker.stop()
        worker.broker.close()
    with pika.BlockingConnection(pika.URLParameters(node.url)) as connection:
        channel = connection.channel()
        for queue in topology.topology(topology.version_of(connection)).queues:
            channel.queue_purge(queue.name)


def waited_for(logs: list[Any]) -> set[str]:
    """Return what was waited for, by the log."""
    return {entry["what"] for entry in logs if entry["event"] == "waiting"}
