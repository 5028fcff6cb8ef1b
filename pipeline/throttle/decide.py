"""The decision: who is sent next, when, and from which account. Pure: accounts, backlog, now, window, rules → slots.

The live stage, the plan and the simulation call the same `decide`. A slot that is not claimed is only a plan: it can be
advanced (brought to a sooner time) or pre-empted (given to a more urgent delivery).
"""

from __future__ import annotations

import bisect
import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from pipeline.throttle.deal import Dealer
from pipeline.throttle.pace import Today
from pipeline.throttle.types import Account, Backlog, Decision, Rules, Slot, Waiting
from pipeline.throttle.wake import ends_of_backoff, moments, when_closed
from pipeline.throttle.window import SendingWindow

#: A slot is advanced only if that saves this share of the time from the last send to it (not of what is left of its
#: wait: else the same slot would be advanced a moment later, and when depended on who asks how often) …
WORTH_ADVANCING = 0.1
#: … at most once in this time …
ADVANCE_EVERY = dt.timedelta(seconds=10)
#: … and not when it is this near.
TOO_NEAR = dt.timedelta(seconds=5)

#: Deliveries of each zone to look at beyond those that can get a slot.
SLACK = 20


@dataclass(frozen=True)
class HeadSize:
    """How much of the backlog's head a decision has to see. The `takers` are the accounts that can get a slot or whose
    slot can be pre-empted; for each of them, `size` deliveries of each zone and template that it has not failed.
    """

    size: int
    takers: frozenset[int]

    def is_enough(self, failed_by: Collection[Iterable[int]]) -> bool:
        """Tell whether these are enough, given the accounts that have failed each."""
        failed = Counter(account_id for ids in failed_by for account_id in ids if account_id in self.takers)
        return len(failed_by) - max(failed.values(), default=0) >= self.size

    def first_to_go(self, heads: Iterable[Iterable[Waiting]]) -> Waiting | None:
        """Return the most urgent delivery of these heads, each in its order, that not all of the takers have failed."""
        firsts = (next((d for d in head if not self.takers <= d.failed_by.keys()), None) for head in heads)
        return min((d for d in firsts if d), key=lambda d: (-d.priority, d.id), default=None)


def size_of_head(accounts: Iterable[Account], top_priority: int, now: dt.datetime, rules: Rules) -> HeadSize:
    """Return how much a decision at `now` has to see: what can get a slot, what can pre-empt one, and some more."""
    size, takers = SLACK, set()
    for account in accounts:
        if account.slot is None:
            size += rules.list_size
        elif account.slot.deliveries[0].priority < top_priority:
            size += 1
        else:
            continue
        if account.left and not account.sending and not account.is_cooling(now):
            takers.add(account.id)
    return HeadSize(size, frozenset(takers))


def decide(
    accounts: Sequence[Account],
    backlog: Backlog,
    now: dt.datetime,
    window: SendingWindow,
    rules: Rules,
    *,
    last_transaction_today: dt.datetime | None = None,
    advanced_at: dt.datetime | None = None,
) -> Decision:
    """Return what is to change now.

    Args:
        accounts: those that are switched on and not paused, with their unclaimed slots.
        backlog: what waits.
        now: UTC.
        window: when sending is allowed.
        rules: interval, spread, jitter.
        last_transaction_today: of any account and whatever came of it, on the local date of `now`.
        advanced_at: when slots were last advanced.
    """
    if not window.contains(now):
        return Decision(wake_at=when_closed(backlog, now, window))
    today = Today(accounts, backlog, now, window, rules, last_transaction_today)
    by_id = {a.id: a for a in accounts}
    slots = sorted((a.slot for a in accounts if a.slot), key=_turn)
    pre_empted, waiting = _pre_empt(slots, by_id, backlog.head, today)
    as_given = [pre_empted.get(slot.account_id, slot) for slot in slots] if pre_empted else slots
    earlier = _advance(as_given, by_id, today)
    dealer = Dealer(by_id, waiting, backlog.unseen, _taken(as_given, today), today)
    dealer.deal()
    # Those that are dealt may have left a sooner position to others.
    then = [*(earlier.get(slot.account_id, slot) for slot in as_given), *dealer.slots]
    earlier |= _advance(sorted(then, key=_turn), by_id, today)
    reserved = tuple(earlier.pop(slot.account_id, slot) for slot in dealer.slots)
    may_advance = advanced_at is None or now >= advanced_at + ADVANCE_EVERY
    advanced = earlier if may_advance else {}

    left_over = bool(dealer.rest) or backlog.count > len(backlog.head)
    busy = bool(dealer.slots) or any(a.slot or a.sending for a in accounts)
    wakes = list(moments(accounts, backlog, today, left_over=left_over, busy=busy))
    wakes += ends_of_backoff(dealer.idle, dealer.rest, today)
    if earlier and not may_advance and advanced_at is not None:
        wakes.append(advanced_at + ADVANCE_EVERY)
    return Decision(
        reserved,
        tuple(s for s in advanced.values() if s.account_id not in pre_empted),
        tuple(advanced.get(account_id, slot) for account_id, slot in pre_empted.items()),
        min(wakes, default=None),
    )


def _pre_empt(
    slots: Sequence[Slot], accounts: Mapping[int, Account], head: Iterable[Waiting], today: Today
) -> tuple[dict[int, Slot], list[Waiting]]:
    """Give the soonest slots to deliveries of higher priority; return the changed slots by account, and what waits
    then.
    """
    waiting = sorted(head, key=today.urgency)
    changed: dict[int, Slot] = {}
    for slot in slots:
        if not waiting or len(slot.deliveries) > 1:
            continue
        (holder,) = slot.deliveries
        account = accounts[slot.account_id]
        for urgent in _above(holder.priority, waiting):
            fits = today.suits(urgent, slot.send_at)
            send_at = slot.send_at if fits else today.before_it_closes(account, urgent)
            may = today.may_send(account.id, urgent, send_at) and _has_room(urgent, holder, today)
            if may and send_at is not None and send_at <= slot.send_at:
                today.count(holder.group, -1)
                today.count(urgent.group)
                waiting.remove(urgent)
                bisect.insort(waiting, holder, key=today.urgency)
                changed[slot.account_id] = replace(slot, deliveries=(urgent,), send_at=send_at)
                break
    return changed, waiting


def _has_room(urgent: Waiting, holder: Waiting, today: Today) -> bool:
    return urgent.group.campaign == holder.group.campaign or not today.is_full(urgent.group)


def _above(priority: int, waiting: Iterable[Waiting]) -> Iterator[Waiting]:
    """Return those of higher priority; `waiting` begins with the most urgent."""
    return takewhile(lambda delivery: delivery.priority > priority, waiting)


def _turn(slot: Slot) -> tuple[dt.datetime, float, int]:
    """Return what slots follow each other by; of two at one time, whose jitter would have put it later goes first."""
    return slot.send_at, -slot.deliveries[0].share, slot.account_id


def _advance(slots: Sequence[Slot], accounts: Mapping[int, Account], today: Today) -> dict[int, Slot]:
    """Return the slots that get a sooner time, by account: until none can go sooner, as one that has gone sooner leaves
    its position to another, and who asks again a moment later is to find nothing to do.
    """
    advanced: dict[int, Slot] = {}
    while sooner := {slot.account_id: slot for slot in _sooner(slots, accounts, today)}:
        advanced |= sooner
        slots = sorted((sooner.get(slot.account_id, slot) for slot in slots), key=_turn)
    return advanced


def _sooner(slots: Sequence[Slot], accounts: Mapping[int, Account], today: Today) -> Iterator[Slot]:
    """Yield slots with a time that is enough earlier to be worth it."""
    for position, slot in enumerate(slots):
        latest = slot.send_at - (slot.send_at - today.since) * WORTH_ADVANCING
        if slot.send_at - today.now <= TOO_NEAR or today.bound(position) > latest:
            continue
        holder = slot.deliveries[0]
        target = today.at(position, accounts[slot.account_id], holder)
        if target is None or target > latest or not today.suits(holder, target):
            continue
        if today.may_send(slot.account_id, holder, target):
            yield replace(slot, send_at=target)


def _taken(slots: Iterable[Slot], today: Today) -> int:
    """Return how many positions the slots have taken, the soonest first. One that waits for its clock to open, longer
    than to the time of its position, leaves that to another.
    """
    position = 0
    for slot in slots:
        holder = slot.deliveries[0]
        is_closed = today.opens_after(holder, today.now)
        if not (is_closed and today.opens_after(holder, today.time_of(position))):
            position += len(slot.deliveries)
    return position
