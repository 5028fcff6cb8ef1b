"""The wall clocks of zones: which instant a date and a time of day are, also where clocks change. Pure."""

from __future__ import annotations

import datetime as dt
import functools
from zoneinfo import ZoneInfo

_SECOND = dt.timedelta(seconds=1)


@functools.lru_cache(maxsize=1024)
def midnight(zone: ZoneInfo, date: dt.date) -> dt.datetime:
    """Return the start of a date (UTC)."""
    return instant(zone, date, dt.time(0), fold=0)


def instant(zone: ZoneInfo, date: dt.date, time: dt.time, *, fold: int) -> dt.datetime:
    """Return the instant of a time of day (UTC). Of one that does not exist it is the end of the gap; of an ambiguous
    one the first (`fold` 0) or the second (1).
    """
    wall = dt.datetime.combine(date, time)
    # Reading a time that does not exist with both folds gives an instant before and one after the gap.
    before, after = (wall.replace(tzinfo=zone, fold=f).astimezone(dt.UTC) for f in (1, 0))
    if before < after:
        return _end_of_gap(zone, before, after)
    return wall.replace(tzinfo=zone, fold=fold).astimezone(dt.UTC)


def _end_of_gap(zone: ZoneInfo, low: dt.datetime, high: dt.datetime) -> dt.datetime:
    """Return the second in (low, high] at which the zone's offset changes."""
    offset = low.astimezone(zone).utcoffset()
    while high - low > _SECOND:
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high
