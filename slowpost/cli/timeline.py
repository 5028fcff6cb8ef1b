"""`timeline`: a day in characters, or the figures of some days."""

from __future__ import annotations

import datetime as dt
import shutil
import sys
from collections.abc import Iterator
from dataclasses import fields
from typing import Any
from zoneinfo import ZoneInfo

import click

from pipeline.reports.account_spans import Span, Why
from pipeline.reports.happened import Figures, Happened
from pipeline.reports.reasons import local
from pipeline.reports.timeline import AccountDay, Day, Days
from slowpost.cli.output import cell, emit, show_table
from slowpost.cli.saying import say
from slowpost.cli.shared import as_json, with_database

#: What stands for what happened; where several happened in one cell, the first of these.
SIGNS = {
    Happened.IN_DOUBT: "?",
    Happened.BOUNCED: "x",
    Happened.CAME_BACK: "X",
    Happened.REFUSED: "!",
    Happened.TROUBLE: "#",
    Happened.PUT_OFF: "~",
    Happened.BEING_SENT: ">",
    Happened.SENT: "●",
    Happened.PLANNED: "○",
}
_OF_SPANS = {Why.RESTS: "▒", Why.OFF: "░", Why.PAUSED: "░"}
#: Cells of a day where there is room, and where there is not: each is a quarter of an hour, or half an hour.
_CELLS, _FEWER_CELLS = 96, 48
#: Columns beside the cells: a name and its figures.
_NAME, _USED = 24, 9
#: Columns where nobody looks at a terminal.
_WIDE = 200
_EVERY_HOURS = 3


@click.command()
@click.argument("date", type=click.DateTime(["%Y-%m-%d"]), required=False)
@click.option("--days", type=click.IntRange(1, 366), help="The figures of so many days, up to that date, instead.")
@as_json
@with_database
def timeline(date: dt.datetime | None, days: int | None, as_json: bool) -> None:
    """Show a day (today, or DATE, such as 2026-05-31) as it was and as it is going to be, in the window's zone: a line
    for each account.
    """
    from pipeline.reports import timeline as reports

    on = reports.today() if date is None else date.date()
    if days is not None:
        some = reports.days(on - dt.timedelta(days=days - 1), on)
        emit(some, as_json, lambda: _show_days(some))
        return
    found = reports.day(on)
    emit(found, as_json, lambda: _show(found))


def _show(day: Day) -> None:
    opened = " and ".join(f"{_clock(day, span.opens)} to {_clock(day, span.closes)}" for span in day.open)
    say(f"{day.date:%a %Y-%m-%d} ({day.zone}), the window is {f'open {opened}' if opened else 'closed'}")
    if not day.accounts:
        say("no accounts")
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDE
    cells = _CELLS if width >= _NAME + _USED + _CELLS else _FEWER_CELLS
    say(f"{'':{_NAME + _USED}}{_hours(day, cells)}")
    for account in day.accounts:
        used = f"{account.used}/{account.limit}"
        say(f"{_cut(account.name, _NAME - 1):{_NAME}}{used:{_USED}}{_line(day, account, cells)}")
    seen = {mark.what for account in day.accounts for mark in account.marks}
    words = [f"{sign} {str(what).replace('_', ' ')}" for what, sign in SIGNS.items() if what in seen]
    say("; ".join([*words, "· window open, ▒ rests, ░ off or paused, | now"]))
    for span in day.paused:
        say(f"everything {_in_words(day, span)}")
    for account in day.accounts:
        for span in account.spans:
            say(f"{account.name} {_in_words(day, span)}")
    if day.planned_until is not None:
        say(f"the plan goes until {local(day.planned_until, ZoneInfo(day.zone))}, and no further")


def _line(day: Day, account: AccountDay, cells: int) -> str:
    """Return a day of an account, one character for each part of it."""
    length = (day.end - day.start) / cells
    parts = [" "] * cells

    def put(sign: str, start: dt.datetime, end: dt.datetime) -> None:
        first = max(0, int((start - day.start) / length))
        for number in range(first, min(cells, -int(-(end - day.start) // length))):
            parts[number] = sign

    for span in day.open:
        put("·", span.opens, span.closes)
    for pause in (*day.paused, *account.spans):
        put(_OF_SPANS[pause.why], pause.start, pause.end)
    if day.start <= day.now < day.end:
        parts[int((day.now - day.start) / length)] = "|"
    strongest = list(SIGNS)
    for mark in sorted(account.marks, key=lambda mark: -strongest.index(mark.what)):
        parts[min(cells - 1, int((mark.at - day.start) / length))] = SIGNS[mark.what]
    return "".join(parts).rstrip()


def _hours(day: Day, cells: int) -> str:
    length, line = (day.end - day.start) / cells, ""
    at, zone = day.start, ZoneInfo(day.zone)
    while at < day.end:
        if (clock := at.astimezone(zone)).minute == 0 and clock.hour % _EVERY_HOURS == 0:
            line = line.ljust(int((at - day.start) / length)) + f"{clock:%H}"
        at += dt.timedelta(minutes=30)
    return line


def _in_words(day: Day, span: Span) -> str:
    until = "the end of the day" if span.end == day.end else _clock(day, span.end)
    because = f": {span.reason}" if span.reason else ""
    return f"{'is ' if span.why is not Why.RESTS else ''}{span.why} {_clock(day, span.start)} to {until}{because}"


def _clock(day: Day, at: dt.datetime) -> str:
    return f"{at.astimezone(ZoneInfo(day.zone)):%H:%M}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _show_days(days: Days) -> None:
    columns = {"date": "DATE"} | {field.name: field.name.upper().replace("_", " ") for field in fields(Figures)}
    show_table(_rows(days), columns | {"note": "NOTE"}, "no days")


def _rows(days: Days) -> Iterator[dict[str, Any]]:
    dates = (days.first + dt.timedelta(days=i) for i in range((days.last - days.first).days + 1))
    for date in dates:
        its = Figures.summed(day for day in days.days if day.date == date)
        yield {"date": cell(date), "note": "no window" if date in days.closed else ""} | vars(its)
