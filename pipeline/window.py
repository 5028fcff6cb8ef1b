"""The window: the hours and weekdays in which sending is allowed, in a time zone. Pure.

All arithmetic is on the wall clock of the zone. A start that does not exist (spring) is the first instant after the
gap; of an ambiguous time (autumn) a start takes the first and an end the second.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from .settings import Settings

_DAY = dt.timedelta(days=1)
_WHOLE_DAY = (dt.time(0), dt.time(0))
_SECOND = dt.timedelta(seconds=1)


@dataclass(frozen=True)
class SendingWindow:
    """When sending is allowed.

    Attributes:
        intervals: wall-clock start (inside) and end (outside) of each; an end before its start is on the next day, and
            the interval belongs to the day on which it opens. None at all, or one that ends as it starts: open all day.
        zone: whose wall clock, and whose dates for daily limits.
        days: weekdays on which intervals open, 0 is Monday; at least one.
    """

    intervals: tuple[tuple[dt.time, dt.time], ...]
    zone: ZoneInfo
    days: frozenset[int]

    def __post_init__(self) -> None:
        """Raise ValueError for a window that would never open."""
        if not self.days & frozenset(range(7)):
            raise ValueError("a window needs a weekday, 0 (Monday) to 6, on which it opens")

    @classmethod
    def from_settings(cls, settings: Settings) -> SendingWindow:
        """Return the window of the settings."""
        interval = (settings.mail_window_start, settings.mail_window_end)
        return cls((interval,), settings.mail_window_timezone, settings.mail_window_days)

    def contains(self, at: dt.datetime) -> bool:
        """Tell whether sending is allowed at `at`."""
        return any(opens <= at < closes for opens, closes in self._around(at))

    def closes_at(self, at: dt.datetime) -> dt.datetime:
        """Return when the interval that holds `at` ends (UTC). Raises ValueError outside the window."""
        return max(closes for opens, closes in self._around(at) if opens <= at < closes)

    def next_opening(self, at: dt.datetime) -> dt.datetime:
        """Return the first instant after `at` at which an interval opens (UTC)."""
        day = self.local_date(at)
        # An interval that lies in the gap of spring ends as it opens: it is no opening.
        while not (openings := [opens for opens, closes in self._of_day(day) if at < opens < closes]):
            day += _DAY
        return min(openings)

    def local_date(self, at: dt.datetime) -> dt.date:
        """Return the date in the window's zone: the one that daily limits count by."""
        return at.astimezone(self.zone).date()

    def next_midnight(self, at: dt.datetime) -> dt.datetime:
        """Return the next start of a local date (UTC)."""
        return self._instant(self.local_date(at) + _DAY, dt.time(0), fold=0)

    def day_end(self, at: dt.datetime) -> dt.datetime:
        """Return the sooner of the window's end and local midnight (UTC). Raises ValueError outside the window."""
        return min(self.closes_at(at), self.next_midnight(at))

    def next_chance(self, at: dt.datetime) -> dt.datetime:
        """Return the next instant after today's end at which sending is allowed: midnight in an open window, else
        an opening.
        """
        midnight = self.next_midnight(at)
        opening = self.next_opening(at)
        return midnight if midnight < opening and self.contains(midnight) else opening

    def _around(self, at: dt.datetime) -> Iterator[tuple[dt.datetime, dt.datetime]]:
        today = self.local_date(at)
        yield from self._of_day(today - _DAY)
        yield from self._of_day(today)

    def _of_day(self, day: dt.date) -> Iterator[tuple[dt.datetime, dt.datetime]]:
        if day.weekday() not in self.days:
            return
        all_day = not self.intervals or any(start == end for start, end in self.intervals)
        for start, end in (_WHOLE_DAY,) if all_day else self.intervals:
            last_day = day + _DAY if end <= start else day
            yield self._instant(day, start, fold=0), self._instant(last_day, end, fold=1)

    def _instant(self, day: dt.date, time: dt.time, *, fold: int) -> dt.datetime:
        wall = dt.datetime.combine(day, time)
        # Reading a time that does not exist with both folds gives an instant before and one after the gap.
        before, after = (wall.replace(tzinfo=self.zone, fold=f).astimezone(dt.UTC) for f in (1, 0))
        if before < after:
            return self._end_of_gap(before, after)
        return wall.replace(tzinfo=self.zone, fold=fold).astimezone(dt.UTC)

    def _end_of_gap(self, low: dt.datetime, high: dt.datetime) -> dt.datetime:
        """Return the second in (low, high] at which the zone's offset changes."""
        offset = low.astimezone(self.zone).utcoffset()
        while high - low > _SECOND:
            middle = low + (high - low) / 2
            middle = middle.replace(microsecond=0)
            if middle.astimezone(self.zone).utcoffset() == offset:
                low = middle
            else:
                high = middle
        return high
