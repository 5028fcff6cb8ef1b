"""Messages that lie ready are one call, and each is safe by itself: on RabbitMQ, and inside one process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq
import pika
import pytest

import actors.rabbitmq.consumer
from actors import running
from actors.gathering import PREFETCH
from actors.intake import encode
from actors.memory import MemoryBroker
from actors.outgoing import Outgoing
from actors.rabbitmq.broker import QuorumBroker
from actors.rabbitmq.confirms import Confirms
from actors.running import WorkerState
from models import DeadLetter, Delivery
from pipeline.flow import Handoff, Stage, hand_on
from pipeline.select_contacts import Asked, give_up_contact, select
from tests.broker.conftest import until, until_counted
from tests.builders import a_contact, a_template


@pytest.fixture(params=["rabbitmq", "memory"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A broker of either kind, which the stages publish to."""
    if request.param == "rabbitmq":
        made: Any = request.getfixturevalue("broker")
    else:
        made = MemoryBroker([WorkerState()])
    monkeypatch.setattr(dramatiq.broker, "global_broker", made)
    yield made
    made.close()


def test_what_has_come_while_a_stage_was_busy_is_one_call_of_it(either: Any, postgres: str) -> None:
    calls = Calls()
    with working(either, Stage.DEDUPE, calls):
        put(either, [[1]])
        assert calls.begun.wait(20)
        put(either, [[i] for i in range(2, 151)])
        # All that is prefetched lies ready in the worker.
        until(lambda: calls.lying() == 149)
        calls.go_on.set()
        until(lambda: sum(map(len, calls.ids)) == 150)
    assert calls.ids[:2] == [[1], list(range(2, 102))]
    if isinstance(either, QuorumBroker):
        until_counted(either, Stage.DEDUPE, 0)
        until_counted(either, Stage.RENDER, len(calls.ids))
    else:
        # Each has been acknowledged: nothing is unfinished, and all that is fetched is free again.
        assert either.queues[Stage.DEDUPE].unfinished_tasks == 0


def test_each_message_is_acknowledged_by_itself_after_all_handoffs_of_its_group_are_confirmed(
    broker: QuorumBroker, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dramatiq.broker, "global_broker", broker)
    seen = noted(monkeypatch)
    calls = Calls(lambda ids: [*hand_on(Stage.RENDER, ids), *hand_on(Stage.RECORD, ids)])
    with working(broker, Stage.DEDUPE, calls):
        put(broker, [[1]])
        assert calls.begun.wait(20)
        put(broker, [[i] for i in range(2, 12)])
        until(lambda: calls.lying() == 10)
        seen.clear()
        calls.go_on.set()
        until(lambda: sum(kind == "ack" for kind, _ in seen) == 11)
    assert seen[:2] == [("confirmed", 2), ("ack", (1, False))]
    assert seen[2:] == [("confirmed", 2), *(("ack", (tag, False)) for tag in range(2, 12))]


@pytest.mark.parametrize("trouble", ["returned", "refused"])
def test_what_is_not_confirmed_is_published_again_as_a_whole_and_nothing_acknowledged_before(
    broker: QuorumBroker, postgres: str, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr(dramatiq.broker, "global_broker", broker)
    monkeypatch.setattr("pipeline.runtime.waiting.FIRST_WAIT", 0.1)
    seen = noted(monkeypatch)
    broker.channel.queue_delete(Stage.RECORD)
    if trouble == "refused":
        full = {"x-queue-type": "quorum", "x-overflow": "reject-publish", "x-max-length": 0}
        broker.channel.queue_declare(Stage.RECORD, durable=True, arguments=full)
        # It takes one more than it may have.
        broker.channel.basic_publish("", Stage.RECORD, b"")
        # Its queues are what they are: a worker that finds one changed waits for a person.
        monkeypatch.setattr(broker, "declare_topology", lambda: setattr(broker, "declared", True))
    calls = Calls(lambda ids: [*hand_on(Stage.RENDER, ids), *hand_on(Stage.RECORD, ids)])
    put(broker, [[1]])
    with working(broker, Stage.DEDUPE, calls):
        assert calls.begun.wait(20)
        put(broker, [[2], [3]])
        until(lambda: calls.lying() == 2)
        calls.go_on.set()
        if trouble == "refused":
            until(lambda: count_of(broker, Stage.RENDER) >= 2)
            assert "ack" not in {kind for kind, _ in seen}
            broker.channel.queue_delete(Stage.RECORD)
            broker.channel.queue_declare(Stage.RECORD, durable=True, arguments={"x-queue-type": "quorum"})
        until(lambda: sum(kind == "ack" for kind, _ in seen) == 3)
    assert [kind for kind, _ in seen][:2] == [
        "not confirmed",
        "confirmed" if trouble == "returned" else "not confirmed",
    ]
    assert calls.ids == [[1], [2, 3]]
    until_counted(broker, Stage.RECORD, 2)
    # Once more for each time that the list was published again.
    until_counted(broker, Stage.RENDER, sum(kind.endswith("confirmed") for kind, _ in seen))


def test_a_list_of_messages_costs_one_wait_and_a_lost_connection_in_it_publishes_all_again(
    broker: QuorumBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = []
    wait_until = Confirms._wait_until

    def counted(confirms: Confirms, is_so: Callable[[], bool]) -> None:
        waits.append(len(confirms._open))
        if len(waits) == 2:
            confirms.connection.close()
        wait_until(confirms, is_so)

    monkeypatch.setattr(Confirms, "_wait_until", counted)
    broker.send_all([Outgoing(encode(Stage.RENDER, [i])) for i in range(1, 31)])
    # Confirms are switched on and half of them waited for; then again, and all waited for.
    assert len(waits) == 2 + 3
    assert 30 <= count_of(broker, Stage.RENDER) <= 60


def test_a_group_whose_worker_dies_before_it_acknowledges_comes_again_each_alone_and_doubles_nothing(
    broker: QuorumBroker, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dramatiq.broker, "global_broker", broker)
    a_template()
    ids = [a_contact().id for _ in range(5)]
    for number, contact_id in enumerate(ids):
        broker.send(encode(Stage.INTAKE, [contact_id], f"m{number}"))
    first = Calls(lambda pairs: select(pairs))
    with monkeypatch.context() as dying:
        dying.setattr(pika.channel.Channel, "basic_ack", lambda *_args, **_options: None)
        with working(broker, Stage.INTAKE, first):
            first.go_on.set()
            until(lambda: sum(map(len, first.ids)) == 5)
    until_counted(broker, Stage.INTAKE, 5)
    again = Calls(lambda pairs: select(pairs))
    with working(broker, Stage.INTAKE, again):
        again.go_on.set()
        until_counted(broker, Stage.INTAKE, 0)
        until(lambda: len(again.ids) == 5)
    assert {len(pairs) for pairs in again.ids} == {1}
    assert [(d.source, d.contact_id, d.state) for d in Delivery.select().order_by(Delivery.id)] == [
        (f"m{number}", contact_id, "selected") for number, contact_id in enumerate(ids)
    ]


def test_one_that_fails_in_a_group_is_its_own_dead_letter_and_the_others_go_on(either: Any, postgres: str) -> None:
    a_template()
    first, good, bad, late = (a_contact().id for _ in range(4))

    def select_or_fail(pairs: list[Asked]) -> list[Handoff]:
        if bad in {contact_id for _, contact_id in pairs}:
            raise ArithmeticError
        return select(pairs)

    calls = Calls(select_or_fail)
    with working(either, Stage.INTAKE, calls, give_up_contact):
        put(either, [[first]], Stage.INTAKE)
        assert calls.begun.wait(20)
        for source, contact_id in (("m1", good), ("m2", bad), ("m3", late)):
            either.send_all([Outgoing(encode(Stage.INTAKE, [contact_id], source))])
        until(lambda: calls.lying() == 3)
        calls.go_on.set()
        until(lambda: Delivery.select().count() == 3 and DeadLetter.select().exists())
    assert calls.ids[1] == [("m1", good), ("m2", bad), ("m3", late)]
    assert [(d.message_id, d.reason) for d in DeadLetter.select()] == [
        ("m2", f"contact {bad}: fault: ArithmeticError: ")
    ]
    assert [d.source for d in Delivery.select().where(Delivery.contact != first).order_by(Delivery.id)] == ["m1", "m3"]


def test_of_four_that_begin_none_takes_over_half_of_what_lies_ready_and_an_empty_queue_is_shared(
    broker: QuorumBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actors.rabbitmq.consumer, "LOOK_AGAIN", 1000)
    put(broker, [[i] for i in range(1, 21)])
    consumers, taken = [], []
    for _ in range(4):
        consumers.append(broker.consume(Stage.DEDUPE, prefetch=16, timeout=200))
        taken.append(list(iter(lambda: next(consumers[-1]), None)))
    assert [len(messages) for messages in taken] == [10, 5, 2, 1]
    for consumer, messages in zip(consumers, taken, strict=True):
        messages += list(iter(lambda: next(consumer), None))  # noqa: B023
        for message in messages:
            consumer.ack(message)
    for consumer in consumers * 2:
        # What was not taken comes to whom has acknowledged.
        for message in iter(lambda: next(consumer), None):  # noqa: B023
            consumer.ack(message)
    for consumer in consumers:
        consumer._looks_at = 0
        assert next(consumer) is None
    assert [consumer.prefetch for consumer in consumers] == [PREFETCH] * 4
    put(broker, [[i] for i in range(1, 101)])
    assert [len(list(iter(lambda: next(consumer), None))) for consumer in consumers] == [25] * 4  # noqa: B023
    for consumer in consumers:
        consumer.close()


class Calls:
    """A stage that notes what it is called with; its first call waits for `go_on`.

    Attributes:
        ids: of each call.
        begun: the first call has begun.
        go_on: it may end.
        worker: whose stage it is.
    """

    worker: dramatiq.Worker

    def __init__(self, then: Callable[[Any], list[Handoff]] = lambda ids: hand_on(Stage.RENDER, ids)) -> None:
        self.ids: list[Any] = []
        self.begun, self.go_on = threading.Event(), threading.Event()
        self._then = then
        self.__name__ = "stage"

    def __call__(self, ids: Any) -> list[Handoff]:
        """Run the stage."""
        self.ids.append(list(ids))
        self.begun.set()
        assert self.go_on.wait(60)
        return self._then(ids)

    def lying(self) -> int:
        """Return how many messages the worker has that no thread has taken."""
        return sum(map(len, self.worker.work_queue._lying.values()))  # type: ignore[attr-defined]


@contextmanager
def working(
    broker: Any, stage: Stage, calls: Calls, give_up: Any = lambda _i, _e: pytest.fail("given up")
) -> Iterator[None]:
    """Let one thread run a stage for the block."""
    calls.__name__ = str(running_name(stage))
    broker.actors.pop(calls.__name__, None)
    running.stage_actor(stage, give_up)(calls).declare(broker)
    if isinstance(broker, MemoryBroker):
        for other in Stage:
            broker.declare_queue(other)
    calls.worker = dramatiq.Worker(broker, queues={stage}, worker_threads=1, worker_timeout=50)
    calls.worker.start()
    if isinstance(broker, QuorumBroker) and not count_of(broker, stage):
        # It has found the queue empty.
        until(lambda: getattr(calls.worker.consumers[stage].consumer, "prefetch", 0) == PREFETCH)
    try:
        yield
    finally:
        calls.go_on.set()
        calls.worker.stop()


def running_name(stage: Stage) -> str:
    """Return the name of a stage's actor."""
    return encode(stage, []).actor_name


def put(broker: Any, lists: list[list[int]], stage: Stage = Stage.DEDUPE) -> None:
    """Publish a message for each list of ids."""
    broker.send_all([Outgoing(encode(stage, ids)) for ids in lists])


def count_of(broker: QuorumBroker, queue: str) -> int:
    """Return how many messages are ready in a queue."""
    return int(broker.channel.queue_declare(queue, passive=True).method.message_count)


def noted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Return a list to which each confirmed list of handoffs is added, each that was not, and each acknowledgement."""
    seen: list[tuple[str, Any]] = []
    publish, ack = Confirms.publish, pika.channel.Channel.basic_ack

    def publishing(confirms: Confirms, publications: Any) -> None:
        if not any(p.routing_key in (Stage.RENDER, Stage.RECORD) for p in publications):
            publish(confirms, publications)
            return
        try:
            publish(confirms, publications)
        except Exception:
            seen.append(("not confirmed", len(publications)))
            raise
        seen.append(("confirmed", len(publications)))

    def acknowledging(channel: Any, delivery_tag: int = 0, multiple: bool = False) -> None:
        seen.append(("ack", (delivery_tag, multiple)))
        ack(channel, delivery_tag, multiple)

    monkeypatch.setattr(Confirms, "publish", publishing)
    monkeypatch.setattr(pika.channel.Channel, "basic_ack", acknowledging)
    return seen
