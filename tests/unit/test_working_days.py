"""Working days: the dates on which the window opens, counted over weekdays, closed dates and public holidays."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.throttle.window import SendingWindow
from tests.unit.random_days import BERLIN, DAY, holds_for, midnight, spans, windows


@holds_for(600)
@given(windows(), st.integers(-30, 30), st.integers(0, 30), st.booleans())
def test_the_nth_open_date_is_the_one_up_to_which_so_many_have_opened(
    random: tuple[SendingWindow, dt.datetime], shift: int, n: int, in_america: bool
) -> None:
    window, start = random
    after = window.local_date(start) + shift * DAY
    same = replace(window, closed_dates=window.closed_dates | set(IN_AMERICA)) if in_america else window
    window = replace(window, holidays=("US",)) if in_america else window

    found = window.open_date(after, n)

    # By code that knows no holidays, and counts quarters of an hour.
    opening = [d for i in range(1, (found - after).days + 1) if spans(same, same.zone.key, d := after + i * DAY)]
    assert len(opening) == n
    assert found == (opening[-1] if n else after)
    first = min((opens for opens, _ in spans(same, same.zone.key, found)), default=None)
    assert window.opens_on(found) == first


def test_a_friday_is_followed_by_monday_and_christmas_by_what_is_neither_weekend_nor_holiday() -> None:
    assert BUSINESS.open_date(dt.date(2026, 6, 5), 1) == dt.date(2026, 6, 8)
    assert BUSINESS.open_date(dt.date(2026, 12, 23), 2) == dt.date(2026, 12, 28)
    assert BUSINESS.open_date(dt.date(2026, 12, 25), 0) == dt.date(2026, 12, 25)
    assert BUSINESS.opens_on(dt.date(2026, 12, 25)) is None
    assert BUSINESS.opens_on(dt.date(2026, 12, 28)) == midnight("Europe/Berlin", dt.date(2026, 12, 28)) + 9 * HOUR


def test_a_number_of_days_below_zero_is_refused() -> None:
    with pytest.raises(ValueError):
        BUSINESS.open_date(dt.date(2026, 6, 5), -1)


HOUR = dt.timedelta(hours=1)
BUSINESS = SendingWindow(((dt.time(9), dt.time(17)),), BERLIN, frozenset(range(5)), holidays=("DE",))
#: Of the months around the days that are drawn.
IN_AMERICA = (
    dt.date(2026, 2, 16), dt.date(2026, 5, 25), dt.date(2026, 6, 19), dt.date(2026, 7, 3), dt.date(2026, 7, 4),
    dt.date(2026, 9, 7), dt.date(2026, 10, 12), dt.date(2026, 11, 11), dt.date(2026, 11, 26), dt.date(2026, 12, 25),
    dt.date(2027, 1, 1), dt.date(2027, 1, 18),
)  # fmt: skip
