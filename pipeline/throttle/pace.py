"""How a day's sends follow each other: open time counted, an even spread, and zones that close sooner."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Sequence

from pipeline.throttle.open_time import OpenTime
from pipeline.throttle.shares import Senders, shares
from pipeline.throttle.types import Account, Backlog, Group, Rules, Slot, Waiting, senders_of
from pipeline.throttle.window import Clock, SendingWindow

#: What deliveries are ordered by.
Urgency = tuple[int, bool, bool, int]


class Pace:
    """How sends follow each other in open time: position i is at first + i × gap."""

    def __init__(
        self, open_time: OpenTime, n: int, now: dt.datetime, last: dt.datetime | None, *, spread: bool
    ) -> None:
        self.open, self.n = open_time, n
        self.now = self.first = self._turn = open_time.offset_of(now)
        self.gap = self._turn_gap = dt.timedelta(0)
        if spread and n:
            if last is not None:
                since = open_time.offset_of(last)
                self._turn_gap = (open_time.total - since) / (n + 1)
                self._turn = since + self._turn_gap
                self.first = max(self.now, self._turn)
            self.gap = (open_time.total - self.first) / n

    @property
    def left(self) -> dt.timedelta:
        """The open time that is left."""
        return self.open.total - self.now

    def at(self, position: int, shift: float, earliest: dt.datetime) -> dt.datetime | None:
        """Return the time of a position, shifted by a share of the gap, and not before now and `earliest`; None if that
        is not today.
        """
        offset = self.first + position * self.gap
        if offset > self.now:
            offset += self.gap * shift
        elif position == 0:
            # Its turn has passed, its shifted turn may not have: who asks in between gets the same time.
            offset = max(self.now, self._turn + self._turn_gap * shift)
        at = self.open.at(offset)
        return at if at is None or at >= earliest else self.open.soonest(earliest)


class Today:
    """What is left of today: open time, how many mails go in it, and how many of those before their own clocks close.

    Attributes:
        since: when was sent last today; now, if nothing was.
        usable: the accounts that are below their limit and don't rest.
        left: how many sends each of them has beside its slot, by id.
        of_campaign: how many more slots each campaign with a limit of its own may get, by id; counted down as they are
            dealt.
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
        self._backlog = backlog
        self._open: dict[Clock, OpenTime] = {}
        self.since = now if last is None else last
        self._senders: dict[Group, Senders] = {}
        usable = self.usable = [a for a in accounts if a.left and not a.is_cooling(now)]
        self._all = frozenset(a.id for a in usable)
        held = [a.slot for a in accounts if a.slot]
        slots = self.slots = [(slot.send_at, len(slot.deliveries)) for slot in held]
        self.left = {a.id: max(0, a.left - (len(a.slot.deliveries) if a.slot else 0)) for a in usable}
        self.of_campaign = left_of_campaigns(backlog, held)
        waiting = self._waiting()
        granted = shares(self.left, {senders: sum(counts.values()) for senders, counts in waiting.items()})
        n = min(sum(number for _, number in slots) + sum(granted.values()), sum(a.left for a in usable))
        self._pace = self._pace_of(Clock(), n)
        busiest = rules.interval / len(usable) if usable else dt.timedelta(0)
        self._paces: dict[Clock, Pace] = {}
        self._pressing: set[Clock] = set()
        for clock in dict.fromkeys(clock for counts in waiting.values() for clock in counts):
            if (closes := self._closes(clock)) < self.end:
                later = sum(number for send_at, number in slots if send_at >= closes)
                for senders, counts in waiting.items():
                    theirs = sum(number for other, number in counts.items() if self._closes(other) > closes)
                    have = sum(len(slot.deliveries) for slot in held if slot.account_id in senders)
                    later += min(theirs, granted[senders] + have)
                pace = self._paces[clock] = self._pace_of(clock, max(0, n - later))
                if pace.n and pace.left / (pace.n + 1) <= max(self._pace.gap, busiest):
                    self._pressing.add(clock)
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
        if at is not None and until is not None and at < until <= self.time_of(position):
            # What comes sooner than the even spread waits for the end of a backoff.
            return self._pace.open.soonest(until)
        return at

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
        return self.open(delivery.clock).soonest(max(earliest, delivery.failed_by.get(account.id, earliest)))

    def late_pace(self, clock: Clock, n: int) -> Pace:
        """Return how n mails follow each other that go while a clock is open and not before."""
        return Pace(self.open(clock), n, self.now, None, spread=self.rules.spread)

    def urgency(self, delivery: Waiting) -> Urgency:
        """Return what today's order goes by: priority, then age. Within a priority, what every usable account has
        failed comes last, and what is for a zone that needs every slot until it closes comes first.
        """
        stands_behind = bool(delivery.failed_by) and self.stands_behind(delivery)
        return -delivery.priority, stands_behind, delivery.clock not in self._pressing, delivery.id

    def open(self, clock: Clock) -> OpenTime:
        """Return today's open time; with a clock, only that in which it is open, too."""
        if clock not in self._open:
            self._open[clock] = self.window.open_today(self.now, *clock)
        return self._open[clock]

    def suits(self, delivery: Waiting, at: dt.datetime) -> bool:
        """Tell whether the contact's own zone, if there is one, is open at `at`."""
        return delivery.clock == Clock() or self.open(delivery.clock).contains(at)

    def opens_after(self, delivery: Waiting, at: dt.datetime) -> bool:
        """Tell whether the contact's own zone has not been open today by `at`, and opens later."""
        opening = self.open(delivery.clock).soonest(self.now) if delivery.clock != Clock() else None
        return opening is not None and opening > at

    def senders_of(self, group: Group) -> Senders:
        """Return the usable accounts that may send a group's deliveries."""
        if group not in self._senders:
            self._senders[group] = senders_of(group, self._all, self._backlog.campaigns)
        return self._senders[group]

    def is_full(self, group: Group) -> bool:
        """Tell whether a group's campaign has got all the slots it may have today."""
        return group.campaign is not None and self.of_campaign.get(group.campaign, 1) <= 0

    def count(self, group: Group, number: int = 1) -> None:
        """Count slots that a group's campaign gets or, with a number below 0, gives back."""
        if group.campaign in self.of_campaign:
            self.of_campaign[group.campaign] -= number

    def stands_behind(self, delivery: Waiting) -> bool:
        """Tell whether every usable account that may send this delivery has failed it."""
        return bool(delivery.failed_by) and self.senders_of(delivery.group) <= delivery.failed_by.keys()

    def may_send(self, account_id: int, delivery: Waiting, at: dt.datetime | None) -> bool:
        """Tell whether an account may send a delivery at `at`: one of another group's never, and one that has failed it
        only where no other account is usable, and after its backoff.
        """
        group, campaigns = delivery.group, self._backlog.campaigns
        if group.campaign is not None and not senders_of(group, frozenset({account_id}), campaigns):
            return False
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

    def opening(self, clock: Clock) -> dt.datetime | None:
        """Return when a clock opens that is closed now."""
        return self.open(clock).soonest(self.now) or self.window.soonest(self.end, *clock)

    def _waiting(self) -> dict[Senders, dict[Clock, int]]:
        """Return how many may go today, by the accounts that may send them and by clock: of a campaign no more than its
        own limit allows, those first that close first.
        """
        of_campaign = dict(self.of_campaign)
        found: dict[Senders, dict[Clock, int]] = {}
        for group in sorted(self._backlog.counts, key=lambda group: (self._closes(group.clock), repr(group))):
            number = self._backlog.counts[group]
            if self._closes(group.clock) <= self.now:
                continue
            if group.campaign in of_campaign:
                number = min(number, of_campaign[group.campaign])
                of_campaign[group.campaign] -= number
            if number:
                counts = found.setdefault(self.senders_of(group), {})
                counts[group.clock] = counts.get(group.clock, 0) + number
        return found

    def _pace_of(self, clock: Clock, n: int) -> Pace:
        return Pace(self.open(clock), n, self.now, self.last, spread=self.rules.spread)

    def _closes(self, clock: Clock) -> dt.datetime:
        spans = self.open(clock).spans
        return spans[-1][1] if spans else self.now


def left_of_campaigns(backlog: Backlog, held: Sequence[Slot]) -> dict[int, int]:
    """Return how many more slots each campaign with a limit of its own may get today."""
    of = Counter(delivery.group.campaign for slot in held for delivery in slot.deliveries)
    limits = {c.id: c.limit - c.used for c in backlog.campaigns.values() if c.limit is not None}
    return {campaign_id: max(0, left - of[campaign_id]) for campaign_id, left in limits.items()}
