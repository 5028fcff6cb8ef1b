"""Zones that open later today: age decides for them too.

A delivery whose zone opens after the time of the slot that is dealt is passed over, and the next one has the slot. But
once all that is left of today's capacity is needed for such deliveries, nothing younger is dealt any more: the accounts
get slots for them at their zones' hours.
"""

from __future__ import annotations

import bisect
import datetime as dt
from collections.abc import Mapping

from pipeline.throttle.pace import Today
from pipeline.throttle.types import Account, Waiting


class Late:
    """Deliveries that were passed over because their zones open later, each zone's in the order of urgency."""

    def __init__(self, today: Today, unseen: Mapping[str, int]) -> None:
        self._today, self._unseen = today, unseen
        self._of_zone: dict[str, list[Waiting]] = {}
        self._room: dict[str, int] = {}
        self._slots = list(today.slots)

    def add(self, delivery: Waiting) -> None:
        """Pass over a delivery; of each zone the most urgent come first."""
        self._of_zone.setdefault(delivery.zone, []).append(delivery)

    def taken_back(self, at: dt.datetime) -> list[Waiting]:
        """Return, and forget, those whose zones have opened by `at`: they may have the next slot."""
        opened = [zone for zone in self._of_zone if self._opening(zone) <= at]
        return [delivery for zone in opened for delivery in self._of_zone.pop(zone)]

    def need_all(self, left: int) -> bool:
        """Tell whether they need all that is `left` of today's capacity."""
        return self._needed({zone: self._waiting(zone) for zone in self._of_zone}) >= left

    def take(self, account: Account, left: int) -> tuple[dt.datetime, Waiting] | None:
        """Take the one that gets an account's slot, with its time, when they need all that is `left`; None if the
        account may send none of them.

        The sooner a zone opens the better, so that the account does not stand idle; but not at the cost of an older
        delivery in a zone that opens later still.
        """
        own = {zone: first for zone in self._of_zone if (first := self._first_for(account, zone))}
        for opening in sorted({self._opening(zone) for zone in own}):
            first = min((own[zone] for zone in own if self._opening(zone) <= opening), key=self._today.urgency)
            older = {zone: self._more_urgent(zone, first) for zone in self._of_zone if self._opening(zone) > opening}
            if self._needed(older) < left:
                send_at = self._time(account, first, left)
                self._of_zone[first.zone].remove(first)
                self._slots.append((send_at, 1))
                return send_at, first
        return None

    def rest(self) -> list[Waiting]:
        """Return those that have got no slot."""
        return [delivery for waiting in self._of_zone.values() for delivery in waiting]

    def _first_for(self, account: Account, zone: str) -> Waiting | None:
        """Return a zone's most urgent delivery that an account may send in its hours."""
        at = self._today.open(zone).soonest(self._today.earliest(account))
        may = (w for w in self._of_zone[zone] if at is not None and self._today.may_send(account.id, w, at))
        return next(may, None)

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

    def _waiting(self, zone: str) -> int:
        return len(self._of_zone[zone]) + self._unseen.get(zone, 0)

    def _more_urgent(self, zone: str, delivery: Waiting) -> int:
        """Return how many of a zone are more urgent than a delivery."""
        waiting = self._of_zone[zone]
        urgency = self._today.urgency
        number = bisect.bisect_left(waiting, urgency(delivery), key=urgency)
        return self._waiting(zone) if number == len(waiting) else number

    def _needed(self, waiting: Mapping[str, int]) -> int:
        """Return how many sends these zones need, so many as wait there: not more than their hours have room for."""
        rooms = [(min(number, self._room_in(zone)), self._room_in(zone)) for zone, number in waiting.items() if number]
        return min(sum(needed for needed, _ in rooms), max((room for _, room in rooms), default=0))

    def _room_in(self, zone: str) -> int:
        """Return how many sends the accounts have left for a zone's hours by their limits and the interval."""
        if zone not in self._room:
            hours = self._today.open(zone)
            self._room[zone] = self._today.room_in(hours.total - hours.offset_of(self._today.now))
        return self._room[zone]
