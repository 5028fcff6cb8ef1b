"""A fault is looked for id by id; trouble outside is nobody's fault; the states go only where the table allows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

import peewee
import pytest
import structlog
from psycopg2.errors import ReadOnlySqlTransaction

from actors import stages
from models import Cause, DeadLetter, Delivery, State, transition
from models.delivery import of_ids
from models.states import TRANSITIONS, IllegalTransitionError
from pipeline.flow import Handoff, Stage
from pipeline.runtime import faults, waiting
from tests.builders import a_delivery


def test_an_id_that_raises_is_given_up_after_three_tries_and_its_neighbours_go_on() -> None:
    tried: Counter[int] = Counter()
    given_up: list[int] = []

    def run(ids: Sequence[int]) -> list[Handoff]:
        tried.update(ids)
        if 2 in ids:
            raise ZeroDivisionError
        return [Handoff(Stage.RENDER, ids)]

    def give_up(i: int, _: Exception) -> list[Handoff]:
        given_up.append(i)
        return [Handoff(Stage.RECORD, [i])]

    handoffs = faults.isolated(run, [1, 2, 3], give_up)
    assert handoffs == [Handoff(Stage.RENDER, [1]), Handoff(Stage.RECORD, [2]), Handoff(Stage.RENDER, [3])]
    assert (tried[2], given_up) == (1 + 3, [2])


@pytest.mark.parametrize("ids", [[1, 2], [1]], ids=["a list", "a single id"])
@pytest.mark.parametrize(
    "trouble",
    [
        peewee.OperationalError("database is locked"),
        peewee.InterfaceError("connection already closed"),
        waiting.TroubleOutsideError("the key file is not there"),
        peewee.InternalError(ReadOnlySqlTransaction("cannot execute UPDATE in a read-only transaction")),
    ],
    ids=lambda trouble: type(trouble).__name__,
)
def test_trouble_outside_is_raised_at_once_and_uses_up_nobodys_tries(
    any_database: str, ids: list[int], trouble: Exception
) -> None:
    tried: list[Sequence[int]] = []

    def away(some: Sequence[int]) -> list[Handoff]:
        tried.append(some)
        raise trouble

    with pytest.raises(type(trouble)):
        faults.isolated(away, ids, lambda _i, _e: pytest.fail("given up"))
    assert tried == [ids]


def test_an_error_that_passes_by_gives_nobody_up() -> None:
    fails = iter([True, True, False])

    def run(ids: Sequence[int]) -> list[Handoff]:
        if next(fails):
            raise ZeroDivisionError
        return [Handoff(Stage.RENDER, ids)]

    assert faults.isolated(run, [1], lambda _i, _e: pytest.fail("given up")) == [Handoff(Stage.RENDER, [1])]


def test_a_delivery_that_can_not_be_processed_fails_with_its_dead_letter(any_database: str) -> None:
    delivery, claimed = a_delivery(State.CLEARED), a_delivery(State.SENDING)
    for one in (delivery, claimed):
        faults.give_up_delivery(one.id, ValueError("odd"))
    assert Delivery.get_by_id(delivery.id).reason == "fault"
    assert Delivery.get_by_id(claimed.id).state == State.SENDING
    assert [(d.delivery_id, d.reason, d.detail) for d in DeadLetter.select()] == [
        (delivery.id, "fault", "ValueError: odd")
    ]


def test_the_states_go_where_the_design_says() -> None:
    assert {state: set(to) for state, to in TRANSITIONS.items()} == {
        "selected": {"cleared", "skipped", "failed", "cancelled"},
        "cleared": {"ready", "skipped", "failed", "cancelled"},
        "ready": {"reserved", "skipped", "failed", "cancelled", "sent"},
        "reserved": {"sending", "ready", "skipped", "bounced", "failed", "cancelled", "sent"},
        "sending": {"sent", "ready", "bounced", "failed", "in_doubt"},
        "in_doubt": {"sent", "bounced", "failed", "ready"},
        "failed": {"ready"},
        "sent": set(),
        "skipped": set(),
        "bounced": set(),
        "cancelled": set(),
    }


def test_an_illegal_transition_is_refused_and_one_that_does_not_match_moves_nothing(any_database: str) -> None:
    delivery = a_delivery(State.SENT)
    with pytest.raises(IllegalTransitionError):
        transition(State.SENT, State.READY, of_ids([delivery.id]), cause=Cause.OUTSIDE)
    assert transition(State.READY, State.CANCELLED, of_ids([delivery.id]), cause=Cause.OUTSIDE) == []
    assert Delivery.get().state == State.SENT


def test_a_fault_in_the_log_names_its_place_and_quotes_no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    captured = structlog.testing.CapturingLogger()
    monkeypatch.setattr(faults, "log", structlog.wrap_logger(captured, processors=[]))

    def run(_: Sequence[int]) -> list[Handoff]:
        raise ValueError("Key (address)=(ann@x.test) already exists")

    faults.isolated(run, [1], lambda _i, _e: [])
    events = [call.kwargs for call in captured.calls]
    assert [e["error"] for e in events] == ["ValueError"] * faults.MAX_TRIES
    assert events[0]["where"][-1].endswith(" run")
    assert "ann@x.test" not in repr(events)


def test_contacts_that_stage_1_gives_up_are_each_kept_as_they_were_asked_for(
    any_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def odd(_ids: Sequence[int], **_asked: object) -> list[Handoff]:
        raise ValueError("odd")

    monkeypatch.setattr(stages, "select", odd)
    for _ in range(2):
        stages.select_contacts.act([3, 4], source="a list", template_id=7, priority=9)
    letters = DeadLetter.select().order_by(DeadLetter.id)
    kept = [(letter.message_id, letter.reason, json.loads(bytes(letter.body))) for letter in letters]
    assert kept == [
        ("a list", f"contact {i}: fault: ValueError: odd", {"contact_ids": [i], "template_id": 7, "priority": 9})
        for i in (3, 4)
    ]
