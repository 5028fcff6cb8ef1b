"""Zones that open later today: age decides for them too.

A delivery whose zone opens after the time of the slot that is dealt is passed over, and the next one has the slot. But
once all that some accounts have left today is needed for such deliveries, which no other accounts may send, nothing
younger is dealt to them any more: they get slots for these at their zones' hours.
"""

from __future__ import annotations

import bisect
import datetime as dt
from collections.abc import Iterator, Mapping

from pipeline.throttle.pace import Today
from pipeline.throttle.types import Account, Waiting

#: Accounts, by id.
Senders = frozenset[int]


class Late:
    """Deliveries that were passed over because their zones open later, each zone's in the order of urgency."""

    def __init__(self, today: Today, unseen: Mapping[str, int], left: Mapping[int, int]) -> None:
        """Begin with none.

        Args:
            today: what is left of today.
            unseen: for each zone, how many more there are than will be added.
            left: how many more each usable account may be dealt today; it goes down as they are.
        """
        self._today, self._unseen, self._left = today, unseen, left
        self._all = frozenset(a.id for a in today.usable)
        self._of_zone: dict[str, list[Waiting]] = {}
        self._senders: dict[int, Senders] = {}
        self._rooms: dict[tuple[Senders, str], int] = {}
        self._slots = list(today.slots)

    def add(self, delivery: Waiting) -> None:
        """Pass over a delivery; of each zone the most urgent come first."""
        self._of_zone.setdefault(delivery.zone, []).append(delivery)
        if delivery.failed_by:
            may = (a.id for a in self._today.usable if self._may_send(a, delivery))
            self._senders[delivery.id] = frozenset(may)

    def taken_back(self, at: dt.datetime) -> list[Waiting]:
        """Return, and forget, those whose zones have opened by `at`: they may have the next slot."""
        opened = [zone for zone in self._of_zone if self._opening(zone) <= at]
        return [delivery for zone in opened for delivery in self._of_zone.pop(zone)]

    def keep(self, account: Account) -> Senders | None:
        """Return the accounts, this one among them, of which they need all that is left today; None if it is free for
        others.
        """
        if not self._of_zone:
            return None
        those = sorted({self._all, *self._senders.values()}, key=lambda senders: (len(senders), sorted(senders)))
        return next((s for s in those if account.id in s and self._need_all(s)), None)

    def take(self, account: Account, senders: Senders) -> tuple[dt.datetime, Waiting] | None:
        """Take the one that gets the slot of an account, with its time, of those that only `senders` may send and that
        need all they have left; None if the account may send none of them.

        The sooner a zone opens the better, so that the account does not stand idle; but not at the cost of an older
        delivery in a zone that opens later still.
        """
        own = {zone: first for zone in self._of_zone if (first := self._first_for(account, zone, senders))}
        for opening in sorted({self._opening(zone) for zone in own}):
            first = min((own[zone] for zone in own if self._opening(zone) <= opening), key=self._today.urgency)
            later = [zone for zone in self._of_zone if self._opening(zone) > opening]
            older = {zone: self._more_urgent(zone, first, senders) for zone in later}
            if self._needed(older, senders) < self._capacity(senders):
                send_at = self._time(account, first, self._capacity(senders))
                self._of_zone[first.zone].remove(first)
                self._slots.append((send_at, 1))
                return send_at, first
        return None

    def rest(self) -> list[Waiting]:
        """Return those that have got no slot."""
        return [delivery for waiting in self._of_zone.values() for delivery in waiting]

    def _need_all(self, senders: Senders) -> bool:
        waiting = {zone: self._waiting(zone, senders) for zone in self._of_zone}
        return self._needed(waiting, senders) >= self._capacity(senders)

    def _capacity(self, senders: Senders) -> int:
        return sum(self._left[account_id] for account_id in senders)

    def _only(self, senders: Senders, zone: str) -> Iterator[Waiting]:
        """Yield a zone's deliveries that no other accounts may send, the most urgent first."""
        if senders == self._all:
            return iter(self._of_zone[zone])
        return (w for w in self._of_zone[zone] if self._senders.get(w.id, self._all) <= senders)

    def _may_send(self, account: Account, delivery: Waiting) -> bool:
        at = self._today.before_it_closes(account, delivery)
        return at is not None and self._today.may_send(account.id, delivery, at)

    def _first_for(self, account: Account, zone: str, senders: Senders) -> Waiting | None:
        """Return a zone's most urgent delivery that an account may send in its hours."""
        return next((w for w in self._only(senders, zone) if self._may_send(account, w)), None)

    def _time(self, account: Account, delivery: Waiting, left: int) -> dt.datetime:
        """Return when a delivery goes: behind the slots in its zone's hours, spread evenly over them."""
        today, opening = self._today, self._opening(delivery.zone)
        position = sum(number for send_at, number in self._slots if send_at >= opening)
        pace = today.late_pace(delivery.zone, position + left)
        at = pace.at(position, delivery.share * today.rules.jitter, today.earliest(account))
        soonest = today.before_it_closes(account, delivery)
        assert soonest is not None
        return soonest if at is None else max(at, soonest)

    def _opening(self, zone: str) -> dt.datetime:
        return self._today.open(zone).soonest(self._today.now) or self._today.end

    def _waiting(self, zone: str, senders: Senders) -> int:
        if senders == self._all:
            return len(self._of_zone[zone]) + self._unseen.get(zone, 0)
        return sum(1 for _ in self._only(senders, zone))

    def _more_urgent(self, zone: str, delivery: Waiting, senders: Senders) -> int:
        """Return how many of a zone are more urgent than a delivery."""
        urgency = self._today.urgency
        waiting = list(self._only(senders, zone))
        number = bisect.bisect_left(waiting, urgency(delivery), key=urgency)
        return self._waiting(zone, senders) if number == len(waiting) else number

    def _needed(self, waiting: Mapping[str, int], senders: Senders) -> int:
        """Return how many sends these zones need, so many as wait there: not more than their hours have room for."""
        rooms = {zone: self._room_in(zone, senders) for zone, number in waiting.items() if number}
        return min(sum(min(waiting[zone], room) for zone, room in rooms.items()), max(rooms.values(), default=0))

    def _room_in(self, zone: str, senders: Senders) -> int:
        """Return how many sends these accounts have left for a zone's hours by their limits and the interval."""
        if (senders, zone) not in self._rooms:
            hours = self._today.open(zone)
            time = hours.total - hours.offset_of(self._today.now)
            self._rooms[senders, zone] = self._today.room_in(time, senders)
        return self._rooms[senders, zone]
