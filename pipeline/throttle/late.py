"""Clocks that open later today: age decides for them too.

A delivery whose clock opens after the time of the slot that is dealt is passed over, and the next one has the slot. But
once all that some accounts have left today is needed for such deliveries, which no other accounts may send, nothing
younger is dealt to them any more: they get slots for these when their clocks are open.
"""

from __future__ import annotations

import bisect
import datetime as dt
from collections.abc import Iterator, Mapping

from pipeline.throttle.pace import Today
from pipeline.throttle.shares import Senders
from pipeline.throttle.types import Account, Group, Waiting
from pipeline.throttle.window import Clock


class Late:
    """Deliveries that were passed over because their clocks open later, each clock's in the order of urgency."""

    def __init__(self, today: Today, unseen: Mapping[Group, int], left: Mapping[int, int]) -> None:
        """Begin with none.

        Args:
            today: what is left of today.
            unseen: for each group, how many more there are than will be added.
            left: how many more each usable account may be dealt today; it goes down as they are.
        """
        self._today, self._left = today, left
        self._unseen = [(group.clock, today.senders_of(group), number) for group, number in unseen.items()]
        self._all = frozenset(a.id for a in today.usable)
        self._of_clock: dict[Clock, list[Waiting]] = {}
        self._senders: dict[int, Senders] = {}
        self._sets = {self._all}
        self._rooms: dict[tuple[Senders, Clock], int] = {}
        self._slots = list(today.slots)

    def add(self, delivery: Waiting) -> None:
        """Pass over a delivery."""
        bisect.insort(self._of_clock.setdefault(delivery.clock, []), delivery, key=self._today.urgency)
        senders = self._today.senders_of(delivery.group)
        if delivery.failed_by:
            senders = frozenset(a.id for a in self._today.usable if a.id in senders and self._may_send(a, delivery))
        self._senders[delivery.id] = senders
        self._sets.add(senders)

    def taken_back(self, at: dt.datetime) -> list[Waiting]:
        """Return, and forget, those whose clocks have opened by `at`: they may have the next slot."""
        opened = [clock for clock in self._of_clock if self._opening(clock) <= at]
        return [delivery for clock in opened for delivery in self._of_clock.pop(clock)]

    def keep(self, account: Account) -> Senders | None:
        """Return the accounts, this one among them, of which they need all that is left today; None if it is free for
        others.
        """
        if not self._of_clock:
            return None
        those = sorted((s for s in self._sets if account.id in s), key=lambda senders: (len(senders), sorted(senders)))
        return next((senders for senders in those if self._need_all(senders)), None)

    def take(self, account: Account, senders: Senders) -> tuple[dt.datetime, Waiting] | None:
        """Take the one that gets the slot of an account, with its time, of those that only `senders` may send and that
        need all they have left; None if the account may send none of them.

        The sooner a clock opens the better, so that the account does not stand idle; but not at the cost of an older
        delivery whose clock opens later still.
        """
        own = {clock: first for clock in self._of_clock if (first := self._first_for(account, clock, senders))}
        for opening in sorted({self._opening(clock) for clock in own}):
            first = min((own[clock] for clock in own if self._opening(clock) <= opening), key=self._today.urgency)
            later = [clock for clock in self._of_clock if self._opening(clock) > opening]
            older = {clock: self._more_urgent(clock, first, senders) for clock in later}
            if self._needed(older, senders) < self._capacity(senders):
                send_at = self._time(account, first, self._capacity(senders))
                self._of_clock[first.clock].remove(first)
                self._slots.append((send_at, 1))
                return send_at, first
        return None

    def rest(self) -> list[Waiting]:
        """Return those that have got no slot."""
        return [delivery for waiting in self._of_clock.values() for delivery in waiting]

    def _need_all(self, senders: Senders) -> bool:
        waiting = {clock: self._waiting(clock, senders) for clock in self._of_clock}
        return self._needed(waiting, senders) >= self._capacity(senders)

    def _capacity(self, senders: Senders) -> int:
        return sum(self._left[account_id] for account_id in senders)

    def _only(self, senders: Senders, clock: Clock) -> Iterator[Waiting]:
        """Yield a clock's deliveries that no other accounts may send, the most urgent first."""
        if senders == self._all:
            return iter(self._of_clock[clock])
        return (w for w in self._of_clock[clock] if self._senders[w.id] <= senders)

    def _may_send(self, account: Account, delivery: Waiting) -> bool:
        at = self._today.before_it_closes(account, delivery)
        return at is not None and self._today.may_send(account.id, delivery, at)

    def _first_for(self, account: Account, clock: Clock, senders: Senders) -> Waiting | None:
        """Return a clock's most urgent delivery that an account may send in its hours."""
        return next((w for w in self._only(senders, clock) if self._may_send(account, w)), None)

    def _time(self, account: Account, delivery: Waiting, left: int) -> dt.datetime:
        """Return when a delivery goes: behind the slots in its clock's hours, spread evenly over them."""
        today, opening = self._today, self._opening(delivery.clock)
        position = sum(number for send_at, number in self._slots if send_at >= opening)
        pace = today.late_pace(delivery.clock, position + left)
        at = pace.at(position, delivery.share * today.rules.jitter, today.earliest(account))
        soonest = today.before_it_closes(account, delivery)
        assert soonest is not None
        return soonest if at is None else max(at, soonest)

    def _opening(self, clock: Clock) -> dt.datetime:
        return self._today.open(clock).soonest(self._today.now) or self._today.end

    def _waiting(self, clock: Clock, senders: Senders) -> int:
        unseen = sum(number for other, theirs, number in self._unseen if other == clock and theirs <= senders)
        return unseen + sum(1 for _ in self._only(senders, clock))

    def _more_urgent(self, clock: Clock, delivery: Waiting, senders: Senders) -> int:
        """Return how many of a clock are more urgent than a delivery."""
        urgency = self._today.urgency
        waiting = list(self._only(senders, clock))
        number = bisect.bisect_left(waiting, urgency(delivery), key=urgency)
        return self._waiting(clock, senders) if number == len(waiting) else number

    def _needed(self, waiting: Mapping[Clock, int], senders: Senders) -> int:
        """Return how many sends these clocks need, so many as wait there: not more than their hours have room for."""
        rooms = {clock: self._room_in(clock, senders) for clock, number in waiting.items() if number}
        return min(sum(min(waiting[clock], room) for clock, room in rooms.items()), max(rooms.values(), default=0))

    def _room_in(self, clock: Clock, senders: Senders) -> int:
        """Return how many sends these accounts have left for a clock's hours by their limits and the interval."""
        if (senders, clock) not in self._rooms:
            hours = self._today.open(clock)
            time = hours.total - hours.offset_of(self._today.now)
            self._rooms[senders, clock] = self._today.room_in(time, senders)
        return self._rooms[senders, clock]
