"""Public holidays: which days they are, how a region is written, and that they close the window."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from pipeline.runtime import public_holidays
from pipeline.runtime.public_holidays import in_year
from pipeline.runtime.settings import Settings
from pipeline.throttle.window import SendingWindow


def test_nothing_opens_on_a_public_holiday_and_what_was_open_closes_at_its_midnight() -> None:
    day = SendingWindow.from_settings(Settings(mail_window_holidays="DE-BY", mail_window_timezone="Europe/Berlin"))  # type: ignore[arg-type]
    assert day.next_opening(berlin("2026-06-03 09:00")) == berlin("2026-06-05 08:00")
    assert list(day.holidays_on(dt.date(2026, 6, 4))) == ["Corpus Christi (DE-BY)"]
    night = replace(day, intervals=((dt.time(22), dt.time(6)),))
    assert night.closes_at(berlin("2026-06-03 23:00")) == berlin("2026-06-04 00:00")
    assert night.next_opening(berlin("2026-06-03 23:00")) == berlin("2026-06-05 22:00")


def test_a_part_of_a_country_has_holidays_of_its_own_and_a_contacts_zone_has_the_same_dates() -> None:
    corpus_christi = dt.date(2026, 6, 4)
    assert corpus_christi in in_year("DE-BY", 2026)
    assert corpus_christi not in in_year("DE", 2026)
    window = SendingWindow((), ZoneInfo("Europe/Berlin"), frozenset(range(7)), holidays=("GB-SCT", "DE-BY"))
    there = window.in_zone("Asia/Tokyo")
    assert there is not None
    assert there.opens_on(corpus_christi) is None
    assert there.opens_on(dt.date(2026, 11, 30)) is None


def test_a_holiday_on_a_weekend_is_kept_on_the_day_on_which_it_is_observed() -> None:
    assert in_year("US", 2026)[dt.date(2026, 7, 3)] == "Independence Day (observed)"
    # Of the next year.
    assert dt.date(2027, 12, 31) in in_year("US", 2027)


def test_days_that_are_no_public_holidays_and_years_that_nobody_knows_are_open() -> None:
    assert dt.date(2026, 12, 24) not in in_year("DE", 2026)
    assert in_year("DE", 9000) == in_year("DE", 1) == {}


def test_names_are_english_whoever_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE", "de")
    in_year.cache_clear()
    assert in_year("DE", 2026)[dt.date(2026, 12, 25)] == "Christmas Day"


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("XX", r"no holidays of XX are known; allowed: "),
        ("US,DE-XX", r"the parts of DE are BB, BE, .*; allowed: "),
        ("VA-1", r"VA has no parts; allowed: "),
    ],
)
def test_a_region_that_is_not_known_is_refused_with_what_there_is(written: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Settings(mail_window_holidays=written)  # type: ignore[arg-type]


def test_a_year_is_looked_up_once_however_many_dates_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    in_year.cache_clear()
    looked_up: list[int | None] = []
    look_up = public_holidays._of

    def counted(country: str, part: str | None = None, year: int | None = None) -> object:
        looked_up.append(year)
        return look_up(country, part, year)

    monkeypatch.setattr(public_holidays, "_of", counted)
    window = SendingWindow((), ZoneInfo("Europe/Berlin"), frozenset(range(5)), holidays=("DE-BY",))
    assert len(list(window.open_dates(dt.date(2025, 12, 31), dt.date(2029, 1, 1)))) > 700
    assert sorted(looked_up) == [2026, 2027, 2028]


def berlin(text: str) -> dt.datetime:
    """Return a wall-clock time of Berlin as UTC."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin")).astimezone(dt.UTC)
