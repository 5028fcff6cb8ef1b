"""The queue `dead-letter` shows what the rows say: added, removed, and filed where RabbitMQ itself gave up."""

from __future__ import annotations

import json
from typing import Any

import pika
import pytest
from dramatiq.errors import ConnectionClosed

from actors.rabbitmq import dead_letters, migration, topology
from actors.rabbitmq.broker import QuorumBroker
from actors.rabbitmq.dead_letters import InStep
from models import DeadLetter, Resolution, database
from models.dead_letter import file_deliveries, file_message
from pipeline.flow import Stage
from pipeline.operations import decisions
from tests.broker.conftest import until, until_counted
from tests.builders import a_delivery


def test_a_copy_says_which_row_it_shows_why_and_what_was_given_up(broker: QuorumBroker, postgres: str) -> None:
    letter = a_letter(b"x" * 10_000)
    delivery = a_delivery(state="failed", reason="attempts_used_up")
    file_deliveries({delivery.id: ("attempts_used_up", "450 someone@example.test is busy")}, database.now())
    broker.show(DeadLetter.select().order_by(DeadLetter.id))
    (message, body), (other, about) = shown(broker)
    assert (message["dead-letter"], message["reason"], message["queue"]) == (
        letter.id,
        "the body is not JSON",
        "intake",
    )
    assert (message["bytes"], body) == (10_000, b"x" * dead_letters.MAX_SHOWN)
    assert (other["reason"], json.loads(about)) == ("attempts_used_up", {"delivery_id": delivery.id})


def test_copies_that_are_missing_are_added_and_those_of_closed_or_no_rows_removed(
    broker: QuorumBroker, postgres: str
) -> None:
    kept, replayed, missing = a_letter(), a_letter(), a_letter()
    broker.show([kept, kept, replayed])
    DeadLetter.update(resolution=Resolution.REPLAYED, resolved_at=database.now()).where(
        DeadLetter.id == replayed.id
    ).execute()
    assert broker.keep_in_step() == InStep(filed=0, added=1, removed=2)
    assert [headers["dead-letter"] for headers, _ in shown(broker)] == [kept.id, missing.id]
    assert broker.keep_in_step() == InStep()


def test_of_a_queue_that_was_not_seen_to_its_end_no_copy_is_taken_for_missing(
    broker: QuorumBroker, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.show([a_letter(), a_letter()])
    messages = dead_letters._messages
    monkeypatch.setattr(dead_letters, "_messages", lambda channel, number: messages(channel, number - 1))
    assert broker.keep_in_step() == InStep()
    assert len(shown(broker)) == 2


def test_while_copies_are_on_their_way_nothing_is_compared(
    broker: QuorumBroker, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "ON_ITS_WAY", -dead_letters.ON_ITS_WAY)
    monkeypatch.setattr(topology, "exclusive", lambda *_: pytest.fail("it is compared"))
    broker.show([a_letter()])
    a_letter()
    assert broker.keep_in_step(thorough=False) == InStep()


def test_what_rabbitmq_has_dead_lettered_itself_is_filed_and_can_be_replayed(
    broker: QuorumBroker, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    properties = pika.BasicProperties(message_id="m1", delivery_mode=2)
    broker.channel.basic_publish("", Stage.INTAKE, b"[1, 2]", properties)
    # What RabbitMQ 4 does to a message that comes back for the 21st time, any server does to one that is rejected.
    method, _, _ = broker.channel.basic_get(Stage.INTAKE)
    broker.channel.basic_reject(method.delivery_tag, requeue=False)
    until_counted(broker, QUEUE, 1)

    assert broker.keep_in_step() == InStep(filed=1, added=1)

    letter = DeadLetter.get()
    assert (letter.queue, bytes(letter.body), letter.message_id) == ("intake", b"[1, 2]", "m1")
    assert letter.reason == "RabbitMQ took it off 'intake': rejected"
    assert [headers["dead-letter"] for headers, _ in shown(broker)] == [letter.id]
    decisions.discard(letter.id, "me")
    assert broker.keep_in_step() == InStep(removed=1)
    assert shown(broker) == []


def test_what_somebody_puts_there_by_hand_is_filed_too(broker: QuorumBroker, postgres: str) -> None:
    broker.channel.basic_publish("", QUEUE, b"hello", pika.BasicProperties(headers={"dead-letter": "one"}))
    until_counted(broker, QUEUE, 1)
    assert broker.keep_in_step().filed == 1
    assert [(d.queue, d.reason) for d in DeadLetter.select()] == [(None, "somebody put it on the queue dead-letter")]


@pytest.mark.parametrize(
    "headers",
    [{"dead-letter": 999}, {"dead-letter": 1, "x-first-death-queue": "intake"}],
    ids=["made up", "moved away"],
)
def test_what_only_looks_like_a_copy_is_filed_and_not_thrown_away(
    broker: QuorumBroker, postgres: str, headers: dict[str, Any]
) -> None:
    message_id = None if headers["dead-letter"] == 999 else "dead-letter-1"
    broker.channel.basic_publish("", QUEUE, b"a message", pika.BasicProperties(headers=headers, message_id=message_id))
    until_counted(broker, QUEUE, 1)
    assert broker.keep_in_step() == InStep(filed=1, added=1)
    assert bytes(DeadLetter.get().body) == b"a message"


def test_a_queue_that_somebody_has_deleted_is_there_again(broker: QuorumBroker, postgres: str) -> None:
    a_letter()
    broker.channel.queue_delete(QUEUE)
    with pytest.raises(ConnectionClosed):
        broker.keep_in_step()
    assert broker.keep_in_step() == InStep(added=1)


def test_a_migration_keeps_where_a_message_came_from(broker: QuorumBroker, postgres: str) -> None:
    broker.channel.basic_publish("", Stage.INTAKE, b"[1, 2]")
    method, _, _ = broker.channel.basic_get(Stage.INTAKE)
    broker.channel.basic_reject(method.delivery_tag, requeue=False)
    until_counted(broker, QUEUE, 1)
    with broker.own_connection() as connection:
        channel = connection.channel()
        channel.queue_declare("aside", durable=True, arguments={"x-queue-type": "quorum"})
        migration._move(connection, QUEUE, "aside", lambda *_: None)
        migration._move(connection, "aside", QUEUE, lambda *_: None)
        channel.queue_delete("aside")
    broker.keep_in_step()
    letter = DeadLetter.get()
    assert (letter.queue, letter.reason) == ("intake", "RabbitMQ took it off 'intake': rejected")


def test_the_sweep_compares_only_numbers_and_the_hour_compares_all(broker: QuorumBroker, postgres: str) -> None:
    a_letter()
    broker.channel.basic_publish("", QUEUE, b"hello")
    until_counted(broker, QUEUE, 1)
    assert broker.keep_in_step(thorough=False) == InStep()
    assert broker.keep_in_step(thorough=True) == InStep(filed=1, added=2)


def test_two_at_once_do_the_work_once(broker: QuorumBroker, postgres: str) -> None:
    a_letter()
    with broker.own_connection() as connection:
        channel = connection.channel()
        topology.exclusive(channel, "dead-letter-comparison")
        assert broker.keep_in_step() == InStep()
    until(lambda: broker.keep_in_step() == InStep(added=1))


QUEUE = "dead-letter"


@pytest.fixture(autouse=True)
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """No copy is on its way here."""
    monkeypatch.setattr(dead_letters, "ON_ITS_WAY", -dead_letters.ON_ITS_WAY)


def a_letter(body: bytes = b"nonsense") -> DeadLetter:
    """A message nobody could process."""
    return file_message(Stage.INTAKE, body, "the body is not JSON", database.now())[0]


def shown(broker: QuorumBroker) -> list[tuple[dict[str, Any], bytes]]:
    """Look at the queue as the management page does: headers and payloads, and all of it stays."""
    with broker.own_connection() as connection:
        channel = connection.channel()
        found = []
        while (message := channel.basic_get(QUEUE))[0] is not None:
            found.append((message[1].headers, message[2]))
    until_counted(broker, QUEUE, len(found))
    return found
