"""The window: the hours, weekdays and dates on which sending is allowed, in a time zone. Pure.

All arithmetic is on the wall clock of the zone. A start that does not exist (spring) is the first instant after the
gap; of an ambiguous time (autumn) a start takes the first and an end the second.
"""

from __future__ import annotations

import datetime as dt
import errno
import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

from pipeline.runtime import public_holidays
from pipeline.runtime.setting_types import intervals_of
from pipeline.runtime.settings import Settings
from pipeline.throttle.open_time import OpenTime, Span
from pipeline.throttle.wall_clock import instant, midnight

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


class Clock(NamedTuple):
    """What has to be open beside the window: the window's hours in a contact's own `zone` (IANA name), and a campaign's
    own `hours`, written as MAIL_WINDOW_HOURS is, in both zones. "" for none.
    """

    zone: str = ""
    hours: str = ""


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

    def is_open(self, at: dt.datetime, zone: str = "", hours: str = "") -> bool:
        """Tell whether sending is allowed at `at`, with a zone or hours (see `Clock`): by these, too."""
        if not self.contains(at):
            return False
        others = _also(self, Clock(zone, hours))
        return others is not None and all(other.contains(at) for other in others)

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

    def open_today(self, at: dt.datetime, zone: str = "", hours: str = "") -> OpenTime:
        """Return the open time of the local date of `at`, up to `day_end`; with a zone or hours (see `Clock`), only
        that in which these are open, too. Raises ValueError outside the window.
        """
        return _open_time(self, midnight(self.zone, self.local_date(at)), self.day_end(at), Clock(zone, hours))

    def opens_today(self, at: dt.datetime, zone: str = "", hours: str = "") -> bool:
        """Tell whether it is open at `at`, and, with a zone or hours (see `Clock`), by these then or later today."""
        if not self.contains(at):
            return False
        return not (zone or hours) or self.open_today(at, zone, hours).soonest(at) is not None

    def soonest(self, at: dt.datetime, zone: str = "", hours: str = "") -> dt.datetime | None:
        """Return the first instant at or after `at` at which the window is open, with a zone or hours (see `Clock`): by
        these, too; None if that is not within a year.
        """
        return _soonest(self, at if self.contains(at) else self.next_opening(at), Clock(zone, hours))

    def open_time(self, start: dt.datetime, end: dt.datetime) -> OpenTime:
        """Return the open time from `start` to `end`."""
        first, last = self.local_date(start) - _DAY, self.local_date(end)
        dates = (first + i * _DAY for i in range((last - first).days + 1))
        spans = (span for date in dates for span in _day_of(self, date).spans)
        return OpenTime.merged((max(opens, start), min(closes, end)) for opens, closes in spans)

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


@functools.lru_cache(maxsize=1024)
def _also(window: SendingWindow, clock: Clock) -> tuple[SendingWindow, ...] | None:
    """Return the windows that have to be open beside this one; None for a zone that is not known here."""
    own = replace(window, intervals=intervals_of(clock.hours)) if clock.hours else window
    there = own.in_zone(clock.zone) if clock.zone else own
    if there is None:
        return None
    return tuple(other for other in dict.fromkeys((own, there)) if other != window)


@functools.lru_cache(maxsize=4096)
def _open_time(window: SendingWindow, start: dt.datetime, end: dt.datetime, clock: Clock) -> OpenTime:
    others = _also(window, clock)
    if others is None:
        return OpenTime(())
    found = window.open_time(start, end)
    for other in others:
        found &= other.open_time(start, end)
    return found


@functools.lru_cache(maxsize=4096)
def _soonest(window: SendingWindow, at: dt.datetime, clock: Clock) -> dt.datetime | None:
    start = at
    while start < at + _YEAR:
        until = start + _WEEK
        if (found := _open_time(window, start, until, clock)).spans:
            return found.spans[0][0]
        start = until
    return None
