"""Properties of the throttle over random days: the forecast is driven through time, and what it did is checked against
the wall clock and the rules of `docs/throttle.md`, by code that calls none of the code under test.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any, TypeVar
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from pipeline.throttle import forecast
from pipeline.throttle.decide import decide
from pipeline.throttle.forecast import Forecast
from pipeline.throttle.glance import glance
from pipeline.throttle.types import Account, Backlog, Campaign, Decision, Group, Slot, Waiting
from pipeline.throttle.window import Clock, SendingWindow
from tests.unit.random_days import (
    DAY,
    NOTHING,
    QUARTER,
    Arrival,
    Case,
    cases,
    holds_for,
    is_open,
    local_date,
    midnight,
    open_quarters,
    spans,
)


@holds_for(1000)
@given(cases(campaigns=True))
def test_no_account_exceeds_its_limit_on_any_local_date(case: Case) -> None:
    today = local_date(case.window, case.start)
    sent = Counter((a.account, local_date(case.window, a.at)) for a in played(case).attempted if a.accepted)
    for account in case.accounts:
        sent[account.id, today] += account.used if sent[account.id, today] else 0
    assert all(number <= case.limits[account].on(date) for (account, date), number in sent.items())


@holds_for(1000)
@given(cases(campaigns=True))
def test_no_campaign_exceeds_its_limit_on_any_local_date_nor_leaves_its_accounts(case: Case) -> None:
    today, attempted = local_date(case.window, case.start), played(case).attempted
    assert all(a.account in case.senders_of(a.group) for a in attempted)
    sent = Counter((a.group.campaign, local_date(case.window, a.at)) for a in attempted if a.accepted)
    for campaign in case.campaigns:
        sent[campaign.id, today] += campaign.used if sent[campaign.id, today] else 0
        limit = len(attempted) if campaign.limit is None else campaign.limit
        assert all(number <= limit for (i, _), number in sent.items() if i == campaign.id)


@holds_for(1000)
@given(cases(campaigns=True))
def test_nothing_is_attempted_outside_the_window_or_the_contacts_own(case: Case) -> None:
    assert all(is_open(case.window, a.at, *a.group.clock) for a in played(case).attempted)


@holds_for(1000)
@given(cases(campaigns=True))
def test_claims_of_one_account_are_never_closer_than_the_interval(case: Case) -> None:
    world = played(case)
    for account in case.accounts:
        claims = [a.at for a in world.attempted if a.account == account.id and a.claimed]
        before = [account.last_transaction_at] if account.last_transaction_at else []
        assert all(b - a >= case.rules.interval for a, b in pairwise(before + claims))


@holds_for(600)
@given(cases(campaigns=True))
def test_nothing_is_sent_twice_nothing_vanishes_and_all_is_sent_in_the_end(case: Case) -> None:
    world = Played(case, case.accounts)
    for arrived in world.play(case.arrivals, case.start + PATIENCE * DAY):
        sent = [a.delivery for a in world.attempted if a.accepted]
        held = [w.id for w in world.held]
        assert sorted(sent + held + list(world.pending)) == sorted(a.delivery.id for a in case.arrivals[:arrived])
        assert world.waiting == len(world.pending)
    assert len(sent) == len(case.arrivals)


@holds_for(600)
@given(cases(campaigns=True), st.randoms(use_true_random=False))
def test_the_same_inputs_give_the_same_slots_in_whatever_order_they_come(case: Case, random: Any) -> None:
    def shuffled(values: Any) -> list[Any]:
        return random.sample(list(values), len(values))

    world = played(case)
    for seen in random.sample(world.seen, min(10, len(world.seen))):
        backlog = replace(
            seen.backlog, head=tuple(shuffled(seen.backlog.head)), counts=dict(shuffled(seen.backlog.counts.items()))
        )
        again = decide(
            shuffled(seen.accounts), backlog, seen.now, case.window, case.rules,
            last_transaction_today=seen.last_transaction_today, advanced_at=seen.advanced_at,
        )  # fmt: skip
        assert again == seen.decision
    other = Played(case, shuffled(case.accounts))
    for _ in other.play(sorted(shuffled(case.arrivals), key=lambda a: a.at), case.start + PATIENCE * DAY):
        pass
    assert other.attempted == world.attempted


@holds_for(600)
@given(cases(campaigns=True))
def test_an_account_has_one_slot_at_most_and_it_only_moves_forward(case: Case) -> None:
    for seen in played(case).seen:
        before = {s.account_id: s for s in seen.slots_before}
        decision = seen.decision
        free = [a.id for a in seen.accounts if a.slot is None and not a.sending]
        new = [s.account_id for s in decision.reserved]
        assert set(new) <= set(free)
        changed = [s.account_id for s in (*decision.reserved, *decision.advanced, *decision.pre_empted)]
        assert len(changed) == len(set(changed))
        assert all(s.deliveries == before[s.account_id].deliveries for s in decision.advanced)
        assert all(s.send_at < before[s.account_id].send_at for s in decision.advanced)
        assert all(s.send_at <= before[s.account_id].send_at for s in decision.pre_empted)
        assert all(s.send_at >= seen.now for s in (*decision.reserved, *decision.advanced))
        held = [w.id for s in seen.slots_after.values() for w in s.deliveries]
        assert len(held) == len(set(held))


@holds_for(800)
@given(cases())
def test_no_usable_account_is_without_a_slot_while_something_waits_that_it_may_send(case: Case) -> None:
    world = played(case)
    for seen, following in pairwise(world.seen):
        slots = seen.slots_after
        accounts = [replace(a, slot=slots.get(a.id)) for a in seen.accounts]
        full = full_campaigns(case, seen, seen.now)
        pending = [(w, t) for w, t in seen.pending_after if w.group.campaign not in full]
        assert not idle_for_nothing(case, accounts, pending, seen.now)
        if pending and any(a.slot is None for a in accounts):
            for at in set(moments_between(case, seen, seen.now, following.now)):
                if seen.now < at < following.now:
                    full = full_campaigns(case, seen, at)
                    pending = [(w, t) for w, t in seen.pending_after if w.group.campaign not in full]
                    assert not idle_for_nothing(case, on_date(case, accounts, seen.now, at), pending, at)


@holds_for(800)
@given(cases())
def test_who_gets_a_slot_is_the_most_urgent_of_those_that_may_go(case: Case) -> None:
    for seen in played(case).seen:
        accounts = {a.id: a for a in seen.accounts}
        left_out = may_go(case, seen.pending_after, seen.now)
        new = {s.account_id for s in seen.decision.reserved}
        for slot in seen.slots_after.values():
            account, holder = accounts[slot.account_id], slot.deliveries[-1]
            if slot.account_id in new:
                alike = not any(w.clock.zone for w in (*left_out, holder))
                passed_over = [w for w in left_out if goes_before(seen, w, holder, alike=alike)]
            elif len(slot.deliveries) == 1 and is_open(case.window, seen.now):
                passed_over = [w for w in left_out if w.priority > holder.priority]
            else:
                continue
            for delivery in passed_over:
                at = could_send(case, account, delivery, seen.accounts, seen.now)
                # Its own jitter may have brought its turn so much sooner, when the account still left it alone.
                if at and account.id in delivery.failed_by:
                    at += 2 * case.rules.jitter * paces(case, seen)[0].gap
                assert not (at and at <= slot.send_at)


@holds_for(1500)
@given(cases(faults=False))
def test_age_decides_also_for_zones_that_open_later_today(case: Case) -> None:
    for seen in played(case).seen if case.rules.list_size == 1 else ():
        left = left_today(seen.accounts, seen.now)
        dealt = [slot.deliveries[0] for slot in seen.decision.reserved]
        for number, slot in enumerate(seen.decision.reserved):
            still_waiting = dealt[number:] + [w for w, t in seen.pending_after if t <= seen.now]
            older = [w for w in still_waiting if urgency(w) < urgency(dealt[number])]
            late = Counter(w.clock.zone for w in older if opens_only_after(case, seen, w, slot.send_at))
            assert left - number > needed_in(case, seen, late)


@holds_for(800)
@given(cases())
def test_a_slot_is_at_the_time_that_the_spread_gives_its_position(case: Case) -> None:
    for seen in played(case).seen:
        if not seen.decision.reserved:
            continue
        exact, at_soonest = paces(case, seen)
        position, is_late = 0, False
        for slot in (*seen.slots_before, *seen.decision.reserved):
            account = next(a for a in seen.accounts if a.id == slot.account_id)
            delivery = slot.deliveries[0]
            share, earliest = delivery.share * case.rules.jitter, soonest(case, account, seen.now)
            earliest = max(earliest, delivery.failed_by.get(account.id, earliest))
            latest = exact.at(position, share, earliest) + ROUNDING
            is_open_then = is_open(case.window, latest - ROUNDING, delivery.clock.zone)
            # From the first on that is kept for a zone that opens later, they are spread over that zone's hours.
            unshifted = exact.at(position, 0, seen.now)
            for at in (latest, unshifted):
                zone = delivery.clock.zone
                is_late |= not is_open(case.window, at, zone) and opens_later(case, seen, zone, at)
            position += len(slot.deliveries)
            if slot in seen.slots_before:
                continue
            if is_late:
                assert slot.send_at < end_of_day(case.window, seen.now)
            elif is_open_then:
                assert slot.send_at <= latest
                # What closes sooner for its contacts may go faster than the even spread.
                if not any(w.clock.zone for w, _ in seen.pending):
                    assert slot.send_at >= at_soonest.at(position - len(slot.deliveries), share, earliest) - ROUNDING
            else:
                assert slot.send_at < latest


@holds_for(800)
@given(cases())
def test_a_slot_that_stands_is_brought_forward_to_its_position_when_that_is_worth_it(case: Case) -> None:
    for seen in played(case).seen:
        if not seen.slots_before or not is_open(case.window, seen.now):
            continue
        exact, _ = paces(case, seen)
        after = seen.slots_after
        for position, before in enumerate(seen.slots_before):
            slot = after[before.account_id]
            delivery = slot.deliveries[0]
            account = next(a for a in seen.accounts if a.id == slot.account_id)
            if not all(
                is_open(case.window, at, delivery.clock.zone) for at in (seen.now, before.send_at)
            ) and closes_sooner(case, seen):
                # The time of its position is that of a zone that closes sooner, perhaps before its own opens.
                continue
            share, earliest = delivery.share * case.rules.jitter, soonest(case, account, seen.now)
            target = exact.at(position, share, earliest)
            may_go_then = could_send(case, account, delivery, seen.accounts, seen.now)
            if is_open(case.window, target, delivery.clock.zone) and may_go_then and may_go_then <= target:
                assert slot.send_at <= target + ROUNDING or not is_worth_moving(seen, slot, target)


@holds_for(800)
@given(cases(zones=False, faults=False), st.floats(0.05, 0.95))
def test_who_asks_again_before_something_happens_changes_nothing(case: Case, share: float) -> None:
    world = played(case, AskedAgain)
    for (seen, accounts, backlog), following in zip(world.left, world.seen[1:], strict=False):
        now = seen.now + (following.now - seen.now) * share
        if local_date(case.window, now) != local_date(case.window, seen.now):
            continue
        again = decide(
            accounts, backlog, now, case.window, case.rules,
            last_transaction_today=seen.last_transaction_today, advanced_at=seen.advanced_at,
        )  # fmt: skip
        assert not again.changes_slots


@holds_for(800)
@given(cases(faults=False))
def test_what_is_no_change_at_a_glance_is_none_when_all_is_seen(case: Case) -> None:
    for seen in played(case).seen:
        if not seen.decision.changes_slots:
            continue
        top: dict[Group, int] = {}
        for waiting, not_before in seen.pending:
            if not_before <= seen.now and case.window.opens_today(seen.now, *waiting.group.clock):
                top[waiting.group] = max(waiting.priority, top.get(waiting.group, waiting.priority))
        head, unseen = glance(top, seen.backlog.counts)
        at_a_glance = decide(
            seen.accounts, replace(seen.backlog, head=tuple(head), unseen=unseen), seen.now, case.window, case.rules,
            last_transaction_today=seen.last_transaction_today, advanced_at=seen.advanced_at,
        )  # fmt: skip
        assert at_a_glance.changes_slots


@holds_for(800)
@given(cases(zones=False, faults=False, interval=False))
def test_by_the_end_of_each_day_as_many_are_sent_as_are_asked_for_and_allowed(case: Case) -> None:
    sent = [a.at for a in played(case).attempted]
    used = {a.id: a.used for a in case.accounts}
    assert len(sent) == len(case.arrivals)
    date, last = local_date(case.window, case.start), local_date(case.window, max(sent))
    while date <= last:
        opening, closing = midnight(case.window.zone.key, date), midnight(case.window.zone.key, date + DAY)
        capacity = sum(max(0, limit.on(date) - used.get(i, 0)) for i, limit in case.limits.items())
        due = [max(a.at, a.not_before or a.at) for a in case.arrivals]
        demand = sum(bool(opens_before_midnight(case, max(t, opening, case.start), closing)) for t in due)
        demand = max(0, demand - sum(at < opening for at in sent))
        assert sum(opening <= at < closing for at in sent) == min(demand, capacity)
        date, used = date + DAY, {}


#: Instants are whole microseconds, and shares of them are rounded.
ROUNDING = dt.timedelta(milliseconds=1)
#: The head of the backlog goes at least this far beyond the accounts.
HEAD = 20
#: Everything is sent within this many days: thirty deliveries, three weekdays, one mail on each.
PATIENCE = 100


def end_of_day(window: SendingWindow, at: dt.datetime) -> dt.datetime:
    """Return when sending ends for today: the last end of the day that is open at `at`, at the latest midnight."""
    today = local_date(window, at)
    of_dates = (spans(window, window.zone.key, date) for date in (today - DAY, today))
    ends = [max(closes for _, closes in day) for day in of_dates if any(o <= at < c for o, c in day)]
    return min(max(ends), midnight(window.zone.key, today + DAY))


def open_between(window: SendingWindow, clock: Clock, start: dt.datetime, end: dt.datetime) -> dt.datetime | None:
    """Return the first open instant from `start` on and before `end`, both of one local date."""
    if start >= end:
        return None
    later = (q for q in open_quarters(window, local_date(window, start), *clock) if q + QUARTER > start and q < end)
    return max(start, q) if (q := next(later, None)) else None


@dataclass(frozen=True)
class Attempted:
    """One attempt: when, from which account, for which delivery, and what came of it."""

    at: dt.datetime
    account: int
    delivery: int
    group: Group
    accepted: bool
    claimed: bool


@dataclass(frozen=True)
class Seen:
    """A decision with what was put in, and with what waited then by our own book: deliveries with the time before
    which each may not go.
    """

    now: dt.datetime
    accounts: tuple[Account, ...]
    backlog: Backlog
    decision: Decision
    pending: tuple[tuple[Waiting, dt.datetime], ...]
    last_transaction_today: dt.datetime | None
    advanced_at: dt.datetime | None

    @property
    def slots_before(self) -> list[Slot]:
        """Return the slots that stood, the soonest first; of two at one time, whose jitter is later."""
        slots = (a.slot for a in self.accounts if a.slot)
        return sorted(slots, key=lambda s: (s.send_at, -s.deliveries[0].share, s.account_id))

    @property
    def slots_after(self) -> dict[int, Slot]:
        """Return the slots that stand then, by account."""
        changed = (*self.decision.advanced, *self.decision.pre_empted, *self.decision.reserved)
        return {s.account_id: s for s in (*self.slots_before, *changed)}

    @property
    def pending_after(self) -> list[tuple[Waiting, dt.datetime]]:
        """Return what waits then."""
        before = [w for s in self.slots_before for w in s.deliveries]
        held = {w.id for s in self.slots_after.values() for w in s.deliveries}
        displaced = [(w, self.now) for w in before if w.id not in held]
        return [(w, t) for w, t in self.pending if w.id not in held] + displaced


class Played(Forecast):
    """The forecast of a case, with a book of our own: every attempt, and every decision with what waited then."""

    def __init__(self, case: Case, accounts: Sequence[Account]) -> None:
        """Start where the case starts."""
        claims = [a.last_transaction_at for a in accounts if a.last_transaction_at]
        today = [at for at in claims if local_date(case.window, at) == local_date(case.window, case.start)]
        last = max(today, default=None)
        super().__init__(
            accounts, case.start, case.window, case.rules, case.limit_on,
            last_transaction_today=last, campaigns=case.campaigns,
        )  # fmt: skip
        self.case, self.last_transaction, self.last_move = case, last, None
        self.attempted: list[Attempted] = []
        self.seen: list[Seen] = []
        self.pending: dict[int, tuple[Waiting, dt.datetime]] = {}
        self.faults = {i: list(faults) for i, faults in case.faults.items()}

    def arrive(self, arrival: Arrival) -> None:
        """Let a delivery wait from now on."""
        self.pending[arrival.delivery.id] = arrival.delivery, max(self.now, arrival.not_before or self.now)
        self.add([arrival.delivery], arrival.not_before)

    def attempt(self, account: Account, delivery: Waiting) -> tuple[Account, Waiting | None]:
        """Fail as the case says, else accept."""
        fault = self.faults[delivery.id].pop(0) if self.faults.get(delivery.id) else None
        claimed = fault is None or fault.claimed
        self.attempted.append(
            Attempted(self.now, account.id, delivery.id, delivery.group, accepted=fault is None, claimed=claimed)
        )
        account = replace(account, last_attempt_at=self.now)
        if claimed:
            account, self.last_transaction = replace(account, last_transaction_at=self.now), self.now
        if fault is None:
            return replace(account, used=account.used + 1), None
        if fault.cool_down:
            account = replace(account, cooling_until=self.now + fault.cool_down)
        leaves_alone_until = self.now + fault.backoff
        again = replace(delivery, failed_by={**delivery.failed_by, account.id: leaves_alone_until})
        self.pending[delivery.id] = again, self.now
        return account, again

    def watch(self, accounts: Sequence[Account], backlog: Backlog, now: dt.datetime, *args: Any, **named: Any) -> Any:
        """Decide as the throttle does, and note it."""
        decision = decide(accounts, backlog, now, *args, **named)
        last = self.last_transaction
        if last and local_date(self.case.window, last) != local_date(self.case.window, now):
            last = None
        pending = tuple(self.pending.values())
        as_it_was = replace(backlog, campaigns=dict(backlog.campaigns))
        seen = Seen(now, tuple(accounts), as_it_was, decision, pending, last, self.last_move)
        self.seen.append(seen)
        self.pending = {w.id: (w, t) for w, t in seen.pending_after}
        before = {s.account_id: s.send_at for s in seen.slots_before}
        if any(s.send_at < before[s.account_id] for s in (*decision.advanced, *decision.pre_empted)):
            self.last_move = now
        return decision

    def play(self, arrivals: Sequence[Arrival], until: dt.datetime) -> Iterator[int]:
        """Go on to a time, and yield after each step how many have arrived."""
        arrived = 0
        with mock.patch.object(forecast, "decide", self.watch):
            for at, together in groupby(arrivals, key=lambda a: a.at):
                list(self.run(at))
                yield arrived
                for arrival in together:
                    self.arrive(arrival)
                    arrived += 1
            list(self.run(until))
            yield arrived

    @property
    def held(self) -> list[Waiting]:
        """Return the deliveries that hold a slot."""
        return [w for a in self.accounts.values() if a.slot for w in a.slot.deliveries]


class AskedAgain(Played):
    """A case of which is kept how each decision has left it."""

    def __init__(self, case: Case, accounts: Sequence[Account]) -> None:
        """Start where the case starts."""
        super().__init__(case, accounts)
        self.left: list[tuple[Seen, list[Account], Backlog]] = []

    def _ask(self) -> None:
        super()._ask()
        accounts = list(self.accounts.values())
        backlog = self._backlog(accounts)
        as_it_was = replace(backlog, campaigns=dict(backlog.campaigns))
        self.left.append((replace(self.seen[-1], advanced_at=self.last_move), accounts, as_it_was))


World = TypeVar("World", bound=Played)


def played(case: Case, kind: type[World] = Played) -> World:  # type: ignore[assignment]
    """Return a case played to its end."""
    world = kind(case, case.accounts)
    for _ in world.play(case.arrivals, case.start + PATIENCE * DAY):
        pass
    return world


def urgency(delivery: Waiting) -> tuple[int, int]:
    """Return what the backlog is ordered by: priority, then age."""
    return -delivery.priority, delivery.id


def usable(accounts: Sequence[Account], at: dt.datetime) -> list[Account]:
    """Return those that are below their limit and not cooling down."""
    return [a for a in accounts if a.used < a.limit and (a.cooling_until is None or a.cooling_until <= at)]


def soonest(case: Case, account: Account, at: dt.datetime) -> dt.datetime:
    """Return from when on the account's interval allows it to send."""
    return at if account.last_transaction_at is None else max(at, account.last_transaction_at + case.rules.interval)


def may_go(case: Case, pending: Sequence[tuple[Waiting, dt.datetime]], at: dt.datetime) -> list[Waiting]:
    """Return the head of the backlog: what may go at a time, the most urgent first."""
    due = [w for w, not_before in pending if not_before <= at and is_open(case.window, at, *w.clock)]
    return sorted(due, key=urgency)[:HEAD]


def could_send(
    case: Case, account: Account, delivery: Waiting, accounts: Sequence[Account], at: dt.datetime
) -> dt.datetime | None:
    """Return from when on today a usable account may send a delivery; None if it may not."""
    start, senders = soonest(case, account, at), case.senders_of(delivery.group)
    if account.id not in senders:
        return None
    if account.id in delivery.failed_by:
        if not all(a.id in delivery.failed_by for a in usable(accounts, at) if a.id in senders):
            return None
        start = max(start, delivery.failed_by[account.id])
    return open_between(case.window, delivery.clock, start, end_of_day(case.window, at))


def idle_for_nothing(
    case: Case, accounts: Sequence[Account], pending: Sequence[tuple[Waiting, dt.datetime]], at: dt.datetime
) -> list[tuple[int, int]]:
    """Return the accounts that hold no slot at `at`, with a delivery that each could be dealt."""
    return [
        (account.id, delivery.id)
        for account in (usable(accounts, at) if is_open(case.window, at) else [])
        if account.slot is None
        for delivery in may_go(case, pending, at)
        if delivery.failed_by.get(account.id, at) <= at and could_send(case, account, delivery, accounts, at)
    ]


def full_campaigns(case: Case, seen: Seen, at: dt.datetime) -> set[int | None]:
    """Return the campaigns that may get no more slots on the date of `at`, if nothing is sent until then."""
    held = Counter(w.group.campaign for slot in seen.slots_after.values() for w in slot.deliveries)
    is_today = local_date(case.window, at) == local_date(case.window, seen.now)

    def left(campaign: Campaign) -> int:
        used = seen.backlog.campaigns[campaign.id].used if is_today else 0
        return 1 if campaign.limit is None else campaign.limit - used - held[campaign.id]

    return {campaign.id for campaign in case.campaigns if left(campaign) <= 0}


def goes_before(seen: Seen, delivery: Waiting, other: Waiting, *, alike: bool) -> bool:
    """Tell whether a delivery has a slot before another: by priority and, where they are alike but for that, behind its
    equals if every usable account has failed it, and then by age.
    """

    def order(waiting: Waiting) -> tuple[int, bool, int]:
        failed = all(a.id in waiting.failed_by for a in usable(seen.accounts, seen.now))
        return -waiting.priority, failed, waiting.id

    return order(delivery) < order(other) if alike else delivery.priority > other.priority


def opens_only_after(case: Case, seen: Seen, delivery: Waiting, at: dt.datetime) -> bool:
    """Tell whether a contact's zone is closed from now to `at`, and then open later today."""
    opening = open_between(case.window, delivery.clock, seen.now, end_of_day(case.window, seen.now))
    return opening is not None and opening > at


def left_today(accounts: Sequence[Account], at: dt.datetime) -> int:
    """Return how many sends without a slot the accounts have left today."""
    return sum(a.limit - a.used - (len(a.slot.deliveries) if a.slot else 0) for a in usable(accounts, at))


def needed_in(case: Case, seen: Seen, late: Mapping[str, int]) -> int:
    """Return how many sends so many deliveries of each zone need: no more than go in its hours by the interval."""
    room = {}
    for zone in late:
        hours = [q for q in open_quarters(case.window, local_date(case.window, seen.now), zone) if q >= seen.now]
        time = len([q for q in hours if q < end_of_day(case.window, seen.now)]) * QUARTER
        left = [left_today([a], seen.now) for a in seen.accounts]
        room[zone] = sum(min(n, int(time / case.rules.interval)) if case.rules.interval else n for n in left)
    return min(sum(min(number, room[zone]) for zone, number in late.items()), max(room.values(), default=0))


def on_date(case: Case, accounts: Sequence[Account], now: dt.datetime, at: dt.datetime) -> list[Account]:
    """Return accounts as they stand at `now` as they will stand at `at` if nothing happens."""
    date = local_date(case.window, at)
    if date == local_date(case.window, now):
        return list(accounts)
    return [replace(a, used=0, limit=case.limits[a.id].on(date)) for a in accounts]


def moments_between(case: Case, seen: Seen, start: dt.datetime, end: dt.datetime) -> Iterator[dt.datetime]:
    """Yield each instant between two at which something deferred could go on: whenever anything opens, a midnight, the
    end of a cool-down, of an account's backoff from a delivery, a delivery's own time.
    """
    yield from (a.cooling_until for a in seen.accounts if a.cooling_until)
    yield from (until for w, _ in seen.pending_after for until in w.failed_by.values())
    yield from (not_before for _, not_before in seen.pending)
    date = local_date(case.window, start)
    while midnight(case.window.zone.key, date) < end:
        yield midnight(case.window.zone.key, date)
        for clock in {w.clock for w, _ in seen.pending_after}:
            quarters = open_quarters(case.window, date, *clock)
            yield from (q for q in quarters if q - QUARTER not in quarters)
        date += DAY


@dataclass(frozen=True)
class Pace:
    """The spread by hand: position i of n is at first + i × gap, in the open time of today."""

    window: SendingWindow
    now: dt.datetime
    quarters: tuple[dt.datetime, ...]
    first: dt.timedelta
    gap: dt.timedelta
    #: The first position's time and gap after the last send; it may have passed.
    turn: dt.timedelta
    turn_gap: dt.timedelta

    @classmethod
    def of(cls, case: Case, seen: Seen, waiting: int) -> Pace:
        """Return the pace for what holds a slot and so many that wait."""
        end = end_of_day(case.window, seen.now)
        quarters = tuple(q for q in open_quarters(case.window, local_date(case.window, seen.now)) if q < end)
        now, total = open_before(quarters, seen.now), len(quarters) * QUARTER
        capacity = sum(a.limit - a.used for a in usable(seen.accounts, seen.now))
        n = min(capacity, waiting + sum(len(s.deliveries) for s in seen.slots_before))
        if not case.rules.spread or not n:
            return cls(case.window, seen.now, quarters, now, NOTHING, now, NOTHING)
        turn, turn_gap = now, NOTHING
        if seen.last_transaction_today:
            last = open_before(quarters, seen.last_transaction_today)
            turn_gap = (total - last) / (n + 1)
            turn = last + turn_gap
        first = max(now, turn)
        return cls(case.window, seen.now, quarters, first, (total - first) / n, turn, turn_gap)

    def at(self, position: int, share: float, earliest: dt.datetime) -> dt.datetime:
        """Return the time of a position, moved by a share of the gap, and not before now and `earliest`."""
        offset, now = self.first + position * self.gap, open_before(self.quarters, self.now)
        if offset > now:
            offset = max(NOTHING, offset + self.gap * share)
        elif position == 0:
            offset = max(now, self.turn + self.turn_gap * share)
        number = min(int(offset / QUARTER), len(self.quarters) - 1)
        at = max(self.quarters[number] + (offset - number * QUARTER), earliest)
        return next(max(at, q) for q in (*self.quarters, at) if q + QUARTER > at)


def open_before(quarters: Sequence[dt.datetime], at: dt.datetime) -> dt.timedelta:
    """Return how much of these quarters has passed."""
    return sum((min(QUARTER, at - q) for q in quarters if q < at), NOTHING)


def may_go_today(case: Case, seen: Seen) -> int:
    """Count what waits and may go before today's end."""
    end = end_of_day(case.window, seen.now)
    return sum(bool(open_between(case.window, w.clock, max(t, seen.now), end)) for w, t in seen.pending if t < end)


def closes_sooner(case: Case, seen: Seen) -> bool:
    """Tell whether something waits whose zone closes today before the window does."""
    end = end_of_day(case.window, seen.now)
    pending = [w.clock.zone for w, t in seen.pending if t < end and open_between(case.window, w.clock, seen.now, end)]
    return any(open_between(case.window, Clock(zone), end - QUARTER, end) is None for zone in pending)


def paces(case: Case, seen: Seen) -> tuple[Pace, Pace]:
    """Return the pace, and one that counts too whose own zone is closed by the time they may go."""
    end = end_of_day(case.window, seen.now)
    return Pace.of(case, seen, may_go_today(case, seen)), Pace.of(case, seen, sum(t < end for _, t in seen.pending))


def is_worth_moving(seen: Seen, slot: Slot, target: dt.datetime) -> bool:
    """Tell whether a slot has to be advanced: not again in 10 s, not when it is near, not for less than a tenth
    of the time since the last send.
    """
    is_near = slot.send_at - seen.now <= dt.timedelta(seconds=5)
    again = seen.advanced_at is not None and seen.now < seen.advanced_at + dt.timedelta(seconds=10)
    since = seen.last_transaction_today or seen.now
    return not again and not is_near and slot.send_at - target > (slot.send_at - since) / 10 + ROUNDING


def opens_later(case: Case, seen: Seen, zone: str, at: dt.datetime) -> bool:
    """Tell whether a contact's zone is open at some time from `at` to today's end."""
    return at < (end := end_of_day(case.window, seen.now)) and bool(open_between(case.window, Clock(zone), at, end))


def opens_before_midnight(case: Case, start: dt.datetime, end: dt.datetime) -> bool:
    """Tell whether the window is open at some time from `start` to the midnight `end`."""
    return start < end and open_between(case.window, Clock(), start, end) is not None
