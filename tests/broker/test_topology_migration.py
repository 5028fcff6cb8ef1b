"""A server whose queues are different is brought to this topology, and its messages move over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika
import pytest

from actors.intake import encode
from actors.rabbitmq import migration, topology
from actors.rabbitmq.broker import QuorumBroker
from actors.rabbitmq.migration import MigrationRefusedError, Step
from actors.rabbitmq.topology import MismatchError
from pipeline.flow import Stage
from tests.broker.conftest import UNIT_MS, take, until_counted


def make_different(broker: QuorumBroker, queue: str, arguments: dict[str, Any]) -> None:
    """Put a queue with other arguments in the place of one of ours."""
    with broker.own_connection() as connection:
        channel = connection.channel()
        channel.queue_delete(queue)
        channel.queue_declare(queue, durable=True, arguments=arguments)


def migrate(broker: QuorumBroker) -> list[Step]:
    """Run a migration to its end."""
    with broker.own_connection() as connection:
        return list(migration.migrate(connection, broker.unit_ms))


def differences(broker: QuorumBroker) -> list[str]:
    """Return what is different on the server."""
    with broker.own_connection() as connection:
        return migration.differences(connection, broker.unit_ms)


def test_a_queue_that_is_different_is_named_with_its_argument_and_what_to_do(broker: QuorumBroker) -> None:
    make_different(broker, "intake", {"x-queue-type": "quorum", "x-max-length": 5, "x-overflow": "reject-publish"})
    with pytest.raises(MismatchError) as raised:
        broker.declare_topology()
    assert str(raised.value) == (
        "queue 'intake' has x-dead-letter-exchange none, Slowpost's has 'dead': "
        "stop the workers and run `slowpost topology migrate`, which keeps its messages"
    )


def test_messages_move_over_with_their_ids_and_headers_and_nothing_is_different_afterwards(
    broker: QuorumBroker,
) -> None:
    make_different(broker, "intake", {})
    for number in range(300):
        properties = pika.BasicProperties(message_id=f"m{number}", headers={"for": "me", "x-death": [{"count": 1}]})
        broker.channel.basic_publish("", "intake", str(number).encode(), properties)
    with broker.own_connection() as connection:
        channel = connection.channel()
        channel.exchange_delete(topology.DUE_EXCHANGE)
        channel.exchange_declare(topology.DUE_EXCHANGE, "direct", durable=True)

    exchange, queue = migrate(broker)
    assert exchange == Step("exchange 'due' has type 'direct', Slowpost's has 'topic'", 0)
    # Which of several arguments it names first is RabbitMQ's affair.
    assert queue.what.startswith("queue 'intake' has x-")
    assert queue.moved == 300

    broker.declare_topology()
    found = [take(broker, "intake")[1:] for _ in range(300)]
    assert [(p.message_id, p.headers["for"], p.delivery_mode, body) for p, body in found] == [
        (f"m{number}", "me", 2, str(number).encode()) for number in range(300)
    ]
    assert not any("x-death" in p.headers for p, _ in found)
    assert differences(broker) == []
    broker.send(encode(Stage.DELIVER, [1], slot_token="t"), delay=0.05)
    take(broker, Stage.DELIVER)


def test_what_waits_in_the_ladder_keeps_its_way_and_does_not_come_early(
    broker: QuorumBroker, empty_rabbitmq: str
) -> None:
    slower = QuorumBroker(empty_rabbitmq, middleware=[], unit_ms=2 * UNIT_MS)
    message = encode(Stage.DELIVER, [1], slot_token="t")
    broker.send(message, delay=60)
    assert {step.moved for step in migrate(slower)} == {0, 1}
    assert slower.counts()["delay"] == 1
    slower.send(encode(Stage.RENDER, [1]), delay=0.1)
    take(slower, Stage.RENDER)
    with slower.own_connection() as connection:
        channel = connection.channel()
        exchange, key = topology.delayed(Stage.DELIVER, 60, UNIT_MS)
        method, properties, body = channel.basic_get(exchange)
        assert (method.routing_key, properties.message_id, body) == (key, message.message_id, message.encode())
    slower.close()


def test_a_migration_that_was_cut_off_is_finished_by_the_next(
    broker: QuorumBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_different(broker, "intake", {"x-queue-type": "quorum"})
    for number in range(10):
        broker.channel.basic_publish("", "intake", str(number).encode())
    publish, published = pika.adapters.blocking_connection.BlockingChannel.basic_publish, []

    def cut_off(channel: Any, *args: Any, **options: Any) -> None:
        published.append(1)
        if len(published) in stops:
            raise KeyboardInterrupt
        publish(channel, *args, **options)

    # Once on the way out, once on the way back, each with messages on both sides.
    stops = {4, 17}
    monkeypatch.setattr(pika.adapters.blocking_connection.BlockingChannel, "basic_publish", cut_off)
    for _ in stops:
        with pytest.raises(KeyboardInterrupt):
            migrate(broker)
    assert differences(broker) == ["queue 'intake' was left half migrated"]
    migrate(broker)
    assert sorted(int(take(broker, "intake")[2]) for _ in range(10)) == list(range(10))
    assert differences(broker) == []


def test_what_an_earlier_migration_has_bound_doubles_nothing(broker: QuorumBroker) -> None:
    with broker.own_connection() as connection:
        channel = connection.channel()
        channel.queue_declare("intake-moving", durable=True, arguments={"x-queue-type": "quorum"})
        channel.exchange_declare(migration.MOVING_EXCHANGE, "fanout", durable=True)
        channel.queue_bind("intake-moving", migration.MOVING_EXCHANGE)
        for number in range(3):
            channel.basic_publish("", "intake-moving", str(number).encode())
    assert migrate(broker) == [Step("queue 'intake' was left half migrated", 3)]
    until_counted(broker, "intake", 3)


def test_a_queue_that_somebody_consumes_is_left_alone(broker: QuorumBroker) -> None:
    make_different(broker, "render", {})
    broker.channel.basic_publish("", "render", b"1")
    with broker.own_connection() as connection:
        channel = connection.channel()
        channel.basic_consume("dedupe", lambda *_: None)
        channel.basic_consume("render", lambda *_: None)
        with pytest.raises(MigrationRefusedError, match=r"queue 'render' has 1 consumers: stop the workers first"):
            migrate(broker)
    until_counted(broker, "render", 1)


def test_two_migrations_at_once_are_refused(broker: QuorumBroker) -> None:
    with broker.own_connection() as connection:
        channel = connection.channel()
        assert topology.exclusive(channel, "migration")
        with pytest.raises(MigrationRefusedError, match="another migration is running"):
            migrate(broker)


def test_definitions_json_is_what_the_code_declares(configure: Callable[..., None]) -> None:
    file = Path(__file__).parents[2] / "rabbitmq" / "definitions.json"
    assert json.loads(file.read_text()) == topology.definitions((4, 0), "/slowpost")
