"""The throttle's decision, pure: the worked examples, the order, the limits, and properties over random days."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.throttle.decide import decide
from pipeline.throttle.forecast import Forecast
from pipeline.throttle.limits import jitter_share, limit_on
from pipeline.throttle.types import Account, Backlog, Campaign, Decision, Group, Rules, Slot, Waiting
from pipeline.throttle.window import SendingWindow
from tests.unit.day import AT_ONCE, WINDOW, ZONE, Day, in_zone, local


@pytest.mark.parametrize(
    ("now", "number_of_accounts", "number_of_contacts", "times"),
    [
        (local(8), 1, 10, [f"{8 + 54 * i // 60:02}:{54 * i % 60:02}:00" for i in range(10)]),
        (local(8), 1, 2, ["08:00:00", "12:30:00"]),
        (local(8), 2, 3, ["08:00:00", "11:00:00", "14:00:00"]),
        (local(16, 50), 1, 20, [f"16:{50 + i}:00" for i in range(10)]),
        (local(11, 11), 5, 1, ["11:11:00"]),
    ],
)
def test_the_worked_examples_of_an_even_spread(
    now: dt.datetime, number_of_accounts: int, number_of_contacts: int, times: list[str]
) -> None:
    assert Day(accounts(number_of_accounts), contacts(number_of_contacts), EXACT).run(now) == times


def test_a_thousand_accounts_send_every_3_24_seconds_and_each_every_54_minutes() -> None:
    first = decide(accounts(1000), Backlog(tuple(contacts(1001)), {in_zone(""): 10_000}), local(8), WINDOW, EXACT)
    times = sorted(slot.send_at for slot in first.reserved)
    assert len(times) == 1000
    assert {b - a for a, b in pairwise(times)} == {dt.timedelta(seconds=3.24)}
    standing = [replace(a, slot=s) for a, s in zip(accounts(1000), first.reserved, strict=True)]
    standing[0] = replace(standing[0], slot=None, used=1, last_transaction_at=local(8))
    (second,) = decide(
        standing,
        Backlog(tuple(contacts(2)), {in_zone(""): 9_000}),
        local(8),
        WINDOW,
        EXACT,
        last_transaction_today=local(8),
    ).reserved
    assert (second.account_id, second.send_at) == (1, local(8, 54))


@pytest.mark.parametrize(("month", "day", "hours"), [(3, 8, 23), (6, 2, 24), (11, 1, 25)])
def test_an_open_day_is_spread_over_the_hours_it_has(month: int, day: int, hours: int) -> None:
    always = SendingWindow((), ZONE, frozenset(range(7)))
    midnight = dt.datetime(2026, month, day, tzinfo=ZONE).astimezone(dt.UTC)
    decision = decide(accounts(2), Backlog(tuple(contacts(2)), {in_zone(""): 2}), midnight, always, EXACT)
    assert [slot.send_at - midnight for slot in decision.reserved] == [dt.timedelta(0), dt.timedelta(hours=hours) / 2]


def test_after_a_lull_the_rest_is_spread_from_now_on() -> None:
    decision = decide(
        accounts(2),
        Backlog(tuple(contacts(2)), {in_zone(""): 2}),
        local(12),
        WINDOW,
        EXACT,
        last_transaction_today=local(8),
    )
    assert [slot.send_at for slot in decision.reserved] == [local(12), local(14, 30)]


def test_an_account_that_is_cooling_or_over_its_limit_is_no_capacity_to_spread_over() -> None:
    out = [Account(1, 10, cooling_until=local(16)), Account(2, 1, used=5)]
    decision = decide(
        [*out, *accounts(4, 1)[2:]], Backlog(tuple(contacts(9)), {in_zone(""): 9}), local(8), WINDOW, EXACT
    )
    assert [(s.account_id, s.send_at) for s in decision.reserved] == [(3, local(8)), (4, local(12, 30))]
    assert decision.wake_at == local(16)


def test_nothing_is_reserved_outside_the_window_and_the_opening_is_the_next_moment() -> None:
    decision = decide(accounts(1), Backlog(tuple(contacts(1)), {in_zone(""): 1}), local(17), WINDOW, EXACT)
    assert decision == Decision(wake_at=local(8) + dt.timedelta(days=1))
    assert decide(accounts(1), Backlog(counts={in_zone(""): 1}), local(17), WINDOW, EXACT) == decision


def test_nothing_that_waits_needs_no_wake_up() -> None:
    assert decide(accounts(1), Backlog(), local(9), WINDOW, EXACT) == Decision()


@pytest.mark.parametrize(
    ("account", "moment"),
    [
        (Account(1, 10, cooling_until=local(9, 20)), local(9, 20)),
        (Account(1, 10, used=10), local(8) + dt.timedelta(days=1)),
        (Account(1, 0), local(8) + dt.timedelta(days=1)),
    ],
)
def test_what_can_not_go_now_wakes_at_the_moment_that_changes_it(account: Account, moment: dt.datetime) -> None:
    decision = decide([account], Backlog(tuple(contacts(1)), {in_zone(""): 1}), local(9), WINDOW, EXACT)
    assert decision == Decision(wake_at=moment)


def test_a_full_account_of_an_overnight_window_goes_on_at_midnight() -> None:
    night = SendingWindow(((dt.time(20), dt.time(6)),), ZONE, frozenset(range(7)))
    decision = decide([Account(1, 10, used=10)], Backlog(tuple(contacts(1)), {in_zone(""): 1}), local(21), night, EXACT)
    assert decision == Decision(wake_at=local(0) + dt.timedelta(days=1))


@pytest.mark.parametrize("slot", [Slot(1, local(9), (Waiting(7),)), None])
def test_an_account_that_is_busy_triggers_itself_and_only_a_cool_down_is_waited_for(slot: Slot | None) -> None:
    busy = Account(1, 10, slot=slot, sending=slot is None)
    warm, cold = Account(2, 0, cooling_until=local(8, 50)), Account(2, 10, cooling_until=local(9, 20))
    backlog = Backlog(tuple(contacts(1)), {in_zone(""): 1})
    assert decide([busy, warm], backlog, local(9), WINDOW, EXACT, advanced_at=local(9)) == Decision()
    assert decide([busy, cold], backlog, local(9), WINDOW, EXACT).wake_at == local(9, 20)
    assert decide([busy, cold], Backlog(), local(9), WINDOW, EXACT).wake_at is None


def test_an_account_that_has_just_been_given_a_slot_is_busy_and_what_is_not_in_the_head_counts_too() -> None:
    free, cold = Account(1, 10), Account(2, 10, cooling_until=local(9, 20))
    backlog = Backlog(tuple(contacts(1)), {in_zone(""): 5})
    assert decide([free], backlog, local(9), WINDOW, EXACT).wake_at is None
    assert decide([free, cold], backlog, local(9), WINDOW, EXACT).wake_at == local(9, 20)


def test_a_cool_down_is_over_at_its_end() -> None:
    account = Account(1, 10, cooling_until=local(9))
    assert decide([account], Backlog(tuple(contacts(1)), {in_zone(""): 1}), local(9), WINDOW, EXACT).reserved


def test_a_retry_in_ten_minutes_is_a_moment_that_matters() -> None:
    decision = decide(accounts(1), Backlog(next_not_before=local(9, 10)), local(9), WINDOW, EXACT)
    assert decision == Decision(wake_at=local(9, 10))


@pytest.mark.parametrize("now", [local(9), local(18)])
def test_a_retry_that_is_due_in_the_night_is_a_moment_when_the_window_opens(now: dt.datetime) -> None:
    decision = decide(accounts(1), Backlog(next_not_before=local(21)), now, WINDOW, EXACT)
    assert decision == Decision(wake_at=local(8) + dt.timedelta(days=1))


def test_a_second_advance_within_10_seconds_is_put_off_and_not_dropped() -> None:
    account = Account(1, 10, used=1, last_transaction_at=local(8), slot=Slot(1, local(12, 30), (Waiting(1),)))
    grown = Backlog(tuple(contacts(101)[1:]), {in_zone(""): 100})  # more than the nine that the account has left

    def at(second: int) -> Decision:
        now = local(8, 5, second)
        return decide([account], grown, now, WINDOW, EXACT, last_transaction_today=local(8), advanced_at=local(8, 5))

    assert at(9) == Decision(wake_at=local(8, 5, 10))
    assert [slot.send_at for slot in at(10).advanced] == [local(8, 54)]


def test_an_account_with_an_open_claim_or_a_slot_gets_no_other() -> None:
    slot = Slot(2, local(12), (Waiting(77),))
    busy = [Account(1, 10, sending=True), Account(2, 10, slot=slot)]
    decision = decide(
        busy, Backlog(tuple(contacts(3)), {in_zone(""): 3}), local(9), WINDOW, EXACT, advanced_at=local(9)
    )
    assert not decision.changes_slots


def test_an_account_never_sends_sooner_than_its_interval() -> None:
    account = Account(1, 10, used=1, last_transaction_at=local(9), last_attempt_at=local(9))
    (slot,) = decide(
        [account], Backlog(tuple(contacts(1)), {in_zone(""): 1}), local(9, 0, 1), WINDOW, Rules(spread=False)
    ).reserved
    assert slot.send_at == local(9, 1)


def test_a_slot_that_the_interval_puts_after_the_end_is_not_todays() -> None:
    account = Account(1, 10, used=1, last_transaction_at=local(16, 59), last_attempt_at=local(16, 59))
    decision = decide(
        [account], Backlog(tuple(contacts(1)), {in_zone(""): 1}), local(16, 59, 40), WINDOW, Rules(spread=False)
    )
    assert decision == Decision(wake_at=local(8) + dt.timedelta(days=1))


def test_an_account_that_can_send_no_more_today_does_not_keep_the_most_urgent_from_another() -> None:
    spent = Account(1, 10, used=1, last_transaction_at=local(16, 59, 30), last_attempt_at=local(16, 59, 30))
    backlog = Backlog((Waiting(1, priority=9), Waiting(2)), {in_zone(""): 2})
    decision = decide(
        [spent, Account(2, 10, used=5)], backlog, local(16, 59, 40), WINDOW, Rules(spread=False, jitter=0)
    )
    assert decision.reserved == (Slot(2, local(16, 59, 40), (Waiting(1, priority=9),)),)


def test_without_spread_and_interval_each_account_takes_a_list_within_its_limit() -> None:
    decision = decide(
        accounts(2, limit=120), Backlog(tuple(contacts(300)), {in_zone(""): 240}), local(9), WINDOW, AT_ONCE
    )
    assert [len(slot.deliveries) for slot in decision.reserved] == [100, 100]
    assert {slot.send_at for slot in decision.reserved} == {local(9)}
    lists = decide(
        [Account(1, 3), Account(2, 3, used=1)], Backlog(tuple(contacts(9)), {in_zone(""): 5}), local(9), WINDOW, AT_ONCE
    )
    assert [[w.id for w in slot.deliveries] for slot in lists.reserved] == [[1, 2, 4], [3, 5]]


@pytest.mark.parametrize("rules", [replace(AT_ONCE, spread=True), replace(AT_ONCE, interval=dt.timedelta(seconds=1))])
def test_with_spread_or_an_interval_a_slot_holds_one_delivery(rules: Rules) -> None:
    (slot,) = decide(accounts(1), Backlog(tuple(contacts(9)), {in_zone(""): 9}), local(9), WINDOW, rules).reserved
    assert [w.id for w in slot.deliveries] == [1]


@pytest.mark.parametrize(
    ("standing", "turns"),
    [
        ([Account(1, 10, used=2), Account(2, 10, used=1), Account(3, 10)], [3, 2, 1]),
        ([Account(i, 10, used=1, last_attempt_at=local(9, 4 - i)) for i in (1, 2, 3)], [3, 2, 1]),
        ([Account(1, 10, last_attempt_at=local(9, 2), last_transaction_at=local(9)),
          Account(2, 10, last_attempt_at=local(9, 1), last_transaction_at=local(9, 1)), Account(3, 10)], [3, 2, 1]),
        ([Account(3, 10), Account(1, 10), Account(2, 10)], [1, 2, 3]),
    ],
)  # fmt: skip
def test_it_is_the_turn_of_the_fewest_used_then_the_longest_idle_then_the_lowest_id(
    standing: list[Account], turns: list[int]
) -> None:
    decision = decide(standing, Backlog(tuple(contacts(3)), {in_zone(""): 3}), local(12), WINDOW, EXACT)
    assert [(s.account_id, s.deliveries[0].id) for s in decision.reserved] == [(turns[i], i + 1) for i in range(3)]


def test_an_account_that_failed_a_delivery_never_has_it_again_while_another_is_usable() -> None:
    waiting = Waiting(1, failed_by={1: local(8)})
    both = decide(accounts(2), Backlog((waiting,), {in_zone(""): 1}), local(9), WINDOW, EXACT)
    assert [s.account_id for s in both.reserved] == [2]
    next_one = decide(accounts(2), Backlog((waiting, Waiting(2)), {in_zone(""): 2}), local(9), WINDOW, EXACT)
    assert [(s.account_id, s.deliveries[0].id) for s in next_one.reserved] == [(2, 1), (1, 2)]
    other_is_busy = [Account(1, 10), Account(2, 10, sending=True)]
    assert not decide(other_is_busy, Backlog((waiting,), {in_zone(""): 1}), local(9), WINDOW, EXACT).reserved


def test_an_account_that_alone_may_send_what_opens_later_is_kept_for_it_and_no_other() -> None:
    later = Waiting(1, failed_by={2: local(8)}, group=in_zone("America/Los_Angeles"))
    backlog = Backlog((later, Waiting(2), Waiting(3)), {in_zone(""): 2, in_zone("America/Los_Angeles"): 1})
    decision = decide([Account(1, 1), Account(2, 1)], backlog, local(9), WINDOW, AT_ONCE)
    assert decision.reserved == (Slot(1, local(11), (later,)), Slot(2, local(9), (Waiting(2),)))


def test_an_account_kept_for_a_later_opening_sends_what_it_leaves_alone_until_before_that() -> None:
    urgent = Waiting(3, priority=1, failed_by={1: local(10)})
    backlog = Backlog(
        (Waiting(1, group=in_zone("America/Los_Angeles")), Waiting(2), urgent),
        {in_zone(""): 2, in_zone("America/Los_Angeles"): 1},
    )
    decision = decide([Account(1, 1)], backlog, local(9), WINDOW, AT_ONCE)
    assert decision.reserved == (Slot(1, local(10), (urgent,)),)


def test_where_no_other_account_is_usable_it_waits_for_its_backoff_and_wakes_at_its_end() -> None:
    only_one = [Account(1, 10), Account(2, 10, used=10)]
    backlog = Backlog(
        (Waiting(1, failed_by={1: local(9, 15)}), Waiting(2, failed_by={1: local(9, 30)})), {in_zone(""): 2}
    )
    before = decide(only_one, backlog, local(9), WINDOW, EXACT)
    assert before == Decision(wake_at=local(9, 15))
    (slot,) = decide(only_one, backlog, local(9, 15), WINDOW, EXACT).reserved
    assert (slot.account_id, slot.deliveries[0].id, slot.send_at) == (1, 1, local(9, 15))
    evening = Backlog((Waiting(1, failed_by={1: local(21)}),), {in_zone(""): 1})
    tomorrow = local(8) + dt.timedelta(days=1)
    assert decide(only_one, evening, local(9), WINDOW, EXACT).wake_at == tomorrow


def test_an_account_of_others_waits_for_nothing_where_the_only_sender_of_a_campaign_has_failed_its_mail() -> None:
    group = Group(campaign=1)
    failed = Waiting(1, failed_by={1: local(9, 15)}, group=group)
    backlog = Backlog((failed,), {group: 1}, campaigns={1: Campaign(1, frozenset({1}))})
    assert decide(accounts(2), backlog, local(9), WINDOW, EXACT) == Decision(wake_at=local(9, 15))


def test_a_slot_that_is_not_worth_advancing_is_not_advanced_for_being_asked_about_later() -> None:
    account = Account(1, 10, slot=Slot(1, local(13, 20), (Waiting(1),)))
    for now in (local(9), local(12, 30)):
        assert not decide([account], Backlog(), now, WINDOW, EXACT, last_transaction_today=local(9)).changes_slots


def test_a_slot_is_not_advanced_into_the_time_in_which_its_account_leaves_its_delivery_alone() -> None:
    def advanced(leaves_alone_until: dt.datetime) -> tuple[Slot, ...]:
        holder = Waiting(1, failed_by={1: leaves_alone_until})
        return decide([Account(1, 10, slot=Slot(1, local(12), (holder,)))], Backlog(), local(9), WINDOW, EXACT).advanced

    assert advanced(local(9, 15)) == ()
    assert [slot.send_at for slot in advanced(local(9))] == [local(9)]


def test_what_every_usable_account_has_failed_stands_behind_its_equals_and_not_behind_the_less_urgent() -> None:
    failed = {1: local(8), 2: local(8)}
    head = (Waiting(1, 5, failed_by=failed), Waiting(2, 5, failed_by={1: local(8)}), Waiting(3, 5), Waiting(4))

    def order(number_of_accounts: int) -> list[int]:
        day = Day(accounts(number_of_accounts), list(head), EXACT)
        slots = decide(list(day.accounts.values()), Backlog(head, {in_zone(""): 4}), local(9), WINDOW, EXACT).reserved
        return [slot.deliveries[0].id for slot in slots]

    assert order(1) == [3]
    assert order(2) == [2, 3]
    assert order(3) == [1, 2, 3]
    without_equals = Backlog((head[0], head[3]), {in_zone(""): 2})
    (slot,) = decide(accounts(1), without_equals, local(9), WINDOW, EXACT).reserved
    assert slot.deliveries[0].id == 1


def test_an_account_on_trial_sends_one_mail_and_not_a_list() -> None:
    trial = replace(Account(1, 10), on_trial=True)
    decision = decide(
        [trial, Account(2, 10)], Backlog(tuple(contacts(30)), {in_zone(""): 20}), local(9), WINDOW, AT_ONCE
    )
    assert [(s.account_id, len(s.deliveries)) for s in decision.reserved] == [(1, 1), (2, 10)]


def test_an_urgent_delivery_takes_the_soonest_slot_and_the_displaced_one_goes_on() -> None:
    soon, later = Slot(2, local(11), (Waiting(5),)), Slot(1, local(14), (Waiting(6),))
    standing = [Account(1, 10, slot=later), Account(2, 10, slot=soon), Account(3, 10)]
    decision = decide(
        standing, Backlog((Waiting(9, priority=9),), {in_zone(""): 1}), local(9), WINDOW, EXACT,
        last_transaction_today=local(8), advanced_at=local(9),
    )  # fmt: skip
    assert [(s.account_id, s.deliveries[0].id, s.send_at) for s in decision.pre_empted] == [(2, 9, local(11))]
    assert [(s.account_id, s.deliveries[0].id) for s in decision.reserved] == [(3, 5)]


def test_a_slot_can_be_handed_over_and_brought_forward_in_one() -> None:
    account = Account(1, 10, slot=Slot(1, local(16), (Waiting(5),)))
    decision = decide([account], Backlog((Waiting(9, priority=9),), {in_zone(""): 1}), local(9), WINDOW, EXACT)
    assert decision == Decision(pre_empted=(Slot(1, local(9), (Waiting(9, priority=9),)),))


def test_a_slot_of_an_account_that_failed_the_most_urgent_goes_to_the_next_urgent() -> None:
    account = Account(1, 10, slot=Slot(1, local(9), (Waiting(5),)))
    refused, welcome = Waiting(8, priority=9, failed_by={1: local(9, 15)}), Waiting(9, priority=8)
    one = decide([account], Backlog((refused,), {in_zone(""): 1}), local(9), WINDOW, EXACT)
    assert not one.changes_slots
    two = decide([account], Backlog((refused, welcome), {in_zone(""): 2}), local(9), WINDOW, EXACT)
    assert two.pre_empted == (Slot(1, local(9), (welcome,)),)


def test_a_slot_that_comes_too_late_for_the_most_urgent_goes_to_the_next_urgent() -> None:
    account = Account(1, 10, used=1, last_transaction_at=local(10, 30), slot=Slot(1, local(11, 30), (Waiting(1),)))
    closed_from_11_on, welcome = Waiting(8, priority=9, group=in_zone("Europe/Berlin")), Waiting(9, priority=8)
    hourly = Rules(dt.timedelta(hours=1), spread=False, jitter=0)
    backlog = Backlog((closed_from_11_on, welcome), {in_zone("Europe/Berlin"): 1, in_zone(""): 1})
    decision = decide([account], backlog, local(10, 40), WINDOW, hourly)
    assert decision.pre_empted == (Slot(1, local(11, 30), (welcome,)),)


def test_an_account_that_can_not_send_before_the_zone_closes_leaves_it_to_another() -> None:
    resting, other = Account(1, 10, last_transaction_at=local(10, 30)), Account(2, 10, used=5)
    soon_closed = Waiting(7, group=in_zone("Europe/Berlin"))
    hourly = Rules(dt.timedelta(hours=1), spread=False, jitter=0)
    decision = decide(
        [resting, other], Backlog((soon_closed,), {in_zone("Europe/Berlin"): 1}), local(10, 40), WINDOW, hourly
    )
    assert decision.reserved == (Slot(2, local(10, 40), (soon_closed,)),)


def test_who_is_passed_over_for_one_turn_may_have_the_next() -> None:
    hours = ((dt.time(8), dt.time(12)), (dt.time(13, 30), dt.time(17)))
    window = SendingWindow(hours, ZoneInfo("Europe/Berlin"), frozenset(range(7)))
    # Closed there from 8:30 to 10 and from 13:30 on: not every turn of four suits both.
    waiting = (
        Waiting(1),
        Waiting(2),
        Waiting(3, group=in_zone("Asia/Kolkata")),
        Waiting(4, group=in_zone("Asia/Kolkata")),
    )
    opening = dt.datetime(2026, 3, 29, 6, tzinfo=dt.UTC)
    each_one = [Account(i, 1) for i in (1, 2, 3, 4)]
    decision = decide(each_one, Backlog(waiting, {in_zone(""): 2, in_zone("Asia/Kolkata"): 2}), opening, window, EXACT)
    assert {d.id for slot in decision.reserved for d in slot.deliveries} == {1, 2, 3, 4}


def test_the_forecast_counts_what_comes_later_today_and_not_what_comes_tomorrow() -> None:
    forecast = Forecast([Account(1, 3)], local(8), WINDOW, EXACT, lambda _id, _date: 3)
    for number, at in enumerate((local(9), local(9) + dt.timedelta(days=1), local(10)), 1):
        forecast.add([Waiting(number)], at)
    forecast.add([Waiting(4)])
    sent = {mail.delivery.id: mail.send_at for mail in forecast.run(local(17))}
    # three go today, and so the second one a third of the rest of the day after the first
    assert sent == {4: local(8), 1: local(11), 3: local(14)}


def test_the_forecast_of_a_day_without_capacity_goes_on_the_next() -> None:
    night = local(20)
    forecast = Forecast([Account(1, 0)], night, WINDOW, EXACT, lambda _id, date: int(date > dt.date(2026, 6, 2)))
    forecast.add([Waiting(1)])
    assert [mail.send_at for mail in forecast.run(night + dt.timedelta(days=2))] == [local(8) + dt.timedelta(days=1)]


def test_a_list_that_is_due_at_once_is_not_handed_over() -> None:
    account = Account(1, 10, slot=Slot(1, local(9), tuple(contacts(3))))
    assert not decide(
        [account], Backlog((Waiting(9, priority=9),), {in_zone(""): 1}), local(9), WINDOW, AT_ONCE
    ).changes_slots


def test_a_slot_moves_only_if_that_saves_a_tenth_of_the_time_since_the_last_send_and_not_when_it_is_near() -> None:
    def advanced(send_at: dt.datetime) -> bool:
        account = Account(1, 10, slot=Slot(1, send_at, (Waiting(1),)))
        # eight more wait: the slot's position is now 08:54
        decision = decide(
            [account],
            Backlog(tuple(contacts(9)), {in_zone(""): 8}),
            local(8, 5),
            WINDOW,
            EXACT,
            last_transaction_today=local(8),
        )
        return bool(decision.advanced)

    target = local(8) + dt.timedelta(hours=9) / 10
    wait = target - local(8)
    assert advanced(local(8) + wait / 0.89)
    assert not advanced(local(8) + wait / 0.91)
    assert not advanced(local(8, 5, 5))
    near, far = (Account(1, 10, slot=Slot(1, local(9, 0, second), (Waiting(1),))) for second in (5, 6))
    assert not decide([near], Backlog(), local(9), WINDOW, EXACT).advanced
    assert [slot.send_at for slot in decide([far], Backlog(), local(9), WINDOW, EXACT).advanced] == [local(9)]


def test_a_slot_is_advanced_over_closed_hours_where_its_jitter_brings_it_there() -> None:
    hours = ((dt.time(7), dt.time(7, 30)), (dt.time(12, 15), dt.time(13)), (dt.time(18), dt.time(18, 30)))
    window = SendingWindow(hours, ZONE, frozenset(range(7)))
    account = Account(1, 1, slot=Slot(1, local(18), (Waiting(1, share=-1.0),)))
    # Half of what is left open is behind 18:00, a fifth less is 21 minutes before 13:00.
    decision = decide(
        [account], Backlog(), local(12, 35), window, Rules(jitter=0.2), last_transaction_today=local(12, 35)
    )
    assert [slot.send_at for slot in decision.advanced] == [local(12, 57)]


def test_a_ramp_grows_to_the_limit_and_a_quota_is_given_back_step_by_step() -> None:
    first = dt.date(2026, 6, 1)
    ramp = [limit_on(first + dt.timedelta(days=i), 10, warmup=(2, 3, first)) for i in range(5)]
    assert ramp == [2, 5, 8, 10, 10]
    assert [limit_on(first, 10, quota=(3, days)) for days in range(9)] == [3, 4, 5, 6, 7, 8, 9, 10, 10]
    assert [limit_on(first, 2000, quota=(1000, days)) for days in range(6)] == [1000, 1200, 1400, 1600, 1800, 2000]
    assert [limit_on(first, 10, warmup=(5, 3, first), quota=(n, 0)) for n in (3, 7)] == [3, 5]


def test_before_its_first_day_a_ramp_is_at_its_start_and_no_limit_is_below_zero() -> None:
    eve, first = dt.date(2026, 5, 31), dt.date(2026, 6, 1)
    assert limit_on(eve, 10, warmup=(5, 3, first)) == 5
    assert limit_on(first, 10, quota=(-1, 0)) == 0


def test_jitter_is_the_pairs_own_and_keeps_neighbours_in_order() -> None:
    assert jitter_share(1, 2) == jitter_share(1, 2)
    assert len({jitter_share(1, 2), jitter_share(2, 1), jitter_share(1, 3), jitter_share(3, 2)}) == 4
    assert all(-1 <= jitter_share(i, 1) <= 1 for i in range(1000))
    waiting = [Waiting(i, share=jitter_share(i, 1)) for i in range(200)]
    decision = decide(accounts(200), Backlog(tuple(waiting), {in_zone(""): 200}), local(8), WINDOW, Rules(jitter=0.5))
    times = [slot.send_at for slot in decision.reserved]
    assert times == sorted(times)
    assert times[0] == local(8)
    gaps = {b - a for a, b in pairwise(times)}
    assert len(gaps) > 100
    assert max(times) < local(17)


@st.composite
def days(draw: st.DrawFn) -> tuple[Day, dt.datetime]:
    """Return a random day: accounts, limits, contacts, priorities, window, rules, and when it starts."""
    limits = draw(st.lists(st.integers(0, 6), min_size=1, max_size=6))
    priorities = draw(st.lists(st.integers(0, 9), max_size=40))
    start, end = draw(st.sampled_from([(8, 17), (0, 0), (9, 10), (20, 6)]))
    window = SendingWindow(((dt.time(start), dt.time(end)),), ZONE, frozenset(range(7)))
    interval = dt.timedelta(seconds=draw(st.sampled_from([0, 1, 60, 600])))
    rules = Rules(interval, draw(st.booleans()), draw(st.sampled_from([0.0, 0.2, 0.5])))
    waiting = [Waiting(i, p, share=jitter_share(i, 1)) for i, p in enumerate(priorities, 1)]
    now = local(start) + dt.timedelta(minutes=draw(st.integers(0, 30)))
    return Day([Account(i, limit) for i, limit in enumerate(limits, 1)], waiting, rules, window), now


@settings(max_examples=150, deadline=None, derandomize=True)
@given(days())
def test_no_day_breaks_a_limit_the_window_or_the_interval_or_wastes_capacity(case: tuple[Day, dt.datetime]) -> None:
    day, now = case
    demand, capacity = len(day.waiting), sum(a.limit for a in day.accounts.values())
    end = day.window.day_end(now)
    order = [w.id for w in day.waiting]
    day.run(now)
    sent = ids_sent_within_the_rules(day, now, end)
    assert set(sent) == set(order[: len(sent)])
    room_for_intervals = day.rules.interval * 6 < end - now
    if room_for_intervals:
        assert len(sent) == min(demand, capacity)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(days(), st.lists(st.tuples(st.integers(1, 540), st.integers(0, 9)), max_size=15))
def test_who_comes_later_breaks_no_rule_and_never_waits_behind_the_less_urgent(
    case: tuple[Day, dt.datetime], arrivals: list[tuple[int, int]]
) -> None:
    day, now = case
    end = day.window.day_end(now)
    day.decide(now)
    for delivery_id, (minute, priority) in enumerate(sorted(arrivals), 1000):
        at = now + dt.timedelta(minutes=minute)
        if at >= end:
            break
        day.advance(now, at)
        day.waiting.append(Waiting(delivery_id, priority, share=jitter_share(delivery_id, 1)))
        day.decide(at)
        held = [a.slot.deliveries[0].priority for a in day.accounts.values() if a.slot and len(a.slot.deliveries) == 1]
        assert all(w.priority <= min(held) for w in day.waiting if held)
    day.advance(now, end)
    ids_sent_within_the_rules(day, now, end)


EXACT = Rules(jitter=0)


def accounts(number: int, limit: int = 10) -> list[Account]:
    """Return fresh accounts."""
    return [Account(i, limit) for i in range(1, number + 1)]


def contacts(number: int) -> list[Waiting]:
    """Return ordinary deliveries."""
    return [Waiting(i) for i in range(1, number + 1)]


def ids_sent_within_the_rules(day: Day, now: dt.datetime, end: dt.datetime) -> list[int]:
    """Check limit, window and interval of everything that was sent, and that nothing was sent twice; return the ids."""
    for account in day.accounts.values():
        times = [at for at, account_id, _ in day.sent if account_id == account.id]
        assert len(times) <= account.limit
        assert all(now <= at < end and day.window.contains(at) for at in times)
        if day.rules.list_size == 1:
            assert all(b - a >= day.rules.interval for a, b in pairwise(times))
    sent = [delivery_id for _, _, delivery_id in day.sent]
    assert len(sent) == len(set(sent))
    return sent
