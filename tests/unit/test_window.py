"""The sending window: what is inside, when it opens next, and what clocks that change do to it."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pipeline.runtime.settings import Settings
from pipeline.throttle.window import SendingWindow


@pytest.mark.parametrize(
    ("time", "inside"),
    [("07:59:59", False), ("08:00:00", True), ("16:59:59", True), ("17:00:00", False)],
)
def test_start_is_inside_and_end_is_outside(time: str, inside: bool) -> None:
    assert window().contains(local(f"2026-06-02 {time}")) is inside


def test_friday_evening_waits_until_monday_morning() -> None:
    weekdays = window(days=WEEKDAYS)
    friday = local("2026-06-05 17:05")
    assert not weekdays.contains(friday)
    assert weekdays.next_opening(friday) == local("2026-06-08 08:00")
    assert not weekdays.contains(local("2026-06-06 12:00"))


def test_before_the_start_it_opens_today() -> None:
    assert window().next_opening(local("2026-06-02 03:00")) == local("2026-06-02 08:00")


def test_at_the_opening_itself_the_next_one_is_tomorrows() -> None:
    assert window().next_opening(local("2026-06-02 08:00")) == local("2026-06-03 08:00")


def test_a_window_may_end_at_midnight() -> None:
    evening = window("18:00", "00:00")
    assert evening.contains(local("2026-06-02 23:59:59"))
    assert not evening.contains(local("2026-06-03 00:00"))
    assert evening.day_end(local("2026-06-02 19:00")) == local("2026-06-03 00:00")
    assert after_today(evening, "2026-06-02 19:00") == local("2026-06-03 18:00")


def test_outside_the_window_there_is_no_end() -> None:
    with pytest.raises(ValueError):
        window().closes_at(local("2026-06-02 17:00"))


def test_an_overnight_window_belongs_to_the_day_on_which_it_opens() -> None:
    fridays = window("22:00", "06:00", frozenset({4}))
    assert fridays.contains(local("2026-06-05 23:00"))
    assert fridays.contains(local("2026-06-06 05:59:59"))
    assert not fridays.contains(local("2026-06-05 05:00"))
    assert not fridays.contains(local("2026-06-06 22:30"))
    assert fridays.closes_at(local("2026-06-05 23:00")) == local("2026-06-06 06:00")
    assert fridays.day_end(local("2026-06-05 23:00")) == local("2026-06-06 00:00")
    assert after_today(fridays, "2026-06-05 23:00") == local("2026-06-06 00:00")


def test_equal_start_and_end_is_always_open() -> None:
    always = SendingWindow.from_settings(Settings(mail_window_start="9", mail_window_end="9"))  # type: ignore[arg-type]
    assert all(always.contains(local(f"2026-06-02 {hour:02}:00")) for hour in range(24))
    assert always.day_end(local("2026-06-02 12:00")) == local("2026-06-03 00:00")
    assert after_today(always, "2026-06-02 12:00") == local("2026-06-03 00:00")


def test_no_interval_at_all_is_always_open_and_no_weekday_at_all_is_refused() -> None:
    always = SendingWindow((), ZONE, WEEKDAYS)
    assert always.contains(local("2026-06-05 23:59:59"))
    assert not always.contains(local("2026-06-06 00:00"))
    assert always.next_opening(local("2026-06-06 00:00")) == local("2026-06-08 00:00")
    with pytest.raises(ValueError, match="needs a weekday"):
        SendingWindow((), ZONE, frozenset())


def test_of_several_intervals_the_next_to_open_counts_in_whatever_order_they_stand() -> None:
    times = [(dt.time(14), dt.time(17)), (dt.time(8), dt.time(12))]
    day = SendingWindow(tuple(times), ZONE, EVERY_DAY)
    assert day.next_opening(local("2026-06-02 07:00")) == local("2026-06-02 08:00")
    assert day.next_opening(local("2026-06-02 12:00")) == local("2026-06-02 14:00")
    assert not day.contains(local("2026-06-02 13:00"))
    assert day.closes_at(local("2026-06-02 09:00")) == local("2026-06-02 12:00")


def test_where_intervals_overlap_the_later_end_counts() -> None:
    times = ((dt.time(8), dt.time(12)), (dt.time(10), dt.time(17)))
    assert SendingWindow(times, ZONE, EVERY_DAY).closes_at(local("2026-06-02 11:00")) == local("2026-06-02 17:00")


def test_one_interval_that_ends_as_it_starts_opens_the_whole_day() -> None:
    times = ((dt.time(8), dt.time(12)), (dt.time(9), dt.time(9)))
    tuesdays = SendingWindow(times, ZONE, frozenset({1}))
    assert tuesdays.contains(local("2026-06-02 00:00"))
    assert tuesdays.closes_at(local("2026-06-02 00:00")) == local("2026-06-03 00:00")


def test_the_last_open_day_of_the_week_has_no_chance_at_midnight() -> None:
    assert after_today(window("00:00", "00:00", WEEKDAYS), "2026-06-05 12:00") == local("2026-06-08 00:00")


def test_the_day_ends_with_its_last_interval_or_at_midnight() -> None:
    day_and_night = SendingWindow(((dt.time(8), dt.time(17)), (dt.time(20), dt.time(6))), ZONE, EVERY_DAY)
    assert day_and_night.day_end(local("2026-06-02 12:00")) == local("2026-06-03 00:00")
    assert day_and_night.day_end(local("2026-06-03 01:00")) == local("2026-06-03 06:00")
    assert after_today(day_and_night, "2026-06-03 01:00") == local("2026-06-03 08:00")


def test_open_time_stands_still_over_lunch() -> None:
    hours = Settings(mail_window_hours="08:00-12:00,13:00-17:00")  # type: ignore[arg-type]
    open_time = SendingWindow.from_settings(hours).open_today(local("2026-06-02 09:00"))
    assert open_time.total == dt.timedelta(hours=8)
    assert open_time.at(dt.timedelta(hours=4)) == local("2026-06-02 13:00")
    assert open_time.offset_of(local("2026-06-02 12:30")) == dt.timedelta(hours=4)
    assert open_time.at(dt.timedelta(hours=8)) is None
    assert open_time.soonest(local("2026-06-02 12:00")) == local("2026-06-02 13:00")


def test_nothing_opens_on_a_closed_date_and_what_was_open_closes_at_its_midnight(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.write_text("# Slowpost rests\n2026-06-04  # a holiday\n\n")
    day = SendingWindow.from_settings(Settings(mail_window_closed_dates=str(closed)))  # type: ignore[arg-type]
    assert day.next_opening(local("2026-06-03 09:00")) == local("2026-06-05 08:00")
    night = replace(window("22:00", "06:00"), closed_dates=frozenset({dt.date(2026, 6, 4)}))
    assert night.closes_at(local("2026-06-03 23:00")) == local("2026-06-04 00:00")
    assert not night.contains(local("2026-06-05 01:00"))
    assert night.next_opening(local("2026-06-03 23:00")) == local("2026-06-05 22:00")


def test_a_file_of_closed_dates_is_refused_with_the_line_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "closed").write_text("2026-12-25\nChristmas\n")
    with pytest.raises(ValueError, match="line 2 is no date"):
        Settings(mail_window_closed_dates=str(tmp_path / "closed"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("zone", "opens"),
    [("Europe/London", "2026-06-03 08:00"), ("America/Los_Angeles", "2026-06-02 12:00"), ("", "2026-06-02 12:00")],
)
def test_with_a_zone_the_window_has_to_be_open_on_both_clocks(zone: str, opens: str) -> None:
    assert window().soonest(local("2026-06-02 12:00"), zone) == local(opens)
    assert window().is_open(local("2026-06-02 12:00"), zone) is (opens == "2026-06-02 12:00")


def test_london_and_new_york_share_an_hour_more_while_only_one_has_changed_its_clocks() -> None:
    def common(date: str) -> dt.timedelta:
        return window().open_today(local(f"{date} 08:00"), "Europe/London").total

    assert [common(date) for date in ("2026-03-02", "2026-03-16", "2026-03-30")] == [
        dt.timedelta(hours=4), dt.timedelta(hours=5), dt.timedelta(hours=4)
    ]  # fmt: skip


def test_zones_without_a_common_hour_have_no_opening_and_one_that_has_it_in_summer_opens_then() -> None:
    assert window().soonest(local("2026-06-02 12:00"), "Asia/Tokyo") is None
    # 08:00 in New York is 16:00 in Moscow in winter and 15:00 in summer
    evening = window("08:00", "16:00")
    assert evening.soonest(local("2026-12-01 12:00"), "Europe/Moscow") == local("2027-03-14 08:00")


def test_a_day_has_23_hours_in_spring_and_25_in_autumn() -> None:
    always = window("00:00", "00:00")
    for date, hours in (("2026-03-08", 23), ("2026-11-01", 25), ("2026-06-02", 24)):
        start = local(f"{date} 00:00")
        assert always.contains(start)
        assert always.next_midnight(start) - start == dt.timedelta(hours=hours)


def test_a_start_that_does_not_exist_is_the_first_instant_after_the_gap() -> None:
    night = window("02:30", "05:00")
    opening = night.next_opening(local("2026-03-08 00:00"))
    assert opening == dt.datetime(2026, 3, 8, 7, 0, tzinfo=dt.UTC)  # 03:00 EDT
    assert night.contains(opening)
    assert not night.contains(opening - dt.timedelta(seconds=1))


def test_an_interval_that_lies_in_the_gap_opens_on_the_next_day() -> None:
    night = window("02:15", "02:45")
    assert night.next_opening(local("2026-03-08 00:00")) == local("2026-03-09 02:15")


def test_where_midnight_comes_twice_the_date_starts_with_the_first() -> None:
    always = SendingWindow((), ZoneInfo("America/Havana"), EVERY_DAY)  # 01:00 becomes 00:00 on 1 November 2026
    eve = dt.datetime(2026, 11, 1, 3, 0, tzinfo=dt.UTC)
    assert always.next_midnight(eve) == dt.datetime(2026, 11, 1, 4, 0, tzinfo=dt.UTC)


def test_of_an_ambiguous_hour_a_start_takes_the_first_and_an_end_the_second() -> None:
    starting, ending = window("01:30", "05:00"), window("00:00", "01:30")
    day = local("2026-11-01 00:30")
    assert starting.next_opening(day) == local("2026-11-01 01:30", fold=0)
    assert ending.closes_at(day) == local("2026-11-01 01:30", fold=1)


def test_the_date_is_the_windows_zones() -> None:
    assert window().local_date(dt.datetime(2026, 6, 2, 3, 0, tzinfo=dt.UTC)) == dt.date(2026, 6, 1)


ZONE = ZoneInfo("America/New_York")
EVERY_DAY = frozenset(range(7))
WEEKDAYS = frozenset(range(5))


def test_the_next_days_opening_is_none_of_the_day_that_is_open() -> None:
    assert window().next_days_opening(local("2026-06-02 10:00")) == local("2026-06-03 08:00")
    assert window().next_days_opening(local("2026-06-02 18:00")) == local("2026-06-03 08:00")
    overnight = window("20:00", "06:00")
    assert overnight.next_days_opening(local("2026-06-03 01:00")) == local("2026-06-03 20:00")


def window(start: str = "08:00", end: str = "17:00", days: frozenset[int] = EVERY_DAY) -> SendingWindow:
    """Return a window in New York."""
    return SendingWindow(((dt.time.fromisoformat(start), dt.time.fromisoformat(end)),), ZONE, days)


def local(text: str, fold: int = 0) -> dt.datetime:
    """Return a New York wall-clock time as UTC."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZONE, fold=fold).astimezone(dt.UTC)


def after_today(window: SendingWindow, text: str) -> dt.datetime | None:
    """Return when sending goes on after the end of the day of a wall-clock time."""
    return window.soonest(window.day_end(local(text)))
