"""Contacts whose zones open late in the day: age decides for them as for everybody, and no capacity is lost by it."""

from __future__ import annotations

import datetime as dt
from collections import Counter

import pytest

from pipeline.throttle.decide import decide
from pipeline.throttle.forecast import Forecast, Planned
from pipeline.throttle.types import Account, Backlog, Decision, Rules, Slot, Waiting
from pipeline.throttle.window import SendingWindow
from tests.unit.day import WINDOW, ZONE, in_zone, local

#: 11:00 to 17:00, 14:00 to 17:00 and 16:00 to 17:00 in New York, in June.
LOS_ANGELES, HONOLULU, AUCKLAND = "America/Los_Angeles", "Pacific/Honolulu", "Pacific/Auckland"


@pytest.mark.parametrize("zone", [LOS_ANGELES, HONOLULU, AUCKLAND])
@pytest.mark.parametrize(
    ("number", "limit"), [(1, 1), (1, 2), (1, 3), (1, 10), (2, 1), (2, 2), (3, 2), (5, 1), (5, 4), (10, 10)]
)
def test_the_oldest_of_all_goes_on_the_first_day_and_no_mail_fewer_goes_out(zone: str, number: int, limit: int) -> None:
    waiting = [Waiting(1, group=in_zone(zone)), *map(Waiting, range(2, 3 * number * limit))]
    sent = sent_of(number, limit, waiting, days=2)
    assert next(mail.send_at for mail in sent if mail.delivery.id == 1) < local(17)
    assert Counter(dates(sent)) == {2: number * limit, 3: number * limit}


def test_it_competes_by_age_for_a_slot_that_is_dealt_before_its_zone_opens() -> None:
    account = Account(1, 10, used=1, last_transaction_at=local(8))
    older, younger = Waiting(2, group=in_zone(LOS_ANGELES)), Waiting(3)
    for first, second in ((older, younger), (Waiting(1), older)):
        backlog = Backlog((second, first), {in_zone(""): 1, in_zone(LOS_ANGELES): 1})
        (slot,) = decide([account], backlog, local(8), WINDOW, EXACT, last_transaction_today=local(8)).reserved
        assert (slot.send_at, slot.deliveries) == (local(11), (first,))


def test_while_capacity_is_left_for_both_the_younger_does_not_wait_for_it() -> None:
    backlog = Backlog((Waiting(1, group=in_zone(AUCKLAND)), Waiting(2)), {in_zone(""): 1, in_zone(AUCKLAND): 1})
    (slot,) = decide([Account(1, 2)], backlog, local(8), WINDOW, EXACT).reserved
    assert slot == Slot(1, local(8), (Waiting(2),))
    alone = decide(
        [Account(1, 2)],
        Backlog((Waiting(1, group=in_zone(AUCKLAND)),), {in_zone(AUCKLAND): 1}),
        local(8),
        WINDOW,
        EXACT,
    )
    assert alone == Decision(wake_at=local(16))


def test_the_last_of_a_days_capacity_is_kept_for_it_and_an_urgent_one_takes_it_still() -> None:
    late = Waiting(1, group=in_zone(AUCKLAND))
    backlog = Backlog((late, Waiting(2)), {in_zone(""): 1, in_zone(AUCKLAND): 1})
    (slot,) = decide([Account(1, 1)], backlog, local(8), WINDOW, EXACT).reserved
    assert slot == Slot(1, local(16), (late,))
    urgent = Waiting(3, priority=9)
    decision = decide([Account(1, 1, slot=slot)], Backlog((urgent,), {in_zone(""): 1}), local(9), WINDOW, EXACT)
    assert decision.pre_empted == (Slot(1, local(9), (urgent,)),)


def test_what_waits_beyond_the_head_counts_too() -> None:
    head = (*(Waiting(i, group=in_zone(AUCKLAND)) for i in range(1, 22)), Waiting(99))
    counts = {in_zone(""): 1, in_zone(AUCKLAND): 50}
    for beyond, holder in ((28, 99), (29, 1)):
        backlog = Backlog(head, counts, {in_zone(AUCKLAND): beyond})
        (slot,) = decide([Account(1, 50)], backlog, local(8), WINDOW, EXACT).reserved
        assert slot.deliveries[0].id == holder


def test_no_more_is_kept_for_a_zone_than_goes_in_its_hours() -> None:
    waiting = [*(Waiting(i, group=in_zone(AUCKLAND)) for i in range(1, 91)), *map(Waiting, range(91, 300))]
    sent = sent_of(1, 100, waiting, days=1)
    assert Counter(mail.delivery.group for mail in sent) == {in_zone(""): 40, in_zone(AUCKLAND): 60}


def test_what_is_kept_goes_evenly_over_the_zones_hours_and_not_all_at_their_opening() -> None:
    waiting = [*(Waiting(i, group=in_zone(AUCKLAND)) for i in range(1, 11)), *map(Waiting, range(11, 30))]
    sent = sent_of(10, 1, waiting, days=1)
    assert [mail.send_at for mail in sent] == [local(16, 6 * i) for i in range(10)]


def test_an_account_does_not_stand_idle_for_a_zone_that_opens_later_than_another_that_waits() -> None:
    both = [
        Waiting(1, group=in_zone(AUCKLAND)),
        Waiting(2, group=in_zone(LOS_ANGELES)),
        Waiting(3, group=in_zone(LOS_ANGELES)),
        Waiting(4),
    ]
    sent = sent_of(1, 2, both, days=1)
    assert [(mail.delivery.id, f"{mail.send_at.astimezone(ZONE):%H:%M}") for mail in sent] == [
        (2, "11:00"), (1, "16:00")
    ]  # fmt: skip


def test_a_slot_that_waits_for_its_zone_leaves_its_position_to_capacity_that_comes_back() -> None:
    kept = Account(1, 1, slot=Slot(1, local(16), (Waiting(1, group=in_zone(AUCKLAND)),)))
    backlog = Backlog((Waiting(2),), {in_zone(""): 1})
    decision = decide([kept, Account(2, 1)], backlog, local(10), WINDOW, EXACT)
    assert decision.reserved == (Slot(2, local(10), (Waiting(2),)),)


def test_age_decides_also_where_its_jitter_puts_the_older_one_behind_the_opening_of_its_zone() -> None:
    hours = ((dt.time(8), dt.time(12)), (dt.time(13, 30), dt.time(17)))
    window = SendingWindow(hours, ZONE, frozenset(range(7)))
    # Its own turn would be at 15:07, over lunch in Los Angeles; the younger one's at 9:52, before it opens there.
    older, younger = Waiting(1, share=1.0, group=in_zone(LOS_ANGELES)), Waiting(2, share=-1.0)
    backlog = Backlog((older, younger), {in_zone(LOS_ANGELES): 1, in_zone(""): 1})
    decision = decide([Account(1, 1)], backlog, local(8), window, Rules(jitter=0.5), last_transaction_today=local(8))
    assert [slot.deliveries for slot in decision.reserved] == [(older,)]


EXACT = Rules(jitter=0)


def sent_of(accounts: int, limit: int, waiting: list[Waiting], *, days: int) -> list[Planned]:
    """Return what so many fresh accounts send from the morning of 2 June on."""
    forecast = Forecast(
        [Account(i, limit) for i in range(1, accounts + 1)], local(7), WINDOW, EXACT, lambda _id, _date: limit
    )
    forecast.add(waiting)
    return list(forecast.run(local(7) + dt.timedelta(days=days)))


def dates(sent: list[Planned]) -> list[int]:
    """Return the day of June of each mail."""
    return [mail.send_at.astimezone(ZONE).day for mail in sent]
