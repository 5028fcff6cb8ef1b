"""What comes off a queue is believed by nobody, and acknowledged only where it came from."""

from __future__ import annotations

import datetime
import json
import threading
from typing import Any

import dramatiq
import peewee
import pika
import pytest
from dramatiq.brokers.rabbitmq import _RabbitmqConsumer

import actors.rabbitmq.consumer
from actors import running, waiting
from actors.gathering import PREFETCH
from actors.intake import decode, encode
from actors.rabbitmq.broker import QuorumBroker
from actors.rabbitmq.consumer import MAX_DEFERS
from models import DeadLetter
from pipeline.flow import Handoff, Stage
from pipeline.runtime import waiting as waits
from tests.broker.conftest import UNIT_MS, take, until, until_counted


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
        ("intake", "contact_ids[1]: null is no id (a whole number from 1 to 2147483647)"),
        ("intake", "the envelope is for queue \"deliver\", it came from 'intake'"),
    ]
    for message in messages:
        consumer.ack(message)
    consumer.close()
    assert broker.counts()["intake"] == 0


def test_a_message_for_a_newer_version_is_held_back_and_comes_again(
    broker: QuorumBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actors.rabbitmq.consumer, "DEFER", 0.1)
    body = json.dumps(json.loads(encode(Stage.DEDUPE, [1]).encode()) | {"actor_name": "check_consent"}).encode()
    put(broker, "dedupe", body)
    put(broker, "dedupe", encode(Stage.DEDUPE, [2]).encode())
    consumer, messages = consumed(broker, "dedupe", 1)
    consumer.ack(messages[0])
    consumer.close()
    _, properties, again = take(broker, "dedupe")
    assert (again, properties.headers["held-back"]) == (body, 1)


@pytest.mark.parametrize(("held_back", "is_given_up"), [(MAX_DEFERS - 1, False), (MAX_DEFERS, True), (-(2**63), False)])
def test_a_message_for_an_actor_that_never_comes_is_a_dead_letter_after_a_day(
    broker: QuorumBroker, postgres: str, held_back: int, is_given_up: bool
) -> None:
    body = json.dumps(json.loads(encode(Stage.DEDUPE, [1]).encode()) | {"actor_name": "check_consent"}).encode()
    broker.channel.basic_publish("", "dedupe", body, raw_properties(headers={"held-back": held_back}))
    put(broker, "dedupe", encode(Stage.DEDUPE, [2]).encode())
    consumer, messages = consumed(broker, "dedupe", 1)
    consumer.ack(messages[0])
    consumer.close()
    gave_up = 'unknown actor "check_consent": it was held back for a newer version 1440 times, and none came'
    assert [(d.reason, bytes(d.body)) for d in DeadLetter.select()] == [(gave_up, body)] * is_given_up
    waiting = {queue: number for queue, number in broker.counts().items() if number}
    assert waiting == ({"dead-letter": 1} if is_given_up else {"delay": 1})


def test_bad_ids_that_begin_alike_are_a_dead_letter_each_and_come_again_as_the_same(
    broker: QuorumBroker, postgres: str
) -> None:
    body = json.dumps({"contact_ids": ["x" * 90 + "1", "x" * 90 + "2", 7]}).encode()
    for _ in range(2):
        broker.channel.basic_publish("", "intake", body, raw_properties(message_id="m1"))
    consumer, messages = consumed(broker, "intake", 2)
    consumer.close()
    assert [m.args[0] for m in messages] == [[7], [7]]
    asked = [json.loads(bytes(d.body))["contact_ids"][0][-1] for d in DeadLetter.select().order_by(DeadLetter.id)]
    assert asked == ["1", "2"]


class StockBroker(QuorumBroker):
    """Our queues with Dramatiq's own consumer."""

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Any:
        """Return the stock consumer."""
        return _RabbitmqConsumer(self, queue_name, prefetch, timeout)


@pytest.mark.parametrize(
    "kind",
    [
        QuorumBroker,
        pytest.param(
            StockBroker, marks=pytest.mark.xfail(strict=True, reason="it acknowledges whatever has the same tag now")
        ),
    ],
)
def test_an_acknowledgement_of_a_lost_channel_acknowledges_nothing_else(
    broker: QuorumBroker, empty_rabbitmq: str, kind: type[QuorumBroker]
) -> None:
    consuming = kind(empty_rabbitmq, middleware=[], unit_ms=UNIT_MS)
    put(broker, "dedupe", encode(Stage.DEDUPE, [1]).encode())
    old, (first,) = consumed(consuming, "dedupe", 1)
    old.connection.close()
    put(broker, "dedupe", encode(Stage.DEDUPE, [2]).encode())
    new, again = consumed(consuming, "dedupe", 2)
    assert first._tag in {m._tag for m in again}

    new.ack(first)

    new.close()
    consuming.close()
    until_counted(broker, "dedupe", 2)


def test_no_property_of_a_message_ends_its_consumer(broker: QuorumBroker, postgres: str) -> None:
    for bad in (
        raw_properties(message_id=b"\xff\xfe"),
        raw_properties(message_id="a\0b"),
        raw_properties(headers={"at": BeyondTheYear9999(2026, 1, 1)}),
        raw_properties(headers={"words": b"\xff", "deep": {"er": {"at": BeyondTheYear9999(2026, 1, 1)}}}),
    ):
        broker.channel.basic_publish("", "intake", b"7", bad)
    put(broker, "intake", b"8")
    consumer, messages = consumed(broker, "intake", 3)
    consumer.close()
    assert [m.args[0] for m in messages] == [[7], [7], [8]]
    assert [d.reason for d in DeadLetter.select()] == ["the AMQP message_id is no text of 1 to 255 bytes"] * 2


def test_a_consumer_that_finds_the_database_away_waits_and_gives_nothing_back(
    broker: QuorumBroker, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waits, "FIRST_WAIT", 0.01)
    file_messages, away = actors.rabbitmq.consumer.file_messages, iter([True, True, False])

    def file(*args: Any, **options: Any) -> Any:
        if next(away):
            raise peewee.OperationalError("server closed the connection")
        return file_messages(*args, **options)

    monkeypatch.setattr(actors.rabbitmq.consumer, "file_messages", file)
    for body in (b"1", b"nonsense", b"2"):
        put(broker, "intake", body)
    consumer, messages = consumed(broker, "intake", 2)
    assert [(m.args[0], m.redelivered) for m in messages] == [([1], False), ([2], False)]
    assert [d.reason for d in DeadLetter.select()] == ["the body is not JSON"]
    consumer.close()


def test_a_mistake_of_ours_keeps_the_message_and_the_queue_goes_on(
    broker: QuorumBroker, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = actors.rabbitmq.consumer.decode

    def mistaken(queue: str, body: bytes, message_id: Any) -> Any:
        return decode(queue, body, message_id) if body != b"7" else 1 / 0

    monkeypatch.setattr(actors.rabbitmq.consumer, "decode", mistaken)
    put(broker, "intake", b"7")
    put(broker, "intake", b"8")
    consumer, messages = consumed(broker, "intake", 1)
    consumer.close()
    assert messages[0].args[0] == [8]
    assert [(d.reason, bytes(d.body)) for d in DeadLetter.select()] == [("fault: ZeroDivisionError", b"7")]


def test_a_mistake_around_a_stage_keeps_its_message_as_a_dead_letter_and_acknowledges_it(
    broker: QuorumBroker, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dramatiq.broker, "global_broker", broker)

    def deliver_message(_ids: list[int], *, slot_token: str) -> list[Handoff]:
        raise ArithmeticError(slot_token)

    def give_up(_id: int, _error: Exception, **_asked: object) -> list[Handoff]:
        raise LookupError

    running.stage_actor(Stage.DELIVER, give_up)(deliver_message).declare(broker)
    worker = dramatiq.Worker(broker, queues={Stage.DELIVER}, worker_threads=1, worker_timeout=50)
    worker.start()
    try:
        # More than are prefetched.
        for number in range(5):
            broker.send(encode(Stage.DELIVER, [number + 1], slot_token="t"))
        until(lambda: DeadLetter.select().count() == 5)
    finally:
        worker.stop()
    until_counted(broker, "deliver", 0)
    letter = DeadLetter.get(DeadLetter.id == 1)
    assert (letter.queue, letter.reason) == ("deliver", "fault: LookupError: ")
    message = decode("deliver", bytes(letter.body), None).message
    assert message is not None
    assert (message.args, message.kwargs) == (([1],), {"slot_token": "t"})


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
    monkeypatch.setattr(waits, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(dramatiq, "get_broker", lambda: broker)
    refusals = iter([True, True, False])
    publish = broker.publish

    def refuse_twice(*args: Any) -> None:
        if next(refusals):
            raise dramatiq.errors.ConnectionClosed(RuntimeError("memory alarm"))
        publish(*args)

    monkeypatch.setattr(broker, "publish", refuse_twice)
    waiting.until_available(lambda: running.publish([Handoff(Stage.RENDER, [1])]))
    assert broker.counts()["render"] == 1


def test_a_worker_that_is_told_to_stop_while_it_waits_puts_the_message_back(monkeypatch: pytest.MonkeyPatch) -> None:
    stopping = threading.Event()
    monkeypatch.setattr(waiting, "_stopping", stopping)
    stopping.set()

    def away() -> None:
        raise dramatiq.errors.ConnectionClosed(RuntimeError("away"))

    with pytest.raises(waiting.PutBackError):
        waiting.until_available(away)


def consumed(broker: QuorumBroker, queue: str, number: int) -> tuple[Any, list[Any]]:
    """Return a consumer that shares with nobody, and the next `number` good messages that it gives."""
    consumer: Any = broker.consume(queue, prefetch=10, timeout=100)
    consumer.prefetch = PREFETCH
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


def raw_properties(**properties: Any) -> pika.BasicProperties:
    """Return properties as other programs send them and pika would not."""
    return pika.BasicProperties(delivery_mode=2, **properties)


class BeyondTheYear9999(datetime.datetime):
    """A point in time in an AMQP header that Python has no datetime for."""

    def utctimetuple(self) -> Any:
        """Return what pika makes the number of seconds of."""
        return (2026, 1, 1, 10**12, 0, 0)
