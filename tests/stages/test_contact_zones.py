"""A contact with a time zone of its own is written to when the window is open on both clocks, or never."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from models import Attempt, Contact, Delivery, Event, Reason, State, database
from pipeline import reserve_slot, select_contacts, sweep
from pipeline.capacity import head
from pipeline.delivery import claim
from pipeline.flow import Handoff, Stage
from pipeline.operations import imports
from pipeline.operations.imports import Listener
from pipeline.reports import plan
from pipeline.reports.status import status
from pipeline.reports.why import why
from pipeline.rules.eligible import eligible
from schedules import publish_batch
from tests.builders import a_contact, a_delivery, a_template, an_account
from tests.conftest import Clock


def test_a_delivery_keeps_its_contacts_zone_and_one_without_a_common_hour_is_skipped(
    any_database: str, clock: Clock
) -> None:
    a_template()
    ids = [a_contact(timezone=zone).id for zone in (LONDON, None, TOKYO)]
    select_contacts.select(select_contacts.asked("m", ids))
    rows = [(d.timezone, d.state, d.reason) for d in Delivery.select().order_by(Delivery.contact)]
    assert rows == [
        (LONDON, State.SELECTED, None),
        ("", State.SELECTED, None),
        (TOKYO, State.SKIPPED, Reason.NO_COMMON_WINDOW),
    ]
    assert eligible(a_template(), 10, 0) == []
    Event.delete().execute()
    Delivery.delete().execute()
    assert eligible(a_template(), 10, 0) == ids[:2]


def test_what_is_closed_for_its_contact_is_unseen_until_it_opens(any_database: str, clock: Clock) -> None:
    clock.at = local(8)
    an_account()
    late = a_delivery(priority=9, timezone=LOS_ANGELES)
    assert reserve_slot.reserve() == [Handoff(Stage.RESERVE, not_before=local(11))]
    other = a_delivery()
    reserve_slot.reserve()
    assert slots() == [(other.id, "08:00")]
    clock.at = local(11)
    Delivery.update(send_at=local(12)).where(Delivery.id == other.id).execute()
    reserve_slot.reserve()
    assert slots() == [(late.id, "11:00")]


def test_what_closes_sooner_for_its_contacts_goes_first_among_equals_and_in_time(
    any_database: str, clock: Clock
) -> None:
    clock.at = local(8)
    an_account(), an_account()
    _older, *soon_closed = a_delivery(), a_delivery(timezone=LONDON), a_delivery(timezone=LONDON)
    reserve_slot.reserve()
    # and not 11:00, as one of three: the second could not go at 14:00, that is 19:00 in London
    assert slots() == [(soon_closed[0].id, "08:00"), (soon_closed[1].id, "10:00")]


def test_as_long_as_all_can_go_in_time_the_older_goes_first(any_database: str, clock: Clock) -> None:
    clock.at = local(8)
    an_account(daily_limit=40)
    older, *_ = [a_delivery() for _ in range(20)]
    a_delivery(timezone=LONDON)
    reserve_slot.reserve()
    assert slots() == [(older.id, "08:00")]


def test_where_capacity_is_short_age_goes_before_the_sooner_close(any_database: str, clock: Clock) -> None:
    clock.at = local(8)
    an_account(daily_limit=3)
    older, *_ = [a_delivery() for _ in range(3)]
    a_delivery(timezone=LONDON)
    reserve_slot.reserve()
    assert slots() == [(older.id, "08:00")]


def test_what_has_closed_for_its_contact_is_not_claimed(any_database: str, clock: Clock) -> None:
    clock.at = local(12)
    account = an_account()
    delivery = a_delivery(State.RESERVED, account=account, send_at=clock.at, token="slot", timezone=LONDON)
    assert claim.claim(delivery.id, "slot", account.id) is claim.Refusal.WINDOW_CLOSED
    assert Delivery.get_by_id(delivery.id).state == State.READY
    assert Attempt.select().count() == 0


def test_an_urgent_one_that_closes_before_the_next_slot_takes_it_and_brings_it_forward(
    any_database: str, clock: Clock
) -> None:
    clock.at = local(11)
    account = an_account()
    a_delivery(State.RESERVED, account=account, send_at=local(14), token="of another")
    urgent = a_delivery(priority=9, timezone=LONDON)
    reserve_slot.reserve()
    assert slots() == [(urgent.id, "11:00")]


def test_of_many_that_wait_in_closed_zones_and_in_paused_templates_none_is_read(
    any_database: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.at = local(16)
    an_account()
    for template in (a_template(paused_at=clock.at), a_template()):
        for _ in range(30):
            a_delivery(priority=5, template=template, timezone="" if template.paused_at else LONDON)
    open_now = a_delivery()
    read: list[Any] = []
    waiting = head.waiting
    monkeypatch.setattr(head, "waiting", lambda *row: read.append(row[0]) or waiting(*row))
    reserve_slot.reserve()
    assert slots() == [(open_now.id, "16:00")]
    assert read == [open_now.id]


def test_what_waits_in_a_zone_that_has_lost_its_common_hour_is_skipped_and_not_forgotten(
    any_database: str, clock: Clock, configure: Callable[..., None]
) -> None:
    an_account()
    waiting, other = a_delivery(timezone=LONDON), a_delivery()
    configure(mail_window_start=14, mail_window_end=17)
    clock.at = local(14)
    reserve_slot.reserve()
    stored = Delivery.get_by_id(waiting.id)
    assert (stored.state, stored.reason) == (State.SKIPPED, Reason.NO_COMMON_WINDOW)
    assert slots() == [(other.id, "14:00")]


def test_the_oldest_waits_for_its_zone_with_the_days_last_slot(any_database: str, clock: Clock) -> None:
    clock.at = local(8)
    an_account(daily_limit=1)
    late, _ = a_delivery(timezone=LOS_ANGELES), a_delivery()
    reserve_slot.reserve()
    assert slots() == [(late.id, "11:00")]


def test_however_many_older_ones_wait_for_a_zone_that_opens_later_all_of_the_day_is_kept_for_them(
    any_database: str, clock: Clock
) -> None:
    clock.at = local(8)
    an_account(daily_limit=30)
    template = a_template()
    older = [a_delivery(timezone=LOS_ANGELES, template=template) for _ in range(30)]
    other = a_delivery(template=template)
    reserve_slot.reserve()
    assert slots() == [(older[0].id, "11:00")]
    Delivery.update(state=State.CANCELLED, token=None, account=None).where(Delivery.id.in_([older[0].id])).execute()
    reserve_slot.reserve()
    assert slots() == [(other.id, "08:00")]


def test_one_of_them_that_every_account_has_failed_does_not_give_the_day_to_younger_ones(
    any_database: str, clock: Clock
) -> None:
    clock.at = local(8)
    account, template = an_account(daily_limit=1), a_template()
    older = [a_delivery(timezone=LOS_ANGELES, template=template) for _ in range(30)]
    for _ in range(30):
        a_delivery(template=template)
    Attempt.create(
        delivery=older[0],
        account=account,
        outcome="failed",
        charged_to="account",
        verdict="account_for_now",
        phase="connect",
        finished_at=clock.at,
    )
    reserve_slot.reserve()
    assert slots() == [(older[1].id, "11:00")]


@pytest.mark.parametrize("zone", ["Mars/Base", "America", "../etc/passwd", "x" * 300])
def test_a_zone_that_is_not_known_stalls_nothing_and_is_skipped_with_its_reason(
    any_database: str, clock: Clock, zone: str
) -> None:
    an_account(), an_account()
    template = a_template()
    holder = a_delivery(
        State.RESERVED, account=1, send_at=clock.at, token="slot", timezone=zone, template=template, priority=1
    )
    unknown = [a_delivery(template=template, timezone=zone, priority=9), a_delivery(State.CLEARED, timezone=zone)]
    good = a_delivery(template=template)
    candidate = a_contact(timezone=zone)
    assert list(plan.upcoming(local(17)))[-1].delivery.id == good.id
    assert why(unknown[0].contact_id).state == State.READY
    assert why(candidate.id).again[0].reason == Reason.UNKNOWN_TIME_ZONE
    assert status({}).deliveries
    assert publish_batch.publish(dry_run=True).contact_ids == ()
    assert sweep.sweep()
    assert claim.claim(holder.id, "slot", 1) is claim.Refusal.WINDOW_CLOSED
    Delivery.update(state=State.READY).where(Delivery.state == State.CLEARED).execute()
    reserve_slot.reserve()
    assert [slot[0] for slot in slots()] == [good.id]
    assert {(d.state, d.reason) for d in Delivery.select().where(Delivery.timezone == zone)} == {
        (State.SKIPPED, Reason.UNKNOWN_TIME_ZONE)
    }


def test_a_changed_zone_reaches_what_waits_and_not_what_is_over(any_database: str, clock: Clock) -> None:
    moved = a_contact(email="ann@x.test", timezone=LONDON)
    over = a_delivery(State.SENT, contact=moved, timezone=LONDON, sent_at=clock.at)
    waiting = a_delivery(contact=moved, timezone=LONDON)
    imports.contacts(["email,timezone\n", f"ann@x.test,{LOS_ANGELES}\n"], Listener())
    assert Contact.get_by_id(moved.id).timezone == LOS_ANGELES
    assert [Delivery.get_by_id(d.id).timezone for d in (over, waiting)] == [LONDON, LOS_ANGELES]
    assert database.now() == clock.at


NEW_YORK = ZoneInfo("America/New_York")
LONDON, LOS_ANGELES, TOKYO = "Europe/London", "America/Los_Angeles", "Asia/Tokyo"


@pytest.fixture(autouse=True)
def no_jitter(configure: Callable[..., None]) -> None:
    """The times are exact."""
    configure(mail_jitter=0)


def local(hour: int, minute: int = 0, day: int = 2) -> dt.datetime:
    """Return a time in New York, in June 2026, as UTC; London is 5 h ahead, Los Angeles 3 h behind."""
    return dt.datetime(2026, 6, day, hour, minute, tzinfo=NEW_YORK).astimezone(dt.UTC)


def slots() -> list[tuple[int, str]]:
    """Return delivery and local time of each slot, soonest first."""
    rows = Delivery.select().where(Delivery.state == State.RESERVED).order_by(Delivery.send_at, Delivery.id)
    return [(d.id, f"{d.send_at.astimezone(NEW_YORK):%H:%M}") for d in rows]
