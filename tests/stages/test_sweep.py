"""The sweep: what stands still goes back on the route, once in ten minutes; what nobody can know is in doubt."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable

import pytest

from models import Attempt, Delivery, Outcome, State, database
from pipeline import sweep
from pipeline.flow import TRIGGER, Handoff, Stage
from tests.builders import a_delivery, an_account
from tests.conftest import Clock


@pytest.mark.parametrize(
    ("state", "stage"),
    [
        (State.SELECTED, Stage.DEDUPE),
        (State.CLEARED, Stage.RENDER),
        (State.SENT, Stage.RECORD),
        (State.BOUNCED, Stage.RECORD),
        (State.FAILED, Stage.RECORD),
        (State.IN_DOUBT, Stage.RECORD),
    ],
)
def test_what_stands_still_for_two_minutes_is_put_back_once_in_ten(
    any_database: str, clock: Clock, state: State, stage: Stage
) -> None:
    delivery = a_delivery(state)
    clock.tick(120)
    assert sweep.sweep() == []
    clock.tick(1)
    assert sweep.sweep() == [Handoff(stage, [delivery.id])]
    clock.tick(600)
    assert sweep.sweep() == []
    clock.tick(1)
    assert sweep.sweep() == [Handoff(stage, [delivery.id])]


def test_a_slot_whose_message_was_lost_is_delivered_again(any_database: str, clock: Clock) -> None:
    send_at = clock.at + dt.timedelta(minutes=5)
    delivery = a_delivery(State.RESERVED, account=an_account(), send_at=send_at, token="slot")
    clock.at = send_at + dt.timedelta(seconds=360)
    assert sweep.sweep() == []
    clock.tick(1)
    assert sweep.sweep() == [Handoff(Stage.DELIVER, [delivery.id], not_before=send_at, slot_token="slot")]


def test_a_claim_without_an_outcome_is_in_doubt_after_twenty_minutes_and_keeps_counting(
    any_database: str, clock: Clock
) -> None:
    account = an_account()
    delivery = a_delivery(State.SENDING, account=account, token="claim")
    Attempt.create(delivery=delivery, account=account, token="claim", claimed_at=clock.at, outcome=Outcome.OPEN)
    clock.tick(20 * 60 - 1)
    sweep.sweep()
    assert Delivery.get().state == State.SENDING
    clock.tick(1)
    assert sweep.sweep() == [Handoff(Stage.RECORD, [delivery.id])]
    assert (Delivery.get().state, Delivery.get().reason) == (State.IN_DOUBT, "no_outcome")
    assert Attempt.get().outcome == Outcome.IN_DOUBT


def test_the_doubt_waits_for_all_timeouts_of_the_dialogue(
    any_database: str, clock: Clock, configure: Callable[..., None]
) -> None:
    configure(mail_smtp_timeout=120, mail_data_timeout=1200)
    delivery = a_delivery(State.SENDING, account=an_account(), token="claim")
    Attempt.create(
        delivery=delivery, account=delivery.account, token="claim", claimed_at=clock.at, outcome=Outcome.OPEN
    )
    clock.tick(31 * 60 - 1)
    sweep.sweep()
    assert Delivery.get().state == State.SENDING
    clock.tick(1)
    sweep.sweep()
    assert Delivery.get().state == State.IN_DOUBT


def test_one_trigger_if_something_is_ready_and_an_account_is_free(any_database: str, clock: Clock) -> None:
    a_delivery(State.READY)
    assert sweep.sweep() == []
    account = an_account()
    assert sweep.sweep() == [TRIGGER]
    a_delivery(State.RESERVED, account=account, send_at=clock.at, token="slot")
    assert sweep.sweep() == []


def test_two_sweeps_at_once_put_a_row_back_once(any_database: str, clock: Clock) -> None:
    deliveries = [a_delivery(State.SELECTED).id for _ in range(20)]
    clock.tick(121)
    start = threading.Barrier(4)
    put_back: list[int] = []

    def work() -> None:
        with database.connection():
            start.wait()
            put_back.extend(i for handoff in sweep.sweep() for i in handoff.ids)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(put_back) == deliveries


def test_an_embedded_process_starts_with_everything_unfinished(sqlite: str, clock: Clock) -> None:
    account = an_account()
    selected, cleared = a_delivery(State.SELECTED), a_delivery(State.CLEARED)
    reserved = a_delivery(State.RESERVED, account=account, send_at=clock.at, token="slot")
    claimed = a_delivery(State.SENDING, account=account, token="claim")
    Attempt.create(delivery=claimed, account=account, token="claim", claimed_at=clock.at, outcome=Outcome.OPEN)
    assert sweep.refill() == [
        Handoff(Stage.DEDUPE, [selected.id]),
        Handoff(Stage.RENDER, [cleared.id]),
        Handoff(Stage.DELIVER, [reserved.id], not_before=clock.at, slot_token="slot"),
        Handoff(Stage.RECORD, [claimed.id]),
        TRIGGER,
    ]
    assert Delivery.get_by_id(claimed.id).state == State.IN_DOUBT


def test_with_a_database_that_others_share_a_young_claim_is_left_alone(
    postgres: str, clock: Clock, configure: Callable[..., None]
) -> None:
    account = an_account()
    claimed = a_delivery(State.SENDING, account=account, token="claim")
    Attempt.create(delivery=claimed, account=account, token="claim", claimed_at=clock.at, outcome=Outcome.OPEN)
    sweep.refill()
    assert Delivery.get_by_id(claimed.id).state == State.SENDING
