"""Random days for the throttle, and what it did in them, by code that calls none of the code under test."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar
from zoneinfo import ZoneInfo

from hypothesis import settings
from hypothesis import strategies as st

from pipeline.throttle.types import Account, Campaign, Group, Rules, Waiting
from pipeline.throttle.window import Clock, SendingWindow
from tests.effort import counts

DAY = dt.timedelta(days=1)
QUARTER = dt.timedelta(minutes=15)
NOTHING = dt.timedelta(0)
NEW_YORK, BERLIN = ZoneInfo("America/New_York"), ZoneInfo("Europe/Berlin")
FIRST_DATES = [
    (NEW_YORK, dt.date(2026, 3, 7)),
    (NEW_YORK, dt.date(2026, 6, 1)),
    (NEW_YORK, dt.date(2026, 10, 31)),
    (BERLIN, dt.date(2026, 3, 28)),
    (BERLIN, dt.date(2026, 10, 24)),
]
HOURS = [
    [("08:00", "17:00")],
    [("09:00", "10:00")],
    [("01:30", "02:30")],
    [("20:00", "06:00")],
    [("22:00", "02:30")],
    [("08:00", "12:00"), ("13:30", "17:00")],
    [("07:00", "07:30"), ("12:15", "13:00"), ("18:00", "18:30")],
    [("08:00", "12:00"), ("22:00", "02:00")],
    [("08:00", "08:00")],
    [],
]
#: A campaign's own; where they have nothing in common with the window, it has none.
OWN_HOURS = ["", "", "09:00-10:00", "08:00-12:00", "13:45-15:00,16:30-17:00", "22:00-23:30", "00:15-02:00"]
WEEKDAYS = [range(7), range(5), (0, 2, 5, 6)]
CONTACT_ZONES = [
    "America/New_York", "America/Los_Angeles", "Pacific/Auckland", "Europe/Berlin", "Asia/Kolkata", "Asia/Tokyo"
]  # fmt: skip


@functools.cache
def midnight(zone: str, date: dt.date) -> dt.datetime:
    """Return the first quarter of an hour whose date it is."""
    at = dt.datetime.combine(date - DAY, dt.time(0), tzinfo=dt.UTC)
    while at.astimezone(ZoneInfo(zone)).date() < date:
        at += QUARTER
    return at


@functools.cache
def spans(window: SendingWindow, zone: str, date: dt.date) -> list[tuple[dt.datetime, dt.datetime]]:
    """Return what opens on a date: from the first quarter that reads the start or later to the last that reads the end,
    or to the end of the last that reads less.
    """
    if date in window.closed_dates or date.weekday() not in window.days:
        return []
    clock = ZoneInfo(zone)
    quarters = [midnight(zone, date) + i * QUARTER for i in range(4 * 50)]
    reads = {q: q.astimezone(clock).replace(tzinfo=None) for q in quarters}
    found = []
    always = not window.intervals or any(start == end for start, end in window.intervals)
    for start, end in [(dt.time(0), dt.time(0))] if always else window.intervals:
        first, last = dt.datetime.combine(date, start), dt.datetime.combine(date + DAY if end <= start else date, end)
        opens = min(q for q in quarters if reads[q] >= first)
        closes = max(q + (QUARTER if reads[q] < last else NOTHING) for q in quarters if reads[q] <= last)
        if date + DAY in window.closed_dates:
            closes = min(closes, midnight(zone, date + DAY))
        if opens < closes:
            found.append((opens, closes))
    return found


def local_date(window: SendingWindow, at: dt.datetime) -> dt.date:
    """Return the date that limits count by."""
    return at.astimezone(window.zone).date()


def open_on_clock(window: SendingWindow, zone: str, at: dt.datetime) -> bool:
    """Tell whether one zone's clock is in the window."""
    date = at.astimezone(ZoneInfo(zone)).date()
    return any(opens <= at < closes for d in (date - DAY, date) for opens, closes in spans(window, zone, d))


def is_open(window: SendingWindow, at: dt.datetime, zone: str = "", hours: str = "") -> bool:
    """Tell whether the window is open, also on the clock of the contact's own zone if there is one; with a campaign's
    own hours, also these, on both clocks.
    """
    if not open_on_clock(window, window.zone.key, at):
        return False
    own = with_hours(window, hours)
    return all(open_on_clock(own, clock, at) for clock in {window.zone.key, zone or window.zone.key})


@functools.cache
def with_hours(window: SendingWindow, hours: str) -> SendingWindow:
    """Return the window with other hours, if there are any, written as those of a campaign."""
    pairs = [tuple(map(dt.time.fromisoformat, pair.split("-"))) for pair in hours.split(",") if pair]
    return replace(window, intervals=tuple((start, end) for start, end in pairs)) if pairs else window


@functools.cache
def open_quarters(window: SendingWindow, date: dt.date, zone: str = "", hours: str = "") -> tuple[dt.datetime, ...]:
    """Return the quarters of an hour of a date at which the window is open."""
    start, end = (midnight(window.zone.key, d) for d in (date, date + DAY))
    quarters = (start + i * QUARTER for i in range((end - start) // QUARTER))
    return tuple(q for q in quarters if is_open(window, q, zone, hours))


@dataclass(frozen=True)
class Fault:
    """An attempt that is charged to its account: with the dot claimed or not, with a rest or not, and for how long the
    account then leaves the delivery alone.
    """

    claimed: bool
    cool_down: dt.timedelta
    backoff: dt.timedelta


@dataclass(frozen=True)
class Limit:
    """What an account may send a day: a ramp from `start` by `step` a day up to `full`."""

    full: int
    start: int
    step: int
    since: dt.date

    def on(self, date: dt.date) -> int:
        """Return the limit on a date."""
        return min(self.full, self.start + self.step * max(0, (date - self.since).days))


@dataclass(frozen=True)
class Arrival:
    """A delivery that begins to wait at a time, perhaps with one before which it may not go."""

    at: dt.datetime
    delivery: Waiting
    not_before: dt.datetime | None = None


@dataclass(frozen=True)
class Case:
    """All that is put in: where it starts, who sends, what arrives, which attempts fail, and which campaigns run."""

    start: dt.datetime
    window: SendingWindow
    rules: Rules
    limits: Mapping[int, Limit]
    accounts: tuple[Account, ...]
    arrivals: tuple[Arrival, ...]
    faults: Mapping[int, tuple[Fault, ...]] = field(default_factory=dict)
    campaigns: tuple[Campaign, ...] = ()

    def senders_of(self, group: Group) -> frozenset[int]:
        """Return the accounts that may send a group's deliveries."""
        found = frozenset(self.limits)
        for campaign in self.campaigns:
            if campaign.id == group.campaign:
                found = campaign.senders
        return found if group.sender is None else found & {group.sender}

    def limit_on(self, account_id: int, date: dt.date) -> int:
        """Return an account's limit on a date."""
        return self.limits[account_id].on(date)


T = TypeVar("T")


def some(draw: st.DrawFn, values: Sequence[T]) -> T:
    """Draw one of them."""
    return draw(st.sampled_from(values))


@st.composite
def windows(draw: st.DrawFn) -> tuple[SendingWindow, dt.datetime]:
    """Return a window of any kind and an instant shortly before or in a change of its clocks, or in June."""
    zone, first = some(draw, FIRST_DATES)
    hours = [(dt.time.fromisoformat(start), dt.time.fromisoformat(end)) for start, end in some(draw, HOURS)]
    closed = draw(st.sets(st.integers(0, 4), max_size=2))
    window = SendingWindow(
        tuple(hours), zone, frozenset(some(draw, WEEKDAYS)), frozenset(first + i * DAY for i in closed)
    )
    hour = dt.timedelta(hours=some(draw, (8, 8, 0, 1, 2, 9, 12.4, 16.8, 20, 23.9)))
    start = midnight(zone.key, first) + some(draw, (DAY, NOTHING)) + hour + dt.timedelta(seconds=some(draw, (0, 7)))
    return window, start


@st.composite
def limits(draw: st.DrawFn, today: dt.date, *, at_least: int) -> Limit:
    """Return a limit, flat or with a ramp that began yesterday, begins today or begins tomorrow."""
    full = draw(st.integers(at_least, 8))
    if draw(st.booleans()):
        return Limit(full, full, 0, today)
    return Limit(full, draw(st.integers(0, 3)), draw(st.integers(1, 3)), today + draw(st.integers(-1, 1)) * DAY)


@st.composite
def accounts_at(draw: st.DrawFn, account_id: int, limit: int, start: dt.datetime) -> Account:
    """Return an account that is fresh, or has used some of today's limit, has just sent, or cools down."""
    account = Account(account_id, limit)
    if draw(st.booleans()):
        ago = start - dt.timedelta(seconds=draw(st.integers(1, 5000)))
        account = replace(account, used=draw(st.integers(0, 3)), last_transaction_at=ago, last_attempt_at=ago)
    if some(draw, (False, False, True)):
        account = replace(account, cooling_until=start + dt.timedelta(minutes=draw(st.integers(1, 600))))
    return account


@st.composite
def rules_of_any_kind(draw: st.DrawFn) -> Rules:
    """Return interval, spread and jitter."""
    interval = dt.timedelta(seconds=draw(st.sampled_from((0, 0, 1, 60, 600, 3600)) | st.integers(0, 3600)))
    return Rules(interval, some(draw, (True, True, False)), some(draw, (0.2, 0.0, 0.5)))


def has_common_hours(window: SendingWindow, zone: str, start: dt.datetime, hours: str = "") -> bool:
    """Tell whether a contact's own zone, and a campaign's own hours, are open at some time of an ordinary week in the
    window.
    """
    first = local_date(window, start) + 45 * DAY
    return any(open_quarters(window, first + i * DAY, zone, hours) for i in range(7))


@st.composite
def campaigns_of(draw: st.DrawFn, accounts: Sequence[int], window: SendingWindow, start: dt.datetime) -> Campaign:
    """Return a campaign without an id: some of the accounts, perhaps a limit, perhaps hours of its own."""
    senders = draw(st.sets(st.sampled_from(accounts), min_size=1))
    hours = some(draw, [hours for hours in OWN_HOURS if has_common_hours(window, "", start, hours)])
    limit, used = some(draw, (None, 1, 2, 5)), some(draw, (0, 0, 1))
    return Campaign(0, frozenset(senders), limit, used, hours)


@st.composite
def groups(
    draw: st.DrawFn, campaigns: Sequence[Campaign], zones: Sequence[str], window: SendingWindow, start: dt.datetime
) -> Group:
    """Return a group: plain, or of a campaign, for any of its accounts or one of them; perhaps with a zone."""
    zone = some(draw, ("", "", "", *zones))
    campaign = some(draw, (None, *campaigns))
    if campaign is None:
        return Group(Clock(zone))
    sender = some(draw, (None, None, *sorted(campaign.senders)))
    if not has_common_hours(window, zone, start, campaign.hours):
        zone = ""
    return Group(Clock(zone, campaign.hours), campaign.id, sender)


@st.composite
def cases(
    draw: st.DrawFn, *, zones: bool = True, faults: bool = True, interval: bool = True, campaigns: bool = False
) -> Case:
    """Return a case; without zones, faults or interval, one in which none can keep capacity from being used."""
    window, start = draw(windows())
    today = local_date(window, start)
    number = some(draw, (1, 2, 3, 4))
    limit_of = {i: draw(limits(today, at_least=campaigns or i == 1)) for i in range(1, number + 1)}
    accounts = [draw(accounts_at(i, limit.on(today), start)) for i, limit in limit_of.items()]
    rules = draw(rules_of_any_kind())
    if not faults:
        accounts = [replace(a, cooling_until=None) for a in accounts]
    if not interval:
        rules = replace(rules, interval=NOTHING)
    own_zones = [z for z in CONTACT_ZONES if zones and has_common_hours(window, z, start)]
    drawn = draw(st.lists(campaigns_of(list(limit_of), window, start), max_size=3)) if campaigns else []
    running = tuple(replace(campaign, id=i) for i, campaign in enumerate(drawn, 1))
    seconds = st.integers(1, 20_000) | st.integers(20_000, 300_000)
    moments = [start, *(start + dt.timedelta(seconds=s) for s in draw(st.lists(seconds, min_size=1, max_size=6)))]
    waiting = st.tuples(
        st.sampled_from(moments),
        st.sampled_from((0, 0, 0, 1, 5, 9)),
        groups(running, own_zones, window, start),
        st.sampled_from((-1.0, -0.4, 0.0, 0.7, 1.0)),
        st.sampled_from((0, 0, 0, 0, 30, 600, 2000)),
    )
    arriving = draw(st.lists(waiting, min_size=some(draw, (1, 6, 12, 20)), max_size=30))
    arrivals = [
        Arrival(
            at,
            Waiting(i, priority, share=share, group=group),
            at + dt.timedelta(minutes=later) if later else None,
        )
        for i, (at, priority, group, share, later) in enumerate(arriving, 1)
    ]
    rest, backoff = (
        st.sampled_from(m).map(lambda m: dt.timedelta(minutes=m)) for m in ((0, 0, 15, 240), (15, 30, 300))
    )
    a_fault = st.builds(Fault, st.booleans(), rest, backoff)
    of_delivery = st.tuples(st.integers(1, len(arrivals)), a_fault)
    failing = draw(st.lists(of_delivery, max_size=8)) if faults else []
    faults_of = {i: tuple(f for j, f in failing if j == i) for i, _ in failing}
    arrivals.sort(key=lambda a: (a.at, a.delivery.id))
    return Case(start, window, rules, limit_of, tuple(accounts), tuple(arrivals), faults_of, running)


def holds_for(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a property over so many examples, always the same; over a thirtieth of them in the short form."""
    return settings(max_examples=counts(examples // 30, examples), deadline=None, derandomize=True)
