"""A day as a picture (SVG): where on the line of the day each mark, span and edge stands. Pure.

Places are shares of the line's width, so that the picture is as wide as there is room. What happened differs by shape;
colours only repeat it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from pipeline.reports.account_spans import Span
from pipeline.reports.happened import Happened
from pipeline.reports.timeline import AccountDay, Day, Mark

#: Words for each thing that happened, in the order of the legend.
WORDS = {
    Happened.SENT: "sent",
    Happened.PLANNED: "planned",
    Happened.BOUNCED: "bounced",
    Happened.CAME_BACK: "came back by mail",
    Happened.REFUSED: "refused by policy or for its content",
    Happened.PUT_OFF: "put off: tried again later",
    Happened.TROUBLE: "trouble of the account",
    Happened.IN_DOUBT: "in doubt",
    Happened.BEING_SENT: "being sent",
}
#: Minutes in which marks of one kind are drawn as one: the first that leaves no more marks than there is room for.
_TOGETHER = (5, 10, 20, 30, 60)
MOST_MARKS = 1_500
#: Hours between two lines.
_HOURS = 3


@dataclass(frozen=True)
class Hour:
    """A line of the hours: where, and what stands at it."""

    x: str
    words: str


@dataclass(frozen=True)
class Band:
    """A part of the line: where it begins, and how wide it is."""

    x: str
    width: str
    kind: str


@dataclass(frozen=True)
class Sign:
    """A mark, or several of one kind close together: where, and what."""

    x: str
    what: Happened


@dataclass(frozen=True)
class Lane:
    """An account's line."""

    account: AccountDay
    bands: tuple[Band, ...]
    signs: tuple[Sign, ...]


class DayPicture:
    """The picture of a day.

    Attributes:
        open: where the window is open.
        edges: where it opens or closes on this day.
        hours: the lines of the hours, at whole hours of the wall clock.
        now: where it is now; None on another day.
        lanes: a line for each account.
        legend: what is to be seen, with its words.
    """

    def __init__(self, day: Day) -> None:
        """Draw it."""
        self._day, self._length = day, (day.end - day.start).total_seconds()
        self.open = tuple(self._band(span.opens, span.closes, "open") for span in day.open)
        edges = {at for span in day.open for at in (span.opens, span.closes) if day.start < at < day.end}
        self.edges = tuple(map(self._x, sorted(edges)))
        self.hours = tuple(self._hours())
        self.now = self._x(day.now) if day.start <= day.now < day.end else None
        minutes = next((m for m in _TOGETHER if self._number(m) <= MOST_MARKS), _TOGETHER[-1])
        self.lanes = tuple(
            Lane(account, tuple(map(self._span, (*day.paused, *account.spans))), tuple(self._signs(account, minutes)))
            for account in day.accounts
        )
        seen = {sign.what for lane in self.lanes for sign in lane.signs}
        self.legend = [(what, words) for what, words in WORDS.items() if what in seen]
        self.rests = any(lane.bands for lane in self.lanes)

    def _x(self, at: dt.datetime) -> str:
        share = (at - self._day.start).total_seconds() / self._length
        return f"{100 * min(max(share, 0), 1):.5g}%"

    def _band(self, start: dt.datetime, end: dt.datetime, kind: str) -> Band:
        return Band(self._x(start), f"{100 * (end - start).total_seconds() / self._length:.5g}%", kind)

    def _span(self, span: Span) -> Band:
        return self._band(span.start, span.end, str(span.why))

    def _hours(self) -> Iterator[Hour]:
        at, zone = self._day.start, ZoneInfo(self._day.zone)
        while at < self._day.end:
            local = at.astimezone(zone)
            if local.minute == 0 and local.hour % _HOURS == 0:
                yield Hour(self._x(at), f"{local:%H:%M}")
            at += dt.timedelta(minutes=30)

    def _number(self, minutes: int) -> int:
        return sum(len({self._step(mark, minutes) for mark in account.marks}) for account in self._day.accounts)

    def _step(self, mark: Mark, minutes: int) -> tuple[int, Happened]:
        """Return what marks have in common that are drawn as one."""
        return int((mark.at - self._day.start).total_seconds() // (minutes * 60)), mark.what

    def _signs(self, account: AccountDay, minutes: int) -> Iterator[Sign]:
        drawn = set()
        for mark in account.marks:
            if (step := self._step(mark, minutes)) not in drawn:
                drawn.add(step)
                yield Sign(self._x(mark.at), mark.what)
