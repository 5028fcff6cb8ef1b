"""Some days of an account as a small picture (SVG): a bar for each day, up for what was sent, down for what was not.
Pure.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from pipeline.reports.happened import DayFigures
from pipeline.reports.timeline import Days

#: Units of a day's width, of its bar, and of the heights above and below the line.
DAY, BAR, UP, DOWN = 8, 6, 24, 12


class DaysPicture:
    """The picture of an account.

    Attributes:
        width: its width in units.
        sent: the path of the bars of what was sent.
        not_sent: the path of those of what was bounced, refused or failed by the account's fault.
        closed: the path of the days on which the window does not open.
        most: the largest figure, at which all bars are measured.
        in_all: mails that were sent.
        bad: what was not.
    """

    def __init__(self, days: Days, account_id: int) -> None:
        """Draw it."""
        of_account = {day.date: day for day in days.days if day.account_id == account_id}
        dates = [days.first + dt.timedelta(days=i) for i in range((days.last - days.first).days + 1)]
        self.width = DAY * len(dates)
        self.most = max((max(day.sent, _bad(day)) for day in days.days), default=0)
        self.in_all = sum(day.sent for day in of_account.values())
        self.bad = sum(map(_bad, of_account.values()))
        self.sent = "".join(self._bars(dates, {date: day.sent for date, day in of_account.items()}, UP, -1))
        self.not_sent = "".join(self._bars(dates, {date: _bad(day) for date, day in of_account.items()}, DOWN, 1))
        self.closed = "".join(f"M{dates.index(date) * DAY} 0v{UP + DOWN}h{DAY}v-{UP + DOWN}z" for date in days.closed)

    def _bars(self, dates: list[dt.date], figures: dict[dt.date, int], height: int, down: int) -> Iterator[str]:
        for number, date in enumerate(dates):
            if count := figures.get(date):
                # What is there at all can be seen.
                size = down * max(1, round(height * count / self.most))
                yield f"M{number * DAY + (DAY - BAR) // 2} {UP}v{size}h{BAR}v{-size}z"


def _bad(day: DayFigures) -> int:
    return day.bounced + day.came_back + day.refused + day.put_off + day.trouble + day.in_doubt
