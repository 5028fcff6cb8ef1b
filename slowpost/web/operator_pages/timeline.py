"""*Timeline*: a day as a picture, with the table behind it; a week and a month in small."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from flask import Blueprint, abort, request

from pipeline.reports import coming, timeline
from pipeline.reports.happened import NOT_WELL, DayFigures, Figures
from slowpost.web.operator_pages.day_picture import WORDS, DayPicture
from slowpost.web.operator_pages.days_picture import DaysPicture
from slowpost.web.operator_pages.frame import page_of, render

blueprint = Blueprint("timeline", __name__)

#: Rows of what did not go well that a page has room for.
NOT_WELL_SHOWN = 50
_LONGEST_MONTH = 31


@blueprint.get("/timeline")
def today() -> str:
    """Show today."""
    return _day(timeline.today())


@blueprint.get("/timeline/<date>")
def day(date: str) -> str:
    """Show a day."""
    return _day(_date(date))


def _day(on: dt.date) -> str:
    page = page_of(timeline.account_ids(on))
    with_plan = request.args.get("plan") == "whole" or coming.is_planned_quickly()
    found = timeline.day(on, page.here, with_plan=with_plan)
    bad = [(account, mark) for account in found.accounts for mark in account.marks if mark.what in NOT_WELL]
    bad.sort(key=lambda one: one[1].at, reverse=True)
    return render(
        "timeline.html",
        live=found.start <= found.now < found.end and "plan" not in request.args,
        day=found,
        picture=DayPicture(found),
        words=WORDS,
        not_well=bad[:NOT_WELL_SHOWN],
        not_well_in_all=len(bad),
        page=page,
        before=_path(on, -1),
        after=_path(on, 1),
        is_today=on == timeline.today(),
    )


def _path(on: dt.date, days: int) -> str:
    return f"/timeline/{on + dt.timedelta(days=days)}"


@blueprint.get("/timeline/week/<date>")
def week(date: str) -> str:
    """Show the week in which a date is, from Monday on."""
    on = _date(date)
    first = on - dt.timedelta(days=on.weekday())
    return _days(first, first + dt.timedelta(days=6), "week")


@blueprint.get("/timeline/month/<date>")
def month(date: str) -> str:
    """Show the month in which a date is."""
    first = _date(date).replace(day=1)
    return _days(first, (first + dt.timedelta(days=_LONGEST_MONTH)).replace(day=1) - dt.timedelta(days=1), "month")


def _days(first: dt.date, last: dt.date, what: str) -> str:
    page = page_of(timeline.account_ids(first))
    found = timeline.days(first, last, page.here)
    return render(
        "timeline_days.html",
        live=first <= found.today <= last,
        days=found,
        what=what,
        page=page,
        rows=_by_date(found.days, first, last),
        pictures=[(account, DaysPicture(found, account.id)) for account in found.accounts],
        before=f"/timeline/{what}/{first - dt.timedelta(days=1)}",
        after=f"/timeline/{what}/{last + dt.timedelta(days=1)}",
    )


def _by_date(days: Sequence[DayFigures], first: dt.date, last: dt.date) -> list[tuple[dt.date, Figures]]:
    """Return the sums of each date."""
    dates = (first + dt.timedelta(days=i) for i in range((last - first).days + 1))
    return [(date, Figures.summed(day for day in days if day.date == date)) for date in dates]


def _date(text: str) -> dt.date:
    try:
        date = dt.date.fromisoformat(text)
    except ValueError:
        abort(404)
    # What is far off has neither a past nor a plan, and some of it no day before or after.
    if not 2000 <= date.year <= 2100:
        abort(404)
    return date
