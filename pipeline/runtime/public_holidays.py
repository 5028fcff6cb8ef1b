"""Public holidays of countries and their parts, as the library `holidays` knows them. Pure.

A region is an ISO 3166 code: of a country (`DE`), or of a part of one (`DE-BY`). Public holidays only, with the days on
which one is observed that falls on a weekend; not bank, school or half holidays.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it takes longer to import than all settings to read
    from holidays import HolidayBase

ALLOWED = "allowed: countries and parts of countries (ISO 3166) such as DE, DE-BY or US,GB-SCT"


def region_of(text: str) -> str:
    """Return a region as it is written: in upper case, a part as the library names it.

    Raises:
        ValueError: no holidays are known of it; the message says what is allowed.
    """
    country, dash, part = text.strip().partition("-")
    country = country.upper()
    if not re.fullmatch("[A-Z]{2}", country):
        raise ValueError(ALLOWED)
    known = _of(country)
    if known is None:
        raise ValueError(f"no holidays of {country} are known; {ALLOWED}")
    if not dash:
        return country
    parts = {name.upper(): name for name in known.subdivisions}
    if part.upper() not in parts:
        which = f"the parts of {country} are {', '.join(known.subdivisions)}" if parts else f"{country} has no parts"
        raise ValueError(f"{which}; {ALLOWED}")
    return f"{country}-{parts[part.upper()]}"


@functools.lru_cache(maxsize=1024)
def in_year(region: str, year: int) -> Mapping[dt.date, str]:
    """Return a region's public holidays in a year, with their names; none for a year that the library does not know."""
    country, _, part = region.partition("-")
    found = _of(country, part or None, year)
    return {} if found is None else dict(found)


def _of(country: str, part: str | None = None, year: int | None = None) -> HolidayBase | None:
    from holidays import country_holidays

    try:
        # Without a language, names are in that of whoever looks.
        return country_holidays(country, subdiv=part, years=year, language="en_US")
    except NotImplementedError:
        return None
