"""Dates on which the window stays closed although it opens on their weekday, and why. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.throttle.window import SendingWindow


@dataclass(frozen=True)
class ClosedDate:
    """A date on which the window would open, but for a holiday or MAIL_WINDOW_CLOSED_DATES.

    Attributes:
        date: the date, in the window's zone.
        holidays: the public holidays on it, each with its country; none: it is one of MAIL_WINDOW_CLOSED_DATES.
    """

    date: dt.date
    holidays: tuple[str, ...]

    @property
    def in_words(self) -> str:
        """The date and why, for a person."""
        return f"{self.date:%a %Y-%m-%d}, {' and '.join(self.holidays) or 'a closed date'}"


def closed_dates(window: SendingWindow, start: dt.datetime, end: dt.datetime) -> Iterator[ClosedDate]:
    """Yield such dates of the window's zone, from that of `start` to that of `end`."""
    date, last = window.local_date(start), window.local_date(end)
    while date <= last:
        if date.weekday() in window.days and window.is_closed(date):
            yield ClosedDate(date, tuple(window.holidays_on(date)))
        date += dt.timedelta(days=1)
