"""The window: the hours, weekdays and dates on which sending is allowed, in a time zone. Pure.

All arithmetic is on the wall clock of the zone. A start that does not exist (spring) is the first instant after the
gap; of an ambiguous time (autumn) a start takes the first and an end the second.
"""

from __future__ import annotations

import datetime as dt
import errno
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from zoneinfo import ZoneInfo

from pipeline.runtime import public_holidays
from pipeline.runtime.settings import Settings
from pipeline.throttle.wall_clock import instant, midnight

#: An instant from which something is open, and one from which it is closed (UTC).
Span = tuple[dt.datetime, dt.datetime]

#: What the operating system says of names such as "America", a directory of zones.
_IS_NO_FILE_OF_A_ZONE = {errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EACCES}

_DAY = dt.timedelta(days=1)
_WHOLE_DAY = (dt.time(0), dt.time(0))
_INSTANT = dt.timedelta(microseconds=1)
#: Clocks change and weeks repeat within it: two windows that have no common hour in a year have none.
_YEAR = 366 * _DAY
_WEEK = 7 * _DAY


@functools.cache
def is_known(zone: str) -> bool:
    """Tell whether this machine's time zone database has a zone. An import lets no other in, but the database changes,
    and rows are written by hand.
    """
    try:
        ZoneInfo(zone)
    except (ValueError, LookupError):
        return False
    except OSError as error:
        if error.errno in _IS_NO_FILE_OF_A_ZONE:
            return False
        raise
    return True


@dataclass(frozen=True)
class OpenTime:
    """Open time: spans in order that don't overlap. An offset is the open time since the first span began."""

    spans: tuple[Span, ...]

    @functools.cached_property
    def total(self) -> dt.timedelta:
        """All the open time there is."""
        return sum((closes - opens for opens, closes in self.spans), dt.timedelta(0))

    def contains(self, at: dt.datetime) -> bool:
        """Tell whether it is open at `at`."""
        return self.soonest(at) == at

    def offset_of(self, at: dt.datetime) -> dt.timedelta:
        """Return the open time before `at`."""
        return sum((min(at, closes) - opens for opens, closes in self.spans if opens < at), dt.timedelta(0))

    def at(self, offset: dt.timedelta) -> dt.datetime | None:
        """Return the instant with this offset (below zero: the first); None if there is not so much open time."""
        offset = max(offset, dt.timedelta(0))
        for opens, closes in self.spans:
            if offset < closes - opens:
                return opens + offset
            offset -= closes - opens
        return None

    def soonest(self, at: dt.datetime) -> dt.datetime | None:
        """Return the first open instant at or after `at`, or None."""
        for opens, closes in self.spans:
            if at < closes:
                return max(at, opens)
        return None

    def __and__(self, other: OpenTime) -> OpenTime:
        """Return the time that is open in both."""
        both = ((max(a, c), min(b, d)) for a, b in self.spans for c, d in other.spans)
        return OpenTime(tuple((opens, closes) for opens, closes in both if opens < closes))


@dataclass(frozen=True)
class SendingWindow:
    """When sending is allowed.

    Attributes:
        intervals: wall-clock start (inside) and end (outside) of each; an end before its start is on the next day, and
            the interval belongs to the day on which it opens. None at all, or one that ends as it starts: open all day.
        zone: whose wall clock, and whose dates for daily limits.
        days: weekdays on which intervals open, 0 is Monday; at least one.
        closed_dates: dates of the zone on which nothing opens, and on which what opened the evening before is closed.
        holidays: regions (`public_holidays.region_of`) whose public holidays are closed dates, too.
    """

    intervals: tuple[tuple[dt.time, dt.time], ...]
    zone: ZoneInfo
    days: frozenset[int]
    closed_dates: frozenset[dt.date] = frozenset()
    holidays: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError for a window that would never open."""
        if not self.days & frozenset(range(7)):
            raise ValueError("a window needs a weekday, 0 (Monday) to 6, on which it opens")

    @classmethod
    def from_settings(cls, settings: Settings) -> SendingWindow:
        """Return the window of the settings."""
        return cls(
            settings.window_intervals,
            settings.mail_window_timezone,
            settings.mail_window_days,
            settings.mail_window_closed_dates,
            settings.mail_window_holidays,
        )

    def in_zone(self, zone: str) -> SendingWindow | None:
        """Return the window with the same hours, weekdays and dates in another zone (IANA name); None for a zone that
        is not known here: it never opens there.
        """
        return _in_zone(self, zone)

    def contains(self, at: dt.datetime) -> bool:
        """Tell whether sending is allowed at `at`."""
        return any(opens <= at < closes for opens, closes in self._around(at))

    def is_open(self, at: dt.datetime, zone: str = "") -> bool:
        """Tell whether sending is allowed at `at`, with a zone: in its local time, too."""
        if not self.contains(at):
            return False
        there = self.in_zone(zone) if zone else self
        return there is not None and there.contains(at)

    def closes_at(self, at: dt.datetime) -> dt.datetime:
        """Return when the interval that contains `at` ends (UTC). Raises ValueError outside the window."""
        return max(closes for opens, closes in self._around(at) if opens <= at < closes)

    def next_opening(self, at: dt.datetime) -> dt.datetime:
        """Return the first instant after `at` at which an interval opens (UTC)."""
        day = self.local_date(at)
        while not (openings := [opens for opens, _ in _day_of(self, day).spans if at < opens]):
            day += _DAY
        return min(openings)

    def next_days_opening(self, at: dt.datetime) -> dt.datetime:
        """Return when an interval opens next that does not belong to the day which is open at `at` (UTC)."""
        return self.next_opening(self.day_end(at) - _INSTANT if self.contains(at) else at)

    def local_date(self, at: dt.datetime) -> dt.date:
        """Return the date in the window's zone: the one that daily limits count by."""
        return at.astimezone(self.zone).date()

    def open_dates(self, after: dt.date, before: dt.date) -> Iterator[dt.date]:
        """Yield the local dates between the two, both outside, on which something opens."""
        while (after := after + _DAY) < before:
            if _day_of(self, after).spans:
                yield after

    def open_date(self, after: dt.date, n: int) -> dt.date:
        """Return the n-th local date after `after` on which something opens; `after` itself, open or not, for n = 0."""
        return next(islice(self.open_dates(after, dt.date.max), n - 1, None)) if n else after

    def opens_on(self, date: dt.date) -> dt.datetime | None:
        """Return the first instant of what opens on a local date (UTC); None: nothing does."""
        return min((opens for opens, _ in _day_of(self, date).spans), default=None)

    def is_closed(self, date: dt.date) -> bool:
        """Tell whether a local date is a closed date or a holiday, whatever its weekday."""
        return date in self.closed_dates or next(self.holidays_on(date), None) is not None

    def holidays_on(self, date: dt.date) -> Iterator[str]:
        """Yield the names of the holidays on a local date, each with its region."""
        for region in self.holidays:
            if (name := public_holidays.in_year(region, date.year).get(date)) is not None:
                yield f"{name} ({region})"

    def next_midnight(self, at: dt.datetime) -> dt.datetime:
        """Return the next start of a local date (UTC)."""
        return midnight(self.zone, self.local_date(at) + _DAY)

    def day_end(self, at: dt.datetime) -> dt.datetime:
        """Return when sending ends for today (UTC): local midnight, or, if that is sooner, the last end of the day
        whose interval contains `at`. Raises ValueError outside the window.
        """
        today = self.local_date(at)
        days = (_day_of(self, day) for day in (today - _DAY, today))
        return min(max(day.closes for day in days if day.contains(at)), self.next_midnight(at))

    def open_today(self, at: dt.datetime, zone: str = "") -> OpenTime:
        """Return the open time of the local date of `at`, up to `day_end`; with a zone, only that in which its local
        time is in the window, too. Raises ValueError outside the window.
        """
        return _open_time(self, midnight(self.zone, self.local_date(at)), self.day_end(at), zone)

    def opens_today(self, at: dt.datetime, zone: str = "") -> bool:
        """Tell whether it is open at `at` and, with a zone, then or later today in its local time, too."""
        return self.contains(at) and (not zone or self.open_today(at, zone).soonest(at) is not None)

    def soonest(self, at: dt.datetime, zone: str = "") -> dt.datetime | None:
        """Return the first instant at or after `at` at which the window is open, with a zone: in its local time, too;
        None if that is not within a year.
        """
        return _soonest(self, at if self.contains(at) else self.next_opening(at), zone)

    def open_time(self, start: dt.datetime, end: dt.datetime) -> OpenTime:
        """Return the open time from `start` to `end`."""
        first, last = self.local_date(start) - _DAY, self.local_date(end)
        dates = (first + i * _DAY for i in range((last - first).days + 1))
        spans = (span for date in dates for span in _day_of(self, date).spans)
        return _merged((max(opens, start), min(closes, end)) for opens, closes in spans)

    def _around(self, at: dt.datetime) -> Iterator[Span]:
        today = self.local_date(at)
        yield from _day_of(self, today - _DAY).spans
        yield from _day_of(self, today).spans


@dataclass(frozen=True)
class _Day:
    """What opens on one date."""

    spans: tuple[Span, ...]

    @property
    def closes(self) -> dt.datetime:
        return max(closes for _, closes in self.spans)

    def contains(self, at: dt.datetime) -> bool:
        return any(opens <= at < closes for opens, closes in self.spans)


@functools.lru_cache(maxsize=1024)
def _day_of(window: SendingWindow, date: dt.date) -> _Day:
    if date.weekday() not in window.days or window.is_closed(date):
        return _Day(())
    all_day = not window.intervals or any(start == end for start, end in window.intervals)
    spans = []
    for start, end in (_WHOLE_DAY,) if all_day else window.intervals:
        next_day = date + _DAY
        opens = instant(window.zone, date, start, fold=0)
        closes = instant(window.zone, next_day if end <= start else date, end, fold=1)
        if window.is_closed(next_day):
            closes = min(closes, midnight(window.zone, next_day))
        # An interval inside the hour that is skipped in spring is empty.
        if opens < closes:
            spans.append((opens, closes))
    return _Day(tuple(spans))


@functools.lru_cache(maxsize=1024)
def _in_zone(window: SendingWindow, zone: str) -> SendingWindow | None:
    return replace(window, zone=ZoneInfo(zone)) if is_known(zone) else None


@functools.lru_cache(maxsize=4096)
def _open_time(window: SendingWindow, start: dt.datetime, end: dt.datetime, zone: str) -> OpenTime:
    here = window.open_time(start, end)
    if not zone:
        return here
    there = window.in_zone(zone)
    return here & there.open_time(start, end) if there is not None else OpenTime(())


@functools.lru_cache(maxsize=4096)
def _soonest(window: SendingWindow, at: dt.datetime, zone: str) -> dt.datetime | None:
    start = at
    while start < at + _YEAR:
        until = start + _WEEK
        if (found := _open_time(window, start, until, zone)).spans:
            return found.spans[0][0]
        start = until
    return None


def _merged(spans: Iterable[Span]) -> OpenTime:
    merged: list[Span] = []
    for opens, closes in sorted(span for span in spans if span[0] < span[1]):
        if merged and opens <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], closes))
        else:
            merged.append((opens, closes))
    return OpenTime(tuple(merged))
