"""The decision: who is sent next, when, and from which account. Pure: accounts, backlog, now, window, rules → slots.

The live stage, the plan and the simulation call the same `decide`. A slot that is not claimed is only a plan: it can be
advanced (brought to a sooner time) or pre-empted (given to a more urgent delivery).
"""

from __future__ import annotations

import bisect
import datetime as dt
import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, takewhile

from pipeline.throttle.pace import Today
from pipeline.throttle.types import Account, Backlog, Decision, Rules, Slot, Waiting
from pipeline.throttle.wake import moments, when_closed
from pipeline.throttle.window import SendingWindow

#: A slot is advanced only if that saves this share of its wait …
WORTH_ADVANCING = 0.1
#: … at most once in this time …
ADVANCE_EVERY = dt.timedelta(seconds=10)
#: … and not when it is this near.
TOO_NEAR = dt.timedelta(seconds=5)

#: Deliveries of each zone to look at beyond those that can get a slot, so that an account which has failed the first
#: of them still finds one that it may send.
SLACK = 20

_LONG_AGO = dt.datetime.min.replace(tzinfo=dt.UTC)


def size_of_head(accounts: Iterable[Account], top_priority: int, rules: Rules) -> int:
    """Return how many deliveries of each zone and template a decision has to see: what can get a slot, what can take
    one over, and some more.
    """
    size = SLACK
    for account in accounts:
        if account.slot is None:
            size += rules.list_size
        elif account.slot.deliveries[0].priority < top_priority:
            size += 1
    return size


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
    slots = sorted((a.slot for a in accounts if a.slot), key=lambda s: (s.send_at, s.account_id))
    pre_empted, waiting = _pre_empt(slots, by_id, backlog.head, today)
    as_given = [pre_empted.get(slot.account_id, slot) for slot in slots] if pre_empted else slots
    earlier = list(_advance(as_given, by_id, today))
    may_advance = advanced_at is None or now >= advanced_at + ADVANCE_EVERY
    advanced = {slot.account_id: slot for slot in earlier} if may_advance else {}
    reserved, rest = _reserve(by_id, waiting, today)

    left_over = bool(rest) or backlog.count > len(backlog.head)
    busy = bool(reserved) or any(a.slot or a.sending for a in accounts)
    wakes = list(moments(accounts, backlog, today, left_over=left_over, busy=busy))
    if earlier and not may_advance and advanced_at is not None:
        wakes.append(advanced_at + ADVANCE_EVERY)
    return Decision(
        tuple(reserved),
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
            if slot.account_id not in urgent.failed_by and send_at is not None and send_at <= slot.send_at:
                waiting.remove(urgent)
                bisect.insort(waiting, holder, key=today.urgency)
                changed[slot.account_id] = replace(slot, deliveries=(urgent,), send_at=send_at)
                break
    return changed, waiting


def _above(priority: int, waiting: Iterable[Waiting]) -> Iterator[Waiting]:
    """Return those of higher priority; `waiting` begins with the most urgent."""
    return takewhile(lambda delivery: delivery.priority > priority, waiting)


def _advance(slots: Sequence[Slot], accounts: Mapping[int, Account], today: Today) -> Iterator[Slot]:
    """Yield slots with a time that is enough earlier to be worth it."""
    for position, slot in enumerate(slots):
        wait = slot.send_at - today.now
        latest = slot.send_at - wait * WORTH_ADVANCING
        if wait <= TOO_NEAR or today.bound(position) > latest:
            continue
        holder = slot.deliveries[0]
        target = today.at(position, accounts[slot.account_id], holder)
        if target is not None and target <= latest and today.suits(holder, target):
            yield replace(slot, send_at=target)


def _reserve(
    accounts: Mapping[int, Account], waiting: Sequence[Waiting], today: Today
) -> tuple[list[Slot], list[Waiting]]:
    """Deal what waits to the free accounts: fewest used, then longest idle, then lowest id. Return slots and the
    rest.
    """
    free = [_turn(a, 0) for a in today.usable if a.slot is None and not a.sending]
    heapq.heapify(free)
    dealt: dict[int, tuple[dt.datetime, list[Waiting]]] = {}
    rest: list[Waiting] = []
    taken = today.taken
    for index, delivery in enumerate(waiting):
        account_id = _next_account(free, accounts, delivery, today)
        if account_id is None:
            rest.append(delivery)
            continue
        account = accounts[account_id]
        held = dealt[account_id][1] if account_id in dealt else []
        send_at = today.at(taken, account, delivery)
        if send_at is not None and not today.suits(delivery, send_at):
            # If another delivery of at least this priority fits this time, it gets the slot; else this one goes
            # before its zone closes.
            alike = _above(delivery.priority - 1, islice(waiting, index + 1, None))
            replaced = any(today.suits(w, send_at) and not today.avoids(account_id, w) for w in alike)
            send_at = None if replaced else today.before_it_closes(account, delivery)
        if send_at is None:
            heapq.heappush(free, _turn(account, len(held)))
            rest.append(delivery)
            continue
        held.append(delivery)
        dealt.setdefault(account_id, (send_at, held))
        taken += 1
        if len(held) < min(today.rules.list_size, account.left):
            heapq.heappush(free, _turn(account, len(held)))
    return [Slot(account_id, at, tuple(held)) for account_id, (at, held) in dealt.items()], rest


_Turn = tuple[int, dt.datetime, int]


def _turn(account: Account, dealt: int) -> _Turn:
    return account.used + dealt, account.last_attempt_at or _LONG_AGO, account.id


def _next_account(free: list[_Turn], accounts: Mapping[int, Account], delivery: Waiting, today: Today) -> int | None:
    """Take the account whose turn it is, of those that can send this delivery today."""
    passed_over = []
    found = None
    while free:
        turn = heapq.heappop(free)
        account_id = turn[2]
        if not today.avoids(account_id, delivery) and today.before_it_closes(accounts[account_id], delivery):
            found = account_id
            break
        passed_over.append(turn)
    for turn in passed_over:
        heapq.heappush(free, turn)
    return found
