"""Hours of a day as people write them, such as 09:00-11:00,13:00-15:00. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

Interval = tuple[dt.time, dt.time]

_DAY = 24 * 60


def written(intervals: Sequence[Interval]) -> str:
    """Return intervals as MAIL_WINDOW_HOURS is written."""
    return ",".join(f"{start:%H:%M}-{end:%H:%M}" for start, end in intervals)


def outside(intervals: Sequence[Interval], window: Sequence[Interval]) -> list[Interval]:
    """Return those intervals of which some minute is in none of the window's."""
    is_open = set().union(*map(_minutes, window))
    return [interval for interval in intervals if not _minutes(interval) <= is_open]


def _minutes(interval: Interval) -> set[int]:
    """Return the minutes of the day in an interval; one that ends as it starts is the whole day."""
    start, end = (at.hour * 60 + at.minute for at in interval)
    return {minute % _DAY for minute in range(start, end if start < end else end + _DAY)}
