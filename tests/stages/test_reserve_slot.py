"""Stage 4, the throttle, on both databases: who gets which account and minute, and what waits for what."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from models import (
    Attempt,
    Cause,
    Control,
    DeadLetter,
    Delivery,
    EmailTemplate,
    Outcome,
    Reason,
    SmtpAccount,
    State,
    database,
)
from pipeline import reserve_slot
from pipeline.capacity import head, usage
from pipeline.capacity import slots as stored
from pipeline.flow import Handoff, Stage
from pipeline.operations import pause
from pipeline.reports import plan
from tests.builders import a_campaign, a_delivery, a_template, an_account, an_enrolment, on_its_way
from tests.conftest import Clock, until_waiting_for_a_lock


def test_the_head_of_the_backlog_goes_first_by_priority_and_then_by_age(any_database: str, clock: Clock) -> None:
    clock.at = local(10)
    account = an_account()
    _old, urgent, _as_urgent = (a_delivery(priority=p) for p in (0, 5, 5))

    handoffs = reserve_slot.reserve()

    assert reserved_slots() == [(urgent.id, account.id, "10:00:00")]
    row = Delivery.get_by_id(urgent.id)
    assert handoffs[0] == Handoff(Stage.DELIVER, [urgent.id], not_before=clock.at, slot_token=row.token)
    assert row.message_id.endswith("@example.test>")


def test_an_account_holds_one_slot_and_a_further_trigger_changes_nothing(any_database: str, clock: Clock) -> None:
    clock.at = local(10)
    an_account()
    for _ in range(3):
        a_delivery()
    reserve_slot.reserve()
    before = reserved_slots()
    assert reserve_slot.reserve() == []
    assert reserved_slots() == before
    assert len(before) == 1


def test_three_contacts_and_two_accounts_go_out_at_8_11_and_14(any_database: str, clock: Clock) -> None:
    clock.at = local(8)
    first, second = an_account(), an_account()
    one, two, three = (a_delivery() for _ in range(3))
    reserve_slot.reserve()
    assert reserved_slots() == [(one.id, first.id, "08:00:00"), (two.id, second.id, "11:00:00")]
    claimed(one.id, clock.at)
    reserve_slot.reserve()
    assert reserved_slots() == [(two.id, second.id, "11:00:00"), (three.id, first.id, "14:00:00")]


def test_a_grown_backlog_brings_the_next_slot_forward_and_ten_go_out_by_the_end(
    any_database: str, clock: Clock
) -> None:
    clock.at = local(8)
    an_account()
    first, second = a_delivery(), a_delivery()
    reserve_slot.reserve()
    claimed(first.id, clock.at)
    reserve_slot.reserve()
    assert reserved_slots()[0][2] == "12:30:00"

    clock.at = local(8, 5)
    for _ in range(100):
        a_delivery()
    old_token = Delivery.get_by_id(second.id).token
    handoffs = reserve_slot.reserve()

    assert reserved_slots()[0][2] == "08:54:00"
    assert handoffs[0].slot_token == Delivery.get_by_id(second.id).token != old_token
    sent = 1
    while reserved_slots():
        delivery_id = reserved_slots()[0][0]
        clock.at = Delivery.get_by_id(delivery_id).send_at
        claimed(delivery_id, clock.at)
        sent += 1
        reserve_slot.reserve()
    assert sent == 10
    assert clock.at == local(16, 6)


def test_a_slot_is_not_brought_forward_twice_within_10_seconds_but_then(any_database: str, clock: Clock) -> None:
    clock.at = local(8)
    an_account()
    claimed_first = a_delivery()
    reserve_slot.reserve()
    claimed(claimed_first.id, clock.at)
    a_delivery()
    reserve_slot.reserve()
    for _ in range(2):
        a_delivery()
    clock.tick(60)
    reserve_slot.reserve()
    advanced_at, before = clock.at, reserved_slots()

    clock.tick(4)
    for _ in range(6):
        a_delivery()
    assert reserve_slot.reserve() == [Handoff(Stage.RESERVE, not_before=advanced_at + dt.timedelta(seconds=10))]
    assert reserved_slots() == before
    clock.tick(6)
    assert [h.stage for h in reserve_slot.reserve()] == [Stage.DELIVER]
    assert reserved_slots()[0][2] < before[0][2]


def test_an_urgent_delivery_takes_the_next_slot_from_the_one_that_holds_it(any_database: str, clock: Clock) -> None:
    clock.at = local(8)
    account = an_account()
    claimed_first, holder = a_delivery(), a_delivery()
    reserve_slot.reserve()
    claimed(claimed_first.id, clock.at)
    reserve_slot.reserve()
    slot = Delivery.get_by_id(holder.id)
    urgent = a_delivery(priority=9)

    handoffs = reserve_slot.reserve()

    taken = Delivery.get_by_id(urgent.id)
    assert (taken.state, taken.account_id) == (State.RESERVED, account.id)
    assert taken.send_at < slot.send_at  # one more waits, and so it comes sooner too
    assert taken.token != slot.token
    assert handoffs == [Handoff(Stage.DELIVER, [urgent.id], not_before=taken.send_at, slot_token=taken.token)]
    assert Delivery.get_by_id(holder.id).state == State.READY
    assert Control.get().advanced_at == clock.at


def test_a_slot_that_is_reserved_anew_keeps_its_message_id_and_not_its_token(any_database: str, clock: Clock) -> None:
    clock.at = local(9)
    an_account()
    delivery = a_delivery()
    reserve_slot.reserve()
    first = Delivery.get_by_id(delivery.id)
    with database.transaction():
        assert stored.give_back(Cause.PAUSE, delivery_ids=[delivery.id]) == [delivery.id]
    assert Delivery.get_by_id(delivery.id).token is None
    reserve_slot.reserve()
    second = Delivery.get_by_id(delivery.id)
    assert second.message_id == first.message_id
    assert second.token != first.token


def test_in_a_closed_window_nothing_is_used_up_and_one_wake_up_is_sent(any_database: str, clock: Clock) -> None:
    clock.at = local(20)
    an_account()
    a_delivery()
    wake_up = Handoff(Stage.RESERVE, not_before=local(8, day=3))
    assert reserve_slot.reserve() == [wake_up]
    a_delivery()
    assert reserve_slot.reserve() == []
    assert reserved_slots() == []
    assert Control.get().wake_at == wake_up.not_before

    clock.at = local(8, day=3)
    reserve_slot.reserve()
    assert reserved_slots()[0][2] == "08:00:00"


def test_a_full_day_waits_for_the_next_one(any_database: str, clock: Clock) -> None:
    clock.at = local(10)
    an_account(daily_limit=1)
    first, second = a_delivery(), a_delivery()
    reserve_slot.reserve()
    claimed(first.id, clock.at)
    assert reserve_slot.reserve() == [Handoff(Stage.RESERVE, not_before=local(8, day=3))]
    assert Delivery.get_by_id(second.id).state == State.READY
    clock.at = local(8, day=3)
    reserve_slot.reserve()
    assert [s[0] for s in reserved_slots()] == [second.id]


def test_a_claim_just_before_midnight_uses_up_its_own_day(
    any_database: str, clock: Clock, configure: Callable[..., None]
) -> None:
    configure(mail_window_start=0, mail_window_end=0)
    clock.at = local(23, 59, 59)
    an_account(daily_limit=1)
    first, second = a_delivery(), a_delivery()
    reserve_slot.reserve()
    claimed(first.id, clock.at)
    midnight = local(0, day=3)
    assert reserve_slot.reserve() == [Handoff(Stage.RESERVE, not_before=midnight)]
    clock.at = midnight
    reserve_slot.reserve()
    assert reserved_slots() == [
        (second.id, 1, "00:00:59")
    ]  # today has room; the interval still counts from yesterday's claim


def test_a_dot_that_was_refused_is_counted_and_the_day_is_spread_from_its_claim(
    any_database: str, clock: Clock
) -> None:
    clock.at = local(8)
    account = an_account()
    refused, _ = a_delivery(), a_delivery()
    reserve_slot.reserve()
    claimed(refused.id, clock.at)
    Attempt.update(outcome=Outcome.FAILED, charged_to="content").execute()
    reserve_slot.reserve()
    assert reserved_slots()[0][2] == "12:30:00"
    assert usage.used_on(account.id, clock.at.date()) == 1
    assert usage.last_transaction_of(account.id) == clock.at


def test_rotation_is_fewest_used_then_longest_idle_then_lowest_id(any_database: str, clock: Clock) -> None:
    clock.at = local(9)
    busy, idle_long, idle_short = an_account(), an_account(), an_account()
    for account, hour in ((busy, 8), (busy, 8), (idle_long, 8), (idle_short, 9)):
        delivery = a_delivery(State.RESERVED, account=account, send_at=clock.at)
        claimed(delivery.id, local(hour, 0, delivery.id % 60))
    clock.at = local(12)
    one, two, three = (a_delivery() for _ in range(3))
    reserve_slot.reserve()
    assert {d: a for d, a, _ in reserved_slots()} == {one.id: idle_long.id, two.id: idle_short.id, three.id: busy.id}


def test_an_account_that_failed_a_delivery_has_it_again_only_alone_and_after_a_backoff_that_doubles(
    any_database: str, clock: Clock
) -> None:
    clock.at = local(9)
    failed, other = an_account(), an_account()
    delivery = a_delivery(attempts_since=local(8))
    fail(delivery, failed, at=local(8, 50))
    fail(delivery, failed, at=local(9))
    SmtpAccount.update(daily_limit=0).where(SmtpAccount.id == other.id).execute()
    assert reserve_slot.reserve() == [Handoff(Stage.RESERVE, not_before=local(9, 30))]
    assert reserve_slot.reserve() == []
    clock.at = local(9, 30)
    reserve_slot.reserve()
    assert reserved_slots() == [(delivery.id, failed.id, "09:30:00")]
    with database.transaction():
        stored.give_back(Cause.PAUSE)
    SmtpAccount.update(daily_limit=5).where(SmtpAccount.id == other.id).execute()
    reserve_slot.reserve()
    assert [s[:2] for s in reserved_slots()] == [(delivery.id, other.id)]


def test_failures_before_its_attempts_were_last_set_to_0_are_forgotten(any_database: str, clock: Clock) -> None:
    account = an_account()
    delivery = a_delivery(attempts_since=clock.at + dt.timedelta(seconds=1))
    fail(delivery, account, at=clock.at)
    clock.tick(2)
    reserve_slot.reserve()
    assert [s[:2] for s in reserved_slots()] == [(delivery.id, account.id)]


def test_however_many_its_account_has_failed_at_the_head_the_first_good_one_behind_them_goes(
    any_database: str, clock: Clock
) -> None:
    clock.at = local(9)
    account, template = an_account(), a_template()
    failed = [a_delivery(template=template) for _ in range(110)]
    for delivery in failed:
        fail(delivery, account, at=clock.at)
    good, next_good = (a_delivery(template=template) for _ in range(2))
    reserve_slot.reserve()
    assert reserved_slots() == [(good.id, account.id, "09:00:00")]
    assert [p.delivery.id for p in plan.upcoming(local(17))][:2] == [good.id, next_good.id]


def test_an_account_that_failed_the_head_of_the_backlog_takes_what_comes_after(any_database: str, clock: Clock) -> None:
    clock.at = local(9)
    failed, other = an_account(), an_account()
    a_delivery(State.RESERVED, account=other, send_at=local(12), token="of the other account")
    for delivery in [a_delivery() for _ in range(6)]:
        fail(delivery, failed, at=clock.at)
    next_one = a_delivery()
    reserve_slot.reserve()
    assert (next_one.id, failed.id) in [s[:2] for s in reserved_slots()]


@pytest.mark.parametrize(
    ("account", "number"),
    [
        ({"failures_in_row": 2}, 10),
        ({"failures_in_row": 3}, 1),
        ({"quota_at": dt.datetime(2026, 6, 1, 13, tzinfo=dt.UTC), "quota_limit": 9, "quota_on": "2026-06-01"}, 1),
    ],
)
def test_an_account_whose_rest_is_over_shows_by_one_mail_that_it_works_again(
    any_database: str, clock: Clock, configure: Callable[..., None], account: dict[str, Any], number: int
) -> None:
    configure(mail_spread="off", mail_min_interval=0)
    clock.at = local(9)
    an_account(cooling_until=clock.at, **account)
    for _ in range(12):
        a_delivery()
    reserve_slot.reserve()
    assert len(reserved_slots()) == number
    Delivery.update(state=State.READY, account=None, token=None).execute()
    claimed(a_delivery(State.RESERVED, account=1, send_at=clock.at).id, local(8))
    SmtpAccount.update(failures_in_row=0).execute()
    reserve_slot.reserve()
    assert len(reserved_slots()) > 1


@pytest.mark.parametrize("pause", ["general", "account", "template"])
def test_what_is_paused_is_unseen(any_database: str, clock: Clock, pause: str) -> None:
    clock.at = local(9)
    account, template = an_account(), a_template()
    a_delivery(template=template)
    model: Any = {"general": Control, "account": SmtpAccount, "template": EmailTemplate}[pause]
    model.update(paused_at=clock.at).execute()
    reserve_slot.reserve()
    assert reserved_slots() == []
    model.update(paused_at=None).execute()
    reserve_slot.reserve()
    assert [s[1] for s in reserved_slots()] == [account.id]


def test_a_pause_that_comes_while_the_stage_waits_for_its_lock_is_obeyed(
    any_database: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_account()
    a_delivery()
    lock = database.lock_throttle

    def pause_first() -> None:
        monkeypatch.setattr(database, "lock_throttle", lock)
        pause.pause(pause.Target(), "a test")

    monkeypatch.setattr(database, "lock_throttle", pause_first)
    assert reserve_slot.reserve() == []
    assert reserved_slots() == []


@pytest.mark.parametrize(
    "situation", ["every account holds a slot", "the day is full", "the window is closed", "paused", "nothing waits"]
)
def test_a_trigger_that_changes_nothing_costs_one_query_and_no_lock(
    any_database: str, clock: Clock, monkeypatch: pytest.MonkeyPatch, situation: str
) -> None:
    for _ in range(2):
        an_account(daily_limit=0 if situation == "the day is full" else None)
    template = a_template()
    for _ in range(0 if situation == "nothing waits" else 30):
        a_delivery(template=template)
    if situation == "the window is closed":
        clock.at = local(20)
    reserve_slot.reserve()
    if situation == "paused":
        pause.pause(pause.Target(), "a test")
    clock.tick(60)
    statements: list[str] = []
    execute = database.db.obj.execute_sql

    def count(sql: str, *args: Any, **options: Any) -> Any:
        statements.append(sql)
        return execute(sql, *args, **options)

    monkeypatch.setattr(database.db.obj, "execute_sql", count)
    assert reserve_slot.reserve() == []
    assert [sql.split()[0] for sql in statements] == ["SELECT"]


def test_a_delivery_that_can_not_be_judged_is_given_up_and_the_others_go_on(
    any_database: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_account()
    bad, good = a_delivery(priority=9), a_delivery()
    share = head.jitter_share

    def raises_for_one(contact_id: int, template_id: int) -> float:
        if contact_id == bad.contact_id:
            raise ArithmeticError("no such share")
        return share(contact_id, template_id)

    monkeypatch.setattr(head, "jitter_share", raises_for_one)
    handoffs = reserve_slot.reserve()

    assert [(h.stage, h.ids) for h in handoffs] == [(Stage.RECORD, [bad.id]), (Stage.DELIVER, [good.id])]
    given_up = Delivery.get_by_id(bad.id)
    assert (given_up.state, given_up.reason) == (State.FAILED, Reason.FAULT)
    assert [(d.delivery_id, d.reason) for d in DeadLetter.select()] == [(bad.id, Reason.FAULT)]


def test_a_fault_that_is_no_deliverys_fails_nobody(
    any_database: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_account()
    delivery = a_delivery()

    def broken(*_: Any, **__: Any) -> None:
        raise ArithmeticError("of the decision itself")

    monkeypatch.setattr(reserve_slot, "decide", broken)
    with pytest.raises(ArithmeticError, match="of the decision itself"):
        reserve_slot.reserve()
    assert Delivery.get_by_id(delivery.id).state == State.READY


@pytest.mark.parametrize(("first", "last", "reserved"), [(2, 2, 1), (3, None, 0), (None, 1, 0)])
def test_what_waits_of_a_campaign_gets_a_slot_on_its_dates_alone(
    any_database: str, clock: Clock, first: int | None, last: int | None, reserved: int
) -> None:
    """On others the claim would refuse it, again and again, and its account stand idle meanwhile."""
    starts_on, ends_on = (day and dt.date(2026, 6, day) for day in (first, last))
    campaign = a_campaign((0, [a_template()]), accounts=[an_account()], starts_on=starts_on, ends_on=ends_on)
    on_its_way(an_enrolment(campaign), State.READY)
    reserve_slot.reserve()
    assert Delivery.select().where(Delivery.state == State.RESERVED).count() == reserved


def test_a_retry_waits_for_its_own_time_and_holds_up_nobody(any_database: str, clock: Clock) -> None:
    clock.at = local(9)
    an_account()
    retry = a_delivery(priority=9, not_before=local(9, 5))
    assert reserve_slot.reserve() == [Handoff(Stage.RESERVE, not_before=local(9, 5))]
    other = a_delivery()
    reserve_slot.reserve()
    assert [s[0] for s in reserved_slots()] == [other.id]
    clock.at = local(9, 5)
    Delivery.update(send_at=local(12)).where(Delivery.id == other.id).execute()
    reserve_slot.reserve()
    assert [s[0] for s in reserved_slots()] == [retry.id]


def test_without_interval_and_spread_an_account_takes_a_list_up_to_its_limit(
    any_database: str, clock: Clock, configure: Callable[..., None]
) -> None:
    configure(mail_spread="off", mail_min_interval=0)
    clock.at = local(9)
    accounts = [an_account(), an_account()]
    for _ in range(25):
        a_delivery()
    handoffs = [h for h in reserve_slot.reserve() if h.stage is Stage.DELIVER]
    assert [len(h.ids) for h in handoffs] == [10, 10]
    assert sorted(a for _, a, _ in reserved_slots()) == [accounts[0].id] * 10 + [accounts[1].id] * 10


def test_eight_triggers_at_once_give_no_slot_twice(postgres: str, clock: Clock) -> None:
    clock.at = local(9)
    for _ in range(20):
        an_account()
    for _ in range(100):
        a_delivery(template=EmailTemplate.get_or_none() or a_template())
    start = threading.Barrier(8)
    handed_on: list[Handoff] = []

    def trigger() -> None:
        with database.connection():
            start.wait()
            handed_on.extend(reserve_slot.reserve())

    threads = [threading.Thread(target=trigger) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(a for _, a, _ in reserved_slots()) == sorted(a.id for a in SmtpAccount.select())
    delivered = [i for h in handed_on if h.stage is Stage.DELIVER for i in h.ids]
    assert sorted(delivered) == sorted(d for d, _, _ in reserved_slots())


def test_one_process_at_a_time_decides(postgres: str, clock: Clock) -> None:
    clock.at = local(9)
    account, delivery = an_account(), a_delivery()
    handed_on: list[Handoff] = []

    def trigger() -> None:
        with database.connection():
            handed_on.extend(reserve_slot.reserve())

    other = threading.Thread(target=trigger)
    with database.transaction():
        database.lock_throttle()
        other.start()
        until_waiting_for_a_lock()
        Control.update(paused_at=clock.at).execute()
    other.join()
    assert (reserved_slots(), [h for h in handed_on if h.stage is Stage.DELIVER]) == ([], [])
    Control.update(paused_at=None).execute()
    reserve_slot.reserve()
    assert [s[:2] for s in reserved_slots()] == [(delivery.id, account.id)]


ZONE = ZoneInfo("America/New_York")


@pytest.fixture(autouse=True)
def no_jitter(configure: Callable[..., None]) -> None:
    """The worked examples are exact."""
    configure(mail_jitter=0)


def local(hour: int, minute: int = 0, second: int = 0, day: int = 2) -> dt.datetime:
    """Return a time in New York, in June 2026, as UTC."""
    return dt.datetime(2026, 6, day, hour, minute, second, tzinfo=ZONE).astimezone(dt.UTC)


def reserved_slots() -> list[tuple[int, int, str]]:
    """Return delivery, account and local time of each slot, soonest first."""
    rows = Delivery.select().where(Delivery.state == State.RESERVED).order_by(Delivery.send_at, Delivery.id)
    return [(d.id, d.account_id, f"{d.send_at.astimezone(ZONE):%H:%M:%S}") for d in rows]


def fail(delivery: Delivery, account: SmtpAccount, at: dt.datetime) -> None:
    """Record that an account failed a delivery."""
    Attempt.create(delivery=delivery, account=account, outcome="failed", charged_to="account", finished_at=at)


def claimed(delivery_id: int, at: dt.datetime) -> None:
    """Record that a reserved delivery was accepted at `at`."""
    delivery = Delivery.get_by_id(delivery_id)
    Attempt.create(
        delivery=delivery,
        account=delivery.account_id,
        token=f"claim {delivery_id}",
        local_on=at.astimezone(ZONE).date(),
        claimed_at=at,
        finished_at=at,
        outcome=Outcome.ACCEPTED,
        charged_to="nobody",
    )
    Delivery.update(state=State.SENT, sent_at=at, account=None, token=None).where(Delivery.id == delivery_id).execute()
