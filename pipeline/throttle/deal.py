"""What waits is dealt to the free accounts: fewest used, then longest idle, then lowest id."""

from __future__ import annotations

import bisect
import datetime as dt
import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice

from pipeline.throttle.late import Late
from pipeline.throttle.pace import Today
from pipeline.throttle.shares import Senders
from pipeline.throttle.types import Account, Group, Slot, Waiting

_LONG_AGO = dt.datetime.min.replace(tzinfo=dt.UTC)


class Dealer:
    """Gives slots to what waits, the most urgent first.

    Attributes:
        rest: what has got none.
    """

    def __init__(
        self,
        accounts: Mapping[int, Account],
        waiting: Sequence[Waiting],
        unseen: Mapping[Group, int],
        taken: int,
        today: Today,
    ) -> None:
        """Begin with the position after those that are `taken`; `waiting` begins with the most urgent, `unseen` more of
        each group stand behind it.
        """
        self._accounts, self._taken, self._today = accounts, taken, today
        self._left = dict(today.left)
        self._late = Late(today, unseen, self._left)
        self._free = [_turn(a, 0) for a in today.usable if a.slot is None and not a.sending]
        heapq.heapify(self._free)
        self._queue = _Queue(waiting, today)
        self._dealt: dict[int, tuple[dt.datetime, list[Waiting]]] = {}
        # Free, but all that they have left is needed for zones that open later.
        self._kept: list[Account] = []
        self.rest: list[Waiting] = []

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The new slots."""
        return tuple(Slot(account_id, at, tuple(held)) for account_id, (at, held) in self._dealt.items())

    @property
    def idle(self) -> list[Account]:
        """The free accounts that have got no slot."""
        free = (self._accounts[i] for _, _, i in self._free)
        return [account for account in (*free, *self._kept) if account.id not in self._dealt]

    def deal(self) -> None:
        """Deal until no account is free for what waits."""
        # For this turn, which another fits better; it may have the next, or this one if nobody takes it.
        passed_over: list[Waiting] = []
        is_left = False
        while self._free:
            if not self._queue and passed_over:
                self._queue.put_back(passed_over)
                passed_over, is_left = [], True
            if not self._queue:
                break
            delivery = self._queue.pop()
            account = self._next_account(delivery)
            at = None if account is None else self._today.at(self._taken, account, delivery)
            if at is not None:
                # By their own jitter they fitted the turn less, but this time would be before their clocks open.
                later = [w for w in passed_over if self._today.opens_after(w, at)]
                passed_over = [w for w in passed_over if w not in later]
                self._pass_over(later)
            if account is None or at is None or self._today.is_full(delivery.group):
                self._leave(delivery, account)
            elif self._today.opens_after(delivery, at):
                self._pass_over([delivery])
                self._is_free(account)
            elif (senders := self._late.keep(account)) is not None:
                self._deal_late(account, senders)
                self._queue.put_back([delivery])
            elif (send_at := self._time(at, account, delivery, is_left=is_left)) is None:
                (self.rest if is_left else passed_over).append(delivery)
                self._is_free(account)
            else:
                self._give(account, send_at, delivery)
                self._queue.put_back(self._taken_back())
                self._queue.put_back(passed_over)
                passed_over, is_left = [], False
        self.rest += passed_over
        self.rest += self._queue
        self.rest += self._late.rest()

    def _pass_over(self, deliveries: Iterable[Waiting]) -> None:
        """Let deliveries wait for their clocks to open later today."""
        for delivery in deliveries:
            self._late.add(delivery)
            self._today.count(delivery.group)

    def _taken_back(self) -> list[Waiting]:
        opened = self._late.taken_back(self._today.time_of(self._taken))
        for delivery in opened:
            self._today.count(delivery.group, -1)
        return opened

    def _leave(self, delivery: Waiting, account: Account | None) -> None:
        self.rest.append(delivery)
        if account is not None:
            self._is_free(account)

    def _deal_late(self, account: Account, senders: Senders) -> None:
        """Give an account a slot for a zone that opens later, or nothing more."""
        found = None if account.id in self._dealt else self._late.take(account, senders)
        if found is None:
            self._kept.append(account)
            return
        at, delivery = found
        for sooner, urgent in self._left_alone_until(account):
            if sooner <= at and self._today.urgency(urgent) < self._today.urgency(delivery):
                self.rest.remove(urgent)
                self.rest.append(delivery)
                self._today.count(delivery.group, -1)
                self._today.count(urgent.group)
                at, delivery = sooner, urgent
                break
        self._dealt[account.id] = at, [delivery]
        self._left[account.id] -= 1

    def _left_alone_until(self, account: Account) -> list[tuple[dt.datetime, Waiting]]:
        """Return what an account may send after it has left it alone, the most urgent first, with the time of that."""
        found = []
        for delivery in sorted(self.rest, key=self._today.urgency):
            until, at = delivery.failed_by.get(account.id), self._today.at(self._taken, account, delivery)
            if until is None or at is None or self._today.is_full(delivery.group):
                continue
            then = self._today.open(delivery.clock).soonest(max(at, until))
            if then is not None and self._fits(delivery, account, then):
                found.append((then, delivery))
        return found

    def _give(self, account: Account, send_at: dt.datetime, delivery: Waiting) -> None:
        _, held = self._dealt.setdefault(account.id, (send_at, []))
        held.append(delivery)
        self._taken += 1
        self._left[account.id] -= 1
        self._today.count(delivery.group)
        if len(held) < self._today.rules.list_size_of(account):
            self._is_free(account)

    def _time(self, at: dt.datetime, account: Account, delivery: Waiting, *, is_left: bool) -> dt.datetime | None:
        """Return when a delivery goes whose turn is `at`: then, or, if its zone has closed by that time, before it
        closes. But if another of at least this priority fits the turn, that one gets it, unless all have left it.
        """
        today = self._today
        if today.suits(delivery, at):
            return at
        alike = () if is_left else (w for w in self._queue if w.priority >= delivery.priority)
        if any(self._fits(w, account, at) for w in alike):
            return None
        sooner = today.before_it_closes(account, delivery)
        return sooner if today.may_send(account.id, delivery, sooner) else None

    def _fits(self, delivery: Waiting, account: Account, at: dt.datetime) -> bool:
        return self._today.suits(delivery, at) and self._today.may_send(account.id, delivery, at)

    def _next_account(self, delivery: Waiting) -> Account | None:
        """Take the account whose turn it is, of those that can send this delivery today."""
        passed_over = []
        found = None
        while self._free and found is None:
            turn = heapq.heappop(self._free)
            account = self._accounts[turn[2]]
            if self._can_send(account, delivery):
                found = account
            else:
                passed_over.append(turn)
        for turn in passed_over:
            heapq.heappush(self._free, turn)
        return found

    def _can_send(self, account: Account, delivery: Waiting) -> bool:
        today = self._today
        if account.id not in today.senders_of(delivery.group):
            return False
        if account.id in delivery.failed_by:
            at = today.at(self._taken, account, delivery)
            if not today.may_send(account.id, delivery, at):
                return False
        return today.before_it_closes(account, delivery) is not None

    def _is_free(self, account: Account) -> None:
        _, held = self._dealt.get(account.id, (None, ()))
        heapq.heappush(self._free, _turn(account, len(held)))


class _Queue:
    """What waits, the most urgent first; some is passed over and put back."""

    def __init__(self, waiting: Sequence[Waiting], today: Today) -> None:
        self._waiting, self._urgency = waiting, today.urgency
        self._next = 0
        self._back: list[Waiting] = []

    def __len__(self) -> int:
        return len(self._waiting) - self._next + len(self._back)

    def __iter__(self) -> Iterator[Waiting]:
        return chain(self._back, islice(self._waiting, self._next, None))

    def pop(self) -> Waiting:
        at_end = self._next == len(self._waiting)
        if self._back and (at_end or self._urgency(self._back[0]) < self._urgency(self._waiting[self._next])):
            return self._back.pop(0)
        self._next += 1
        return self._waiting[self._next - 1]

    def put_back(self, deliveries: Iterable[Waiting]) -> None:
        for delivery in deliveries:
            bisect.insort(self._back, delivery, key=self._urgency)


_Turn = tuple[int, dt.datetime, int]


def _turn(account: Account, dealt: int) -> _Turn:
    return account.used + dealt, account.last_attempt_at or _LONG_AGO, account.id
