"""Delays and retries are held by RabbitMQ, exactly; what is declared again stays as it is."""

from __future__ import annotations

import time
from typing import Any

import pika
import pytest

from actors import entry
from actors.intake import encode
from actors.rabbitmq import topology
from actors.rabbitmq.broker import QuorumBroker
from pipeline.flow import Stage
from tests.broker import vhost
from tests.broker.conftest import take


@pytest.mark.parametrize("seconds", [0.01, 0.07, 0.2, 1.0, 1.27])
def test_a_delay_is_never_early_and_ends(broker: QuorumBroker, seconds: float) -> None:
    sent = time.monotonic()
    broker.send(encode(Stage.DELIVER, [1], slot_token="t"), delay=seconds)
    arrived = take(broker, Stage.DELIVER)[0]
    # The machine may be busy, so the end is generous; the next test would see a wrong level.
    assert seconds <= arrived - sent < 2 * seconds + 1


def test_delays_overtake_each_other(broker: QuorumBroker) -> None:
    for delay in (0.9, 0.1, 0.5):
        broker.send(encode(Stage.DELIVER, [int(delay * 10)], slot_token="t"), delay=delay)
    bodies = [take(broker, Stage.DELIVER)[2] for _ in range(3)]
    assert [body.split(b'"args":[[')[1][:1] for body in bodies] == [b"1", b"5", b"9"]


def test_the_longest_delay_is_the_ladders_length_and_no_longer(broker: QuorumBroker) -> None:
    exchange, key = topology.delayed(Stage.DELIVER, 400_000)
    assert exchange == "delay-17"
    assert key == ".".join("1" * 18) + ".deliver"
    broker.send(encode(Stage.DELIVER, [1], slot_token="t"), delay=400_000)
    assert broker.counts()["delay"] == 1


def test_a_retry_waits_in_the_queue_of_its_backoff_and_goes_on_to_reserve(broker: QuorumBroker) -> None:
    sent = time.monotonic()
    broker.send(encode(Stage.RESERVE, [1]), backoff=1)
    assert broker.counts()["retry-1s"] == 1
    assert take(broker, Stage.RESERVE)[0] - sent >= 1


def test_declaring_again_changes_nothing(broker: QuorumBroker) -> None:
    broker.send(encode(Stage.RENDER, [1]))
    broker.declare_topology()
    assert broker.counts()["render"] == 1


def test_what_has_been_declared_is_not_declared_again_after_a_close(
    broker: QuorumBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = vhost.changes(monkeypatch)
    broker.close()
    broker.send(encode(Stage.RENDER, [1]))
    assert (broker.counts()["render"], changes) == (1, set())


def test_messages_are_persistent_carry_their_id_and_go_nowhere_unseen(broker: QuorumBroker) -> None:
    message = encode(Stage.RENDER, [1])
    broker.send(message)
    _, properties, body = take(broker, Stage.RENDER)
    assert (properties.delivery_mode, properties.message_id, body) == (2, message.message_id, message.encode())


def test_a_server_that_has_lost_the_topology_gets_it_again_with_the_next_message(broker: QuorumBroker) -> None:
    broker.channel.queue_delete(Stage.RENDER)
    broker.send(encode(Stage.RENDER, [1]))
    assert broker.counts()["render"] == 1


def test_depths_are_asked_on_a_connection_of_their_own_and_a_queue_that_is_not_there_is_said(
    broker: QuorumBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry, "_broker", lambda: broker)
    broker.send(encode(Stage.RENDER, [1]))
    at_work = broker.channel
    depths, away = entry.queue_depths()
    assert (depths["render"], depths["delay"], away) == (1, 0, None)
    assert (broker.channel is at_work, at_work.is_open) == (True, True)
    at_work.queue_delete(Stage.RENDER)
    depths, away = entry.queue_depths()
    assert (depths, "no queue 'render'" in (away or "")) == ({}, True)


def test_every_queue_is_a_quorum_queue_that_dead_letters_at_least_once() -> None:
    for version in ((3, 10), (4, 1)):
        for queue in topology.topology(version).queues:
            arguments: Any = queue.arguments
            assert arguments["x-queue-type"] == "quorum"
            if queue.name == topology.DEAD_LETTER_QUEUE:
                assert arguments.get("x-delivery-limit") == (-1 if version >= (4,) else None)
            else:
                assert arguments["x-dead-letter-strategy"] == "at-least-once"
                assert arguments["x-overflow"] == "reject-publish"


def test_no_queue_of_dramatiqs_own_is_declared(broker: QuorumBroker) -> None:
    for name in ("deliver.DQ", "deliver.XQ"):
        with pytest.raises(pika.exceptions.ChannelClosedByBroker):
            broker.channel.queue_declare(name, passive=True)
        del broker.channel
