"""How mails follow each other: by the wake-up alone, evenly, and after an outage without a burst."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from models import Attempt, Delivery, State
from pipeline import select_contacts
from pipeline.flow import TRIGGER
from pipeline.operations import pause
from tests.accelerated import Accelerated
from tests.builders import a_contact, a_delivery, a_template, an_account
from tests.conftest import Clock
from tests.smtp_server import ScriptedServer


def test_a_contact_published_in_the_evening_goes_out_in_the_morning_by_the_wake_up_alone(
    any_database: str, clock: Clock, server: ScriptedServer
) -> None:
    clock.at = local(20)
    an_account(port=server.port)
    a_template()
    contact = a_contact()
    run = Accelerated(clock)
    run.put(*select_contacts.select(select_contacts.asked("in the evening", [contact.id])))
    run.run(local(7, 59, day=3))
    assert Delivery.get().state == State.READY
    run.run(local(8, 1, day=3))
    assert sent() == [local(8, day=3)]


def test_two_and_then_a_hundred_are_sent_up_to_the_limit_and_evenly_until_the_end(
    any_database: str, clock: Clock, server: ScriptedServer
) -> None:
    clock.at = local(8)
    an_account(port=server.port, daily_limit=10)
    wait_for(2)
    run = Accelerated(clock)
    run.put(TRIGGER)
    run.run(local(8, 5))
    wait_for(100)
    run.put(TRIGGER)
    run.run(local(17))
    times = sent()
    assert (len(times), times[0]) == (10, local(8))
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gaps) - min(gaps) < dt.timedelta(seconds=2)
    assert local(16) < times[-1] < local(17)


@pytest.mark.parametrize("how", ["the workers are away", "everything is paused"])
def test_slots_that_were_missed_do_not_go_out_together_afterwards(
    any_database: str, clock: Clock, server: ScriptedServer, how: str
) -> None:
    clock.at = local(8)
    for _ in range(5):
        an_account(port=server.port, daily_limit=10)
    wait_for(40)
    run = Accelerated(clock)
    run.put(TRIGGER)
    run.run(local(9))
    before = len(sent())
    if how == "everything is paused":
        pause.pause(pause.Target(), "a test")
        run.run(local(13))
        run.put(*pause.resume(pause.Target(), "a test").handoffs)
    clock.at = local(13)
    run.run(local(17))
    after = sent()[before:]
    assert len(after) == 40 - before
    assert after[0] >= local(13)
    fair = (local(17) - local(13)) / len(after)
    assert min(later - earlier for earlier, later in pairwise(after)) > fair * 0.9


def test_a_worker_that_is_late_by_less_sends_and_the_others_still_keep_their_distance(
    any_database: str, clock: Clock, server: ScriptedServer
) -> None:
    clock.at = local(8)
    for _ in range(5):
        an_account(port=server.port)
    wait_for(20)
    run = Accelerated(clock)
    run.put(TRIGGER)
    run.run(local(8, 20))
    clock.at = local(8, 31)  # the slot of 08:27 is four minutes late
    run.run(local(17))
    assert len(sent()) == 20
    assert min(later - earlier for earlier, later in pairwise(sent())) > dt.timedelta(minutes=20)


def test_an_urgent_contact_takes_the_next_slot_of_all_that_wait(
    any_database: str, clock: Clock, server: ScriptedServer
) -> None:
    clock.at = local(8)
    an_account(port=server.port, daily_limit=10)
    wait_for(50)
    run = Accelerated(clock)
    run.put(TRIGGER)
    run.run(local(8, 10))
    (urgent,) = wait_for(1, priority=9)
    run.put(TRIGGER)
    run.run(local(8, 55))
    assert [a.delivery_id for a in Attempt.select().order_by(Attempt.id)][1:] == [urgent.id]


NEW_YORK = ZoneInfo("America/New_York")


@pytest.fixture(autouse=True)
def no_jitter(configure: Callable[..., None]) -> None:
    """The times are exact."""
    configure(mail_jitter=0)


def local(hour: int, minute: int = 0, day: int = 2) -> dt.datetime:
    """Return a time in New York, in June 2026, as UTC."""
    return dt.datetime(2026, 6, day, hour, minute, tzinfo=NEW_YORK).astimezone(dt.UTC)


def wait_for(number: int, **values: object) -> list[Delivery]:
    """Store deliveries that wait."""
    return [a_delivery(**values, message_id=f"<{n}@x.test>") for n in range(number)]


def sent() -> list[dt.datetime]:
    """Return when mails were claimed, in order."""
    return [a.claimed_at for a in Attempt.select().where(Attempt.outcome == "accepted").order_by(Attempt.claimed_at)]
