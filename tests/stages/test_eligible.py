"""The batch publisher picks whom the stages would not skip, best first, as many as there is room for."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import pytest

from models import Attempt, Contact, DeadLetter, Delivery, State, database
from models.states import UNFINISHED
from models.suppression import suppress
from pipeline import check_duplicates, select_contacts
from pipeline.flow import Handoff, Stage
from pipeline.rules.eligible import eligible
from schedules import publish_batch
from schedules.publish_batch import Batch
from tests.builders import a_contact, a_delivery, a_template, a_website, an_account
from tests.conftest import Clock, until_waiting_for_a_lock


def test_best_priority_first_then_the_oldest_and_not_below_the_least(any_database: str) -> None:
    template = a_template()
    ids = [a_contact(priority=p).id for p in (0, 3, 3, 9)]
    assert eligible(template, 10, 0) == [ids[3], ids[1], ids[2], ids[0]]
    assert eligible(template, 2, 0) == [ids[3], ids[1]]
    assert eligible(template, 10, 3) == [ids[3], ids[1], ids[2]]


def test_of_a_website_and_of_an_address_only_the_best_contact(any_database: str) -> None:
    website = a_website()
    a_contact(website=website)
    best = a_contact(website=website, priority=1)
    one = a_contact(email="j.doe@gmail.com")
    a_contact(email="jdoe@gmail.com")
    assert eligible(a_template(), 10, 0) == [best.id, one.id]


def test_nobody_is_picked_whom_the_stages_would_skip(any_database: str, clock: Clock) -> None:
    template, other = a_template(), a_template()
    recently, long_ago = clock.at - dt.timedelta(days=3), clock.at - dt.timedelta(days=91)
    on_its_way, contacted = a_website(), a_website()
    a_contact(validated=False)
    a_contact(address_valid=False)
    a_contact(website=a_website(meets_requirements=False))
    a_contact(email="ann@bad.test")
    suppress("domain", ["bad.test"], "", clock.at)
    a_delivery(State.IN_DOUBT)
    a_delivery(State.READY, contact=a_contact(website=on_its_way))
    a_contact(website=on_its_way)
    a_delivery(State.SENT, contact=a_contact(website=contacted), sent_at=recently, template=other)
    a_contact(website=contacted)
    for state in (State.BOUNCED, State.FAILED, State.CANCELLED):
        a_delivery(state, template=template)
    a_delivery(State.SENT, template=template, sent_at=long_ago)

    again = a_delivery(State.SENT, template=other, sent_at=long_ago).contact
    skipped = a_delivery(State.SKIPPED, template=template).contact
    failed_otherwise = a_delivery(State.FAILED, template=other).contact
    fit = [again.id, skipped.id, failed_otherwise.id]
    assert eligible(template, 100, 0) == fit

    select_contacts.select(select_contacts.asked("batch", fit), template_id=template.id)
    check_duplicates.clear([d.id for d in Delivery.select().where(Delivery.source == "batch")])
    assert [d.state for d in Delivery.select().where(Delivery.source == "batch")] == [State.CLEARED] * 3


@pytest.mark.parametrize("state", [*UNFINISHED, State.SENT])
def test_who_shares_an_address_or_a_website_with_one_on_the_way_or_just_mailed_waits(
    any_database: str, clock: Clock, state: State
) -> None:
    website = a_website()
    a_delivery(state, contact=a_contact(email="j.doe@gmail.com", website=website), sent_at=clock.at)
    a_contact(email="jdoe+news@googlemail.com")
    a_contact(website=website)
    stranger = a_contact(website=a_website())
    assert eligible(a_template(), 10, 0) == [stranger.id]


def test_who_is_on_the_way_under_an_older_address_waits(any_database: str) -> None:
    a_delivery(State.READY, contact=a_contact(), address="older@example.test")
    assert eligible(a_template(), 10, 0) == []


def test_who_was_forgotten_is_never_picked(any_database: str, clock: Clock) -> None:
    a_contact(forgotten_at=clock.at)
    assert eligible(a_template(), 10, 0) == []


def test_the_rules_of_recent_contact_can_be_switched_off(
    any_database: str, clock: Clock, configure: Callable[..., None]
) -> None:
    configure(mail_dedupe_website_days=0, mail_dedupe_contact_days=0)
    website = a_website()
    mailed = a_delivery(State.SENT, contact=a_contact(website=website), sent_at=clock.at).contact
    a_delivery(State.READY, contact=a_contact(website=website))
    colleagues = [a_contact(website=website).id for _ in range(2)]
    assert eligible(a_template(), 10, 0) == [mailed.id, *colleagues]


def test_pages_are_read_until_there_are_enough(any_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.rules.eligible.PAGE", 3)
    website = a_website()
    ids = [a_contact(website=website if i % 2 else None, priority=i % 3).id for i in range(20)]
    picked = eligible(a_template(), 100, 0)
    assert len(picked) == 11
    assert set(picked) <= set(ids)


def test_a_batch_fills_todays_capacity_minus_what_is_on_its_way(any_database: str, clock: Clock) -> None:
    an_account(daily_limit=3)
    an_account(daily_limit=2)
    an_account(daily_limit=5, enabled=False)
    template = a_template()
    a_delivery(State.READY, template=template)
    for _ in range(10):
        a_contact()
    batch = publish_batch.publish(dry_run=True)
    assert (len(batch.contact_ids), batch.capacity, batch.on_its_way) == (4, 5, 1)
    assert len(publish_batch.publish(dry_run=True, limit=2).contact_ids) == 2


def test_a_limit_never_lifts_the_capacity_and_the_least_priority_is_a_setting(
    any_database: str, clock: Clock, configure: Callable[..., None]
) -> None:
    configure(mail_publish_min_priority=4)
    an_account(daily_limit=2)
    paused = a_template(paused_at=clock.at)
    template = a_template()
    ids = [a_contact(priority=p).id for p in (1, 2, 3, 4)]
    batch = publish_batch.publish(dry_run=True, limit=100, min_priority=0)
    assert (batch.contact_ids, batch.template_id) == ((ids[3], ids[2]), template.id)
    assert publish_batch.publish(dry_run=True, limit=1, template_id=paused.id).template_id == paused.id
    assert publish_batch.publish(dry_run=True).contact_ids == (ids[3],)
    assert publish_batch.publish(dry_run=True, min_priority=5).reason == "no eligible contact"


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_batch_is_on_the_route_with_its_template_when_it_is_published_unless_it_only_asks(
    any_database: str, clock: Clock, dry_run: bool
) -> None:
    an_account()
    a_template()
    second, contact = a_template(), a_contact()
    batch = publish_batch.publish(template_id=second.id, dry_run=dry_run)
    assert batch.contact_ids == (contact.id,)
    there = [(d.id, d.contact_id, d.template_id, d.state) for d in Delivery.select()]
    assert there == ([] if dry_run else [(1, contact.id, second.id, State.SELECTED)])
    assert batch.handoffs == (() if dry_run else (Handoff(Stage.DEDUPE, [1]),))


def test_what_can_not_go_today_leaves_its_room_to_others(
    any_database: str, clock: Clock, configure: Callable[..., None]
) -> None:
    configure(mail_window_days="mon-fri")
    clock.set(2026, 6, 5, 14)  # Friday, 10:00 in New York, and in Auckland Saturday
    an_account(daily_limit=7)
    template = a_template()
    for paused in [a_template(paused_at=clock.at)] * 3:
        a_delivery(template=paused)
    for state in (State.SELECTED, State.READY):
        for _ in range(4):
            a_delivery(state, template=template, timezone=AUCKLAND)
        a_delivery(state, template=template, not_before=clock.at + dt.timedelta(days=1))
    for state in (State.SELECTED, State.CLEARED, State.READY, State.RESERVED):
        a_delivery(state, template=template)
    a_delivery(template=template, timezone=LOS_ANGELES, not_before=clock.at + dt.timedelta(hours=1))
    ids = [a_contact().id for _ in range(9)]
    assert publish_batch.publish(dry_run=True) == Batch(
        contact_ids=tuple(ids[:2]), template_id=template.id, capacity=7, on_its_way=5, dry_run=True
    )


def test_what_waits_of_the_paused_template_that_is_written_uses_up_its_room(any_database: str, clock: Clock) -> None:
    an_account(daily_limit=3)
    template = a_template(paused_at=clock.at)
    a_delivery(template=template)
    a_contact(), a_contact(), a_contact()
    assert len(publish_batch.publish(template_id=template.id).contact_ids) == 2
    assert publish_batch.publish(template_id=template.id).reason == "no capacity: 3 left today, 3 on their way"


def test_whoever_can_not_be_written_to_today_is_picked_on_the_day_on_which_that_is_possible(
    any_database: str, clock: Clock, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.rules.eligible.PAGE", 2)
    configure(mail_window_days="mon-fri")
    an_account()
    a_template()
    late = [a_contact(timezone=AUCKLAND, priority=9).id for _ in range(5)]
    others = [a_contact(timezone=zone).id for zone in (None, LOS_ANGELES)]
    clock.set(2026, 6, 5, 14)  # Friday, and in Auckland Saturday
    assert publish_batch.publish(dry_run=True).contact_ids == tuple(others)
    clock.set(2026, 6, 8, 12)  # Monday, 08:00; in Auckland it is Tuesday, 08:00, before Monday ends
    assert publish_batch.publish(dry_run=True).contact_ids == (*late, *others)


def test_while_the_workers_are_away_no_run_picks_anybody_twice(any_database: str, clock: Clock) -> None:
    an_account(daily_limit=30)
    a_template()
    website = a_website()
    for i in range(40):
        a_contact(website=website if i % 2 else None)
    picked = [publish_batch.publish(limit=5).contact_ids for _ in range(10)]
    assert [len(ids) for ids in picked] == [5, 5, 5, 5, 1, 0, 0, 0, 0, 0]
    assert Delivery.select().count() == Delivery.select().where(Delivery.state == State.SELECTED).count() == 21


def test_of_two_runs_at_once_the_second_sees_what_the_first_has_picked(
    postgres: str, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(mail_window_start=0, mail_window_end=0)
    an_account(daily_limit=3)
    a_template()
    for _ in range(5):
        a_contact()
    second: list[Batch] = []

    def run() -> None:
        with database.connection():
            second.append(publish_batch.publish())

    other = threading.Thread(target=run)
    enter = publish_batch._enter

    def wait_for_the_second(*batch: Any) -> list[Handoff]:
        monkeypatch.setattr(publish_batch, "_enter", enter)
        other.start()
        until_waiting_for_a_lock()
        return enter(*batch)

    monkeypatch.setattr(publish_batch, "_enter", wait_for_the_second)
    assert len(publish_batch.publish().contact_ids) == 3
    other.join()
    assert second[0].reason == "no capacity: 3 left today, 3 on their way"


def test_a_contact_that_stage_1_can_not_process_is_a_dead_letter_and_holds_up_no_other(
    any_database: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_account()
    a_template()
    bad, good = a_contact(name="bad"), a_contact()
    row = select_contacts._row

    def fail(contact: Contact, *rest: Any) -> Any:
        if contact.name == "bad":
            raise KeyError(contact.id)
        return row(contact, *rest)

    monkeypatch.setattr(select_contacts, "_row", fail)
    publish_batch.publish()
    assert [d.contact_id for d in Delivery.select()] == [good.id]
    assert [letter.reason for letter in DeadLetter.select()] == [f"contact {bad.id}: fault: KeyError: {bad.id}"]


def test_who_is_started_on_the_hour_by_another_clock_does_not_wait_for_the_next_run(
    any_database: str, clock: Clock, configure: Callable[..., None]
) -> None:
    an_account()
    a_template()
    contact = a_contact()
    clock.at = dt.datetime(2026, 6, 2, 11, 58, 59, tzinfo=dt.UTC)
    assert publish_batch.publish(dry_run=True).reason == "the window is closed until 2026-06-02T12:00:00+00:00"
    clock.at = dt.datetime(2026, 6, 2, 11, 59, 59, 900_000, tzinfo=dt.UTC)
    assert publish_batch.publish(dry_run=True).contact_ids == (contact.id,)
    # The capacity is that of the day that begins.
    configure(mail_window_start=0)
    clock.at = dt.datetime(2026, 6, 3, 3, 59, 59, 900_000, tzinfo=dt.UTC)
    sent = a_delivery(State.SENT, sent_at=clock.at)
    full = an_account(daily_limit=1)
    Attempt.create(delivery=sent, account=full, outcome="accepted", claimed_at=clock.at, local_on="2026-06-02")
    assert publish_batch.publish(dry_run=True).capacity == 10 + 1


def test_a_batch_that_can_not_be_says_why(any_database: str, clock: Clock, configure: Callable[..., None]) -> None:
    assert publish_batch.publish(dry_run=True).reason == "no active template"
    a_template()
    assert publish_batch.publish(dry_run=True).reason == "no capacity: 0 left today, 0 on their way"
    an_account()
    assert publish_batch.publish(dry_run=True).reason == "no eligible contact"
    clock.set(2026, 6, 2, 23)
    assert publish_batch.publish(dry_run=True).reason == "the window is closed until 2026-06-03T12:00:00+00:00"


AUCKLAND, LOS_ANGELES = "Pacific/Auckland", "America/Los_Angeles"
