"""The throttle: who is sent next, when, and from which account. Pure: accounts, backlog, now, window, rules → slots.

The live stage, the plan and the simulation call the same `decide`. A slot that is not claimed is only a plan: it can be
brought forward, or handed to a more urgent delivery.
"""

from __future__ import annotations

import bisect
import datetime as dt
import hashlib
import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, takewhile

from .settings import Settings
from .window import OpenTime, SendingWindow

#: Deliveries in one slot where neither spread nor interval keeps an account's sends apart.
MAX_LIST = 100
#: A slot is brought forward only if that saves this share of its wait …
WORTH_MOVING = 0.1
#: … at most once in this time …
MOVE_EVERY = dt.timedelta(seconds=10)
#: … and not when it is this near.
TOO_NEAR = dt.timedelta(seconds=5)

#: Deliveries of each zone to look at beyond those that can get a slot, so that an account which has failed the first
#: of them still finds one that it may send.
SLACK = 20

_LONG_AGO = dt.datetime.min.replace(tzinfo=dt.UTC)


@dataclass(frozen=True)
class Waiting:
    """A delivery that may go now. `failed_by`: accounts that have failed it. `share`: −1 to 1, the jitter's
    direction and size. `zone`: its contact's own time zone (IANA name), whose clocks have to be in the window too.
    """

    id: int
    priority: int = 0
    failed_by: frozenset[int] = frozenset()
    share: float = 0.0
    zone: str = ""


@dataclass(frozen=True)
class Slot:
    """An account and a time (UTC), for one delivery, or for a list that is due at once."""

    account_id: int
    send_at: dt.datetime
    deliveries: tuple[Waiting, ...]


@dataclass(frozen=True)
class Account:
    """An account that is switched on and not paused, as it stands: today's limit, what of it is used, its slot, its
    last sends.
    """

    id: int
    limit: int
    used: int = 0
    last_attempt_at: dt.datetime | None = None
    last_claim_at: dt.datetime | None = None
    cooling_until: dt.datetime | None = None
    sending: bool = False
    slot: Slot | None = None

    @property
    def left(self) -> int:
        """How many more it may send today."""
        return max(0, self.limit - self.used)

    def is_cooling(self, now: dt.datetime) -> bool:
        """Tell whether it rests after failures."""
        return self.cooling_until is not None and now < self.cooling_until


@dataclass(frozen=True)
class Backlog:
    """What waits: the head, the most urgent of each zone and template that may go now; and for each zone how many there
    are whose own time (`not_before`) comes before today's end, counted up to the capacity.
    """

    head: tuple[Waiting, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    next_not_before: dt.datetime | None = None

    @property
    def count(self) -> int:
        """How many wait in all zones."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class Rules:
    """The settings that matter here; `interval` is the least time between two sends of one account."""

    interval: dt.timedelta = dt.timedelta(seconds=60)
    spread: bool = True
    jitter: float = 0.2

    @classmethod
    def from_settings(cls, settings: Settings) -> Rules:
        """Return the rules of the settings."""
        interval = dt.timedelta(seconds=settings.mail_min_interval)
        return cls(interval, settings.mail_spread, settings.mail_jitter)

    @property
    def list_size(self) -> int:
        """How many deliveries one slot holds."""
        return 1 if self.spread or self.interval else MAX_LIST


@dataclass(frozen=True)
class Decision:
    """What is to change: new slots, slots brought forward, slots handed over (with their new deliveries, and perhaps
    brought forward too), and the next moment that matters.
    """

    reserved: tuple[Slot, ...] = ()
    moved: tuple[Slot, ...] = ()
    handed_over: tuple[Slot, ...] = ()
    wake_at: dt.datetime | None = None

    @property
    def changes_slots(self) -> bool:
        """Tell whether any slot is new or different."""
        return bool(self.reserved or self.moved or self.handed_over)


def limit_on(
    day: dt.date,
    limit: int,
    *,
    warmup: tuple[int, int, dt.date] | None = None,
    quota: tuple[int, dt.date] | None = None,
) -> int:
    """Return an account's limit on a local date.

    Args:
        day: the date.
        limit: the account's own limit, or the default.
        warmup: start, step a day, and first day of a ramp up to the limit.
        quota: what the provider allowed, and on which date; a fifth of the limit is given back on each following day.
    """
    if warmup is not None:
        start, step, since = warmup
        limit = min(limit, start + step * max(0, (day - since).days))
    if quota is not None:
        allowed, on = quota
        limit = min(limit, allowed + max(1, limit // 5) * max(0, (day - on).days))
    return max(0, limit)


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


def jitter_share(contact_id: int, template_id: int) -> float:
    """Return the share, −1 to 1, by which a slot of this pair is moved: same pair, same jitter."""
    digest = hashlib.sha256(f"{contact_id}:{template_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**63 - 1


def decide(
    accounts: Sequence[Account],
    backlog: Backlog,
    now: dt.datetime,
    window: SendingWindow,
    rules: Rules,
    *,
    last_claim_today: dt.datetime | None = None,
    moved_at: dt.datetime | None = None,
) -> Decision:
    """Return what is to change now.

    Args:
        accounts: those that are switched on and not paused, with their unclaimed slots.
        backlog: what waits.
        now: UTC.
        window: when sending is allowed.
        rules: interval, spread, jitter.
        last_claim_today: of any account and whatever came of it, on the local date of `now`.
        moved_at: when slots were last brought forward.
    """
    if not window.contains(now):
        return Decision(wake_at=_wake_when_closed(backlog, now, window))
    today = _Today(accounts, backlog, now, window, rules, last_claim_today)
    by_id = {a.id: a for a in accounts}
    slots = sorted((a.slot for a in accounts if a.slot), key=lambda s: (s.send_at, s.account_id))
    handed_over, waiting = _hand_over(slots, by_id, backlog.head, today)
    standing = [handed_over.get(slot.account_id, slot) for slot in slots] if handed_over else slots
    earlier = list(_bring_forward(standing, by_id, today))
    may_move = moved_at is None or now >= moved_at + MOVE_EVERY
    moved = {slot.account_id: slot for slot in earlier} if may_move else {}
    reserved, rest = _reserve(by_id, waiting, today)

    left_over = bool(rest) or backlog.count > len(backlog.head)
    busy = bool(reserved) or any(a.slot or a.sending for a in accounts)
    moments = list(_moments(accounts, backlog, today, left_over=left_over, busy=busy))
    if earlier and not may_move and moved_at is not None:
        moments.append(moved_at + MOVE_EVERY)
    return Decision(
        tuple(reserved),
        tuple(s for s in moved.values() if s.account_id not in handed_over),
        tuple(moved.get(account_id, slot) for account_id, slot in handed_over.items()),
        min(moments, default=None),
    )


class _Pace:
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


class _Today:
    """What is left of today: open time, how many mails go in it, and how many of those before contacts' own zones
    close.
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
        slots = [(a.slot.send_at, len(a.slot.deliveries)) for a in accounts if a.slot]
        waiting = {zone: n for zone, n in backlog.counts.items() if self._closes(zone) > now}
        self.taken = sum(number for _, number in slots)
        n = min(self.taken + sum(waiting.values()), sum(a.left for a in usable))
        self._pace = self._pace_of("", n)
        busiest = rules.interval / len(usable) if usable else dt.timedelta(0)
        self._paces: dict[str, _Pace] = {}
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
        self._first_at = min((at for pace in paces if (at := pace.open.at(pace.first))), default=self.end)

    def at(self, position: int, account: Account, delivery: Waiting) -> dt.datetime | None:
        """Return the time of a position for an account, or None if that is not today. Sends follow each other faster
        while more have to go before a zone closes than the even spread would let.
        """
        earliest, shift = self.earliest(account), delivery.share * self.rules.jitter
        at = self._pace.at(position, shift, earliest)
        for pace in self._paces.values():
            if position < pace.n and (sooner := pace.at(position, shift, earliest)) and (at is None or sooner < at):
                at = sooner
        return at

    def bound(self, position: int) -> dt.datetime:
        """Return a time before which no slot of this position can be: cheaper to know than its time."""
        return self._first_at + (position - self.rules.jitter) * self._least_gap

    def before_it_closes(self, account: Account, delivery: Waiting) -> dt.datetime | None:
        """Return the soonest time for an account at which the contact's own zone is open, or None if that is not
        today.
        """
        return self.open(delivery.zone).soonest(self.earliest(account))

    def urgency(self, delivery: Waiting) -> tuple[int, bool, int]:
        """Return what today's order is: priority, then age; among equals those first of whose zone no slot until it
        closes can be given to another.
        """
        return -delivery.priority, delivery.zone not in self._pressing, delivery.id

    def open(self, zone: str) -> OpenTime:
        """Return today's open time, with a zone: that in which its clocks are in the window too."""
        if zone not in self._open:
            self._open[zone] = self.window.open_today(self.now, zone)
        return self._open[zone]

    def suits(self, delivery: Waiting, at: dt.datetime) -> bool:
        """Tell whether the contact's own zone, if there is one, is open at `at`."""
        return not delivery.zone or self.open(delivery.zone).contains(at)

    def avoids(self, account_id: int, delivery: Waiting) -> bool:
        """Tell whether an account has failed this delivery while another is usable."""
        return account_id in delivery.failed_by and not self._usable_ids <= delivery.failed_by

    def earliest(self, account: Account) -> dt.datetime:
        """Return the soonest that the account's interval allows."""
        if account.last_claim_at is None:
            return self.now
        return max(self.now, account.last_claim_at + self.rules.interval)

    def opening(self, zone: str) -> dt.datetime | None:
        """Return when a zone opens that is closed now."""
        return self.open(zone).soonest(self.now) or self.window.soonest(self.end, zone)

    def _pace_of(self, zone: str, n: int) -> _Pace:
        return _Pace(self.open(zone), n, self.now, self.last, spread=self.rules.spread)

    def _closes(self, zone: str) -> dt.datetime:
        spans = self.open(zone).spans
        return spans[-1][1] if spans else self.now


def _hand_over(
    slots: Sequence[Slot], accounts: Mapping[int, Account], head: Iterable[Waiting], today: _Today
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


def _bring_forward(slots: Sequence[Slot], accounts: Mapping[int, Account], today: _Today) -> Iterator[Slot]:
    """Yield slots with a time that is enough earlier to be worth a move."""
    for position, slot in enumerate(slots):
        wait = slot.send_at - today.now
        latest = slot.send_at - wait * WORTH_MOVING
        if wait <= TOO_NEAR or today.bound(position) > latest:
            continue
        holder = slot.deliveries[0]
        target = today.at(position, accounts[slot.account_id], holder)
        if target is not None and target <= latest and today.suits(holder, target):
            yield replace(slot, send_at=target)


def _reserve(
    accounts: Mapping[int, Account], waiting: Sequence[Waiting], today: _Today
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
            # One like it that can go then takes its place; where there is none it goes before it closes.
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


def _next_account(free: list[_Turn], accounts: Mapping[int, Account], delivery: Waiting, today: _Today) -> int | None:
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


def _moments(
    accounts: Sequence[Account], backlog: Backlog, today: _Today, *, left_over: bool, busy: bool
) -> Iterator[dt.datetime]:
    """Yield the moments at which something deferred can go on; an account that is busy triggers when it has sent."""
    now, window = today.now, today.window
    if backlog.next_not_before is not None:
        yield _when_open(backlog.next_not_before, window)
    for zone, count in backlog.counts.items():
        if count and zone and not today.open(zone).contains(now) and (opening := today.opening(zone)):
            yield opening
    if left_over:
        yield from (a.cooling_until for a in accounts if a.cooling_until is not None and a.is_cooling(now))
        if not busy:
            yield from _soonest(backlog, today.end, window)


def _wake_when_closed(backlog: Backlog, now: dt.datetime, window: SendingWindow) -> dt.datetime | None:
    moments = list(_soonest(backlog, now, window))
    if backlog.next_not_before is not None:
        moments.append(_when_open(backlog.next_not_before, window))
    return min(moments, default=None)


def _soonest(backlog: Backlog, at: dt.datetime, window: SendingWindow) -> Iterator[dt.datetime]:
    """Yield when, at or after `at`, each zone is open of which something waits."""
    for zone in {zone for zone, count in backlog.counts.items() if count} | {w.zone for w in backlog.head}:
        if (opening := window.soonest(at, zone)) is not None:
            yield opening


def _when_open(at: dt.datetime, window: SendingWindow) -> dt.datetime:
    return at if window.contains(at) else window.next_opening(at)
