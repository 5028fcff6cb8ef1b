"""What comes off a queue is believed by nobody, and acknowledged only where it came from."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import dramatiq
import pytest

import actors.consumer
from actors import running, topology, waiting
from actors.broker import QuorumBroker
from actors.intake import encode
from models import DeadLetter
from pipeline import faults
from pipeline.flow import Handoff, Stage
from tests.broker.conftest import take, until_counted


def consumed(broker: QuorumBroker, queue: str, number: int) -> tuple[Any, list[Any]]:
    """Return a consumer and the next `number` good messages that it gives."""
    consumer: Any = broker.consume(queue, prefetch=10, timeout=100)
    messages: list[Any] = []
    for _ in range(50):
        message = next(consumer)
        if message is not None:
            messages.append(message)
        if len(messages) == number:
            return consumer, messages
    raise AssertionError(f"{len(messages)} of {number} messages came")


def put(broker: QuorumBroker, queue: str, body: bytes) -> None:
    """Publish bytes as any program would."""
    broker.channel.basic_publish("", queue, body)


def test_bad_bodies_become_dead_letters_and_the_good_ones_between_them_go_on(
    broker: QuorumBroker, postgres: str
) -> None:
    envelope = json.loads(encode(Stage.INTAKE, [3]).encode())
    for body in (b"1", b"nonsense", b"[2, null]", json.dumps(envelope | {"queue_name": "deliver"}).encode()):
        put(broker, "intake", body)
    put(broker, "intake", json.dumps(envelope | {"options": None}).encode())

    consumer, messages = consumed(broker, "intake", 3)

    assert [m.args[0] for m in messages] == [[1], [2], [3]]
    assert [(d.queue, d.reason) for d in DeadLetter.select().order_by(DeadLetter.id)] == [
        ("intake", "the body is not JSON"),
        ("intake", "null is no id (a whole number from 1 to 2147483647)"),
        ("intake", "the envelope is for queue \"deliver\", it came from 'intake'"),
    ]
    for message in messages:
        consumer.ack(message)
    consumer.close()
    assert broker.counts()["intake"] == 0


def test_a_message_for_a_newer_version_is_held_back_and_comes_again(
    broker: QuorumBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actors.consumer, "HOLD_BACK", 0.1)
    body = json.dumps(json.loads(encode(Stage.DEDUPE, [1]).encode()) | {"actor_name": "check_consent"}).encode()
    put(broker, "dedupe", body)
    put(broker, "dedupe", encode(Stage.DEDUPE, [2]).encode())
    consumer, messages = consumed(broker, "dedupe", 1)
    consumer.ack(messages[0])
    consumer.close()
    assert take(broker, "dedupe")[2] == body


def test_an_acknowledgement_of_a_lost_channel_acknowledges_nothing_else(broker: QuorumBroker) -> None:
    put(broker, "dedupe", encode(Stage.DEDUPE, [1]).encode())
    old, (first,) = consumed(broker, "dedupe", 1)
    old.connection.close()
    put(broker, "dedupe", encode(Stage.DEDUPE, [2]).encode())
    new, again = consumed(broker, "dedupe", 2)
    assert first._tag in {m._tag for m in again}

    new.ack(first)

    new.close()
    until_counted(broker, "dedupe", 2)


def test_a_message_that_was_put_back_is_given_to_another_worker(broker: QuorumBroker) -> None:
    put(broker, "dedupe", encode(Stage.DEDUPE, [1]).encode())
    consumer, (message,) = consumed(broker, "dedupe", 1)
    running.WorkerState().after_process_message(broker, message, exception=waiting.PutBackError())
    consumer.ack(message)
    consumer.close()
    until_counted(broker, "dedupe", 1)


def test_a_stage_whose_handoff_can_not_be_published_waits_and_publishes_it_then(
    broker: QuorumBroker, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(dramatiq, "get_broker", lambda: broker)
    refusals = iter([True, True, False])
    publish = broker.publish

    def refuse_twice(*args: Any) -> None:
        if next(refusals):
            raise dramatiq.errors.ConnectionClosed(RuntimeError("memory alarm"))
        publish(*args)

    monkeypatch.setattr(broker, "publish", refuse_twice)
    waiting.patiently(lambda: running.publish([Handoff(Stage.RENDER, [1])]))
    assert broker.counts()["render"] == 1


def test_a_worker_that_is_told_to_stop_while_it_waits_puts_the_message_back(monkeypatch: pytest.MonkeyPatch) -> None:
    stopping = threading.Event()
    monkeypatch.setattr(waiting, "_stopping", stopping)
    stopping.set()

    def away() -> None:
        raise dramatiq.errors.ConnectionClosed(RuntimeError("away"))

    with pytest.raises(waiting.PutBackError):
        waiting.patiently(away)


def test_the_queue_for_a_persons_eyes_is_there(broker: QuorumBroker, configure: Callable[..., None]) -> None:
    assert broker.counts()[topology.DEAD_LETTER_QUEUE] == 0
