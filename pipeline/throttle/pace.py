"""How a day's sends follow each other: open time counted, an even spread, and zones that close sooner."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence

from pipeline.throttle.types import Account, Backlog, Rules, Waiting
from pipeline.throttle.window import OpenTime, SendingWindow

#: What deliveries are ordered by.
Urgency = tuple[int, bool, bool, int]


class Pace:
    """How sends follow each other in open time: position i is at first + i × gap."""

    def __init__(
        self, open_time: OpenTime, n: int, now: dt.datetime, last: dt.datetime | None, *, spread: bool
    ) -> None:
        self.open, self.n = open_time, n
        self.now = self.first = open_time.offset_of(now)
        self.gap = dt.timedelta(0)
        if spread and n:
            if last is not None:
                since = open_time.offset_of(last)
                self.first = max(self.now, since + (open_time.total - since) / (n + 1))
            self.gap = (open_time.total - self.first) / n

    @property
    def left(self) -> dt.timedelta:
        """The open time that is left."""
        return self.open.total - self.now

    def at(self, position: int, shift: float, earliest: dt.datetime) -> dt.datetime | None:
        """Return the time of a position, shifted by a share of the gap unless it is now, and not before `earliest`;
        None if that is not today.
        """
        offset = self.first + position * self.gap
        if shift and offset > self.now:
            offset += self.gap * shift
        at = self.open.at(offset)
        return at if at is None or at >= earliest else self.open.soonest(earliest)


class Today:
    """What is left of today: open time, how many mails go in it, and how many of those before contacts' own zones
    close.

    Attributes:
        usable: the accounts that are below their limit and don't rest.
        left: how many sends each of them has beside its slot, by id.
        slots: time and number of deliveries of each slot that is held.
    """

    def __init__(
        self,
        accounts: Sequence[Account],
        backlog: Backlog,
        now: dt.datetime,
        window: SendingWindow,
        rules: Rules,
        last: dt.datetime | None,
    ) -> None:
        self.now, self.window, self.rules, self.last = now, window, rules, last
        self.end = window.day_end(now)
        self._open: dict[str, OpenTime] = {}
        usable = self.usable = [a for a in accounts if a.left and not a.is_cooling(now)]
        self._usable_ids = {a.id for a in usable}
        slots = self.slots = [(a.slot.send_at, len(a.slot.deliveries)) for a in accounts if a.slot]
        waiting = {zone: n for zone, n in backlog.counts.items() if self._closes(zone) > now}
        taken = sum(number for _, number in slots)
        capacity = sum(a.left for a in usable)
        self.left = {a.id: max(0, a.left - (len(a.slot.deliveries) if a.slot else 0)) for a in usable}
        n = min(taken + sum(waiting.values()), capacity)
        self._pace = self._pace_of("", n)
        busiest = rules.interval / len(usable) if usable else dt.timedelta(0)
        self._paces: dict[str, Pace] = {}
        self._pressing: set[str] = set()
        for zone in waiting:
            if (closes := self._closes(zone)) < self.end:
                later = sum(number for other, number in waiting.items() if self._closes(other) > closes)
                later += sum(number for send_at, number in slots if send_at >= closes)
                pace = self._paces[zone] = self._pace_of(zone, max(0, n - later))
                if pace.n and pace.left / (pace.n + 1) <= max(self._pace.gap, busiest):
                    self._pressing.add(zone)
        paces = [self._pace, *(pace for pace in self._paces.values() if pace.n)]
        self._least_gap = min(pace.gap for pace in paces)
        # Moved in open time: before it, the window may have been closed for long.
        soonest = (pace.open.at(pace.first - pace.gap * rules.jitter) for pace in paces)
        self._first_at = min((at for at in soonest if at), default=self.end)

    def at(self, position: int, account: Account, delivery: Waiting) -> dt.datetime | None:
        """Return the time of a position for an account, or None if that is not today. Sends follow each other faster
        while more have to go before a zone closes than the even spread allows.
        """
        earliest, shift = self.earliest(account), delivery.share * self.rules.jitter
        at = self._pace.at(position, shift, earliest)
        for pace in self._paces.values():
            if position < pace.n and (sooner := pace.at(position, shift, earliest)) and (at is None or sooner < at):
                at = sooner
        until = delivery.failed_by.get(account.id)
        # What comes sooner than the even spread waits for the end of a backoff.
        return until if at is not None and until is not None and at < until <= self.time_of(position) else at

    def time_of(self, position: int) -> dt.datetime:
        """Return the time that the even spread gives a position, whoever has it; at the latest today's end."""
        return self._pace.at(position, 0, self.now) or self.end

    def bound(self, position: int) -> dt.datetime:
        """Return a time before which no slot of this position can be: cheaper to know than its time."""
        return self._first_at + position * self._least_gap

    def before_it_closes(self, account: Account, delivery: Waiting) -> dt.datetime | None:
        """Return the soonest time for an account, after its backoff, at which the contact's own zone is open, or None
        if that is not today.
        """
        earliest = self.earliest(account)
        return self.open(delivery.zone).soonest(max(earliest, delivery.failed_by.get(account.id, earliest)))

    def late_pace(self, zone: str, n: int) -> Pace:
        """Return how n mails follow each other that go in a zone's hours and not before it opens."""
        return Pace(self.open(zone), n, self.now, None, spread=self.rules.spread)

    def urgency(self, delivery: Waiting) -> Urgency:
        """Return what today's order goes by: priority, then age. Within a priority, what every usable account has
        failed comes last, and what is for a zone that needs every slot until it closes comes first.
        """
        stands_behind = bool(delivery.failed_by) and self.stands_behind(delivery)
        return -delivery.priority, stands_behind, delivery.zone not in self._pressing, delivery.id

    def open(self, zone: str) -> OpenTime:
        """Return today's open time; with a zone, only that in which its local time is in the window, too."""
        if zone not in self._open:
            self._open[zone] = self.window.open_today(self.now, zone)
        return self._open[zone]

    def suits(self, delivery: Waiting, at: dt.datetime) -> bool:
        """Tell whether the contact's own zone, if there is one, is open at `at`."""
        return not delivery.zone or self.open(delivery.zone).contains(at)

    def opens_after(self, delivery: Waiting, at: dt.datetime) -> bool:
        """Tell whether the contact's own zone has not been open today by `at`, and opens later."""
        opening = self.open(delivery.zone).soonest(self.now) if delivery.zone else None
        return opening is not None and opening > at

    def stands_behind(self, delivery: Waiting) -> bool:
        """Tell whether every usable account has failed this delivery."""
        return bool(delivery.failed_by) and all(i in delivery.failed_by for i in self._usable_ids)

    def may_send(self, account_id: int, delivery: Waiting, at: dt.datetime | None) -> bool:
        """Tell whether an account may send a delivery at `at`: one that has failed it may only where no other account
        is usable, and after its backoff.
        """
        leaves_alone_until = delivery.failed_by.get(account_id)
        if leaves_alone_until is None:
            return True
        return at is not None and leaves_alone_until <= at and self.stands_behind(delivery)

    def room_in(self, time: dt.timedelta, senders: Collection[int]) -> int:
        """Return how many sends without a slot yet these usable accounts can make in so much time, by limit and
        interval.
        """
        most = int(time / self.rules.interval) if self.rules.interval else None
        left = (self.left[account_id] for account_id in senders)
        return sum(number if most is None else min(number, most) for number in left)

    def earliest(self, account: Account) -> dt.datetime:
        """Return the soonest that the account's interval allows."""
        if account.last_transaction_at is None:
            return self.now
        return max(self.now, account.last_transaction_at + self.rules.interval)

    def opening(self, zone: str) -> dt.datetime | None:
        """Return when a zone opens that is closed now."""
        return self.open(zone).soonest(self.now) or self.window.soonest(self.end, zone)

    def _pace_of(self, zone: str, n: int) -> Pace:
        return Pace(self.open(zone), n, self.now, self.last, spread=self.rules.spread)

    def _closes(self, zone: str) -> dt.datetime:
        spans = self.open(zone).spans
        return spans[-1][1] if spans else self.now
