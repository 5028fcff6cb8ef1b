"""The kinds of values that settings have: how each is read from text, and what is allowed. Pure."""

from __future__ import annotations

import datetime as dt
import functools
import ipaddress
import re
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from cryptography.fernet import Fernet
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from models import address
from pipeline.runtime import public_holidays
from pipeline.runtime.clocks import zones
from pipeline.runtime.setting_urls import broker_url, database_url, split

#: A whole number above this is a slip of the finger, and more than a database counts to.
MAX_COUNT = 1_000_000


#: A hundred years: no mail is older, and much more would be before the first date that there is.
MAX_DAYS = 36_500


#: A year.
MAX_SECONDS = 31_536_000


DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _time_of_day(value: Any) -> dt.time:
    if isinstance(value, dt.time):
        return value
    match = re.fullmatch(r"(\d{1,2})(?::(\d{2}))?", str(value).strip())
    if not match or int(match[1]) > 23 or int(match[2] or 0) > 59:
        raise ValueError("allowed: an hour 0 to 23, or HH:MM")
    return dt.time(int(match[1]), int(match[2] or 0))


def _hours(value: Any) -> tuple[tuple[dt.time, dt.time], ...] | None:
    if value in (None, "") or isinstance(value, tuple):
        return value or None
    return intervals_of(str(value))


def intervals_of(text: str) -> tuple[tuple[dt.time, dt.time], ...]:
    """Return start and end of each interval of hours such as 08:00-12:00,13:00-17:00. Raises ValueError."""
    intervals = []
    for part in text.replace(" ", "").split(","):
        start, _, end = part.partition("-")
        try:
            intervals.append((_time_of_day(start), _time_of_day(end)))
        except ValueError:
            raise ValueError("allowed: hours such as 08:00-12:00,13:00-17:00") from None
    return tuple(intervals)


def _closed_dates(value: Any) -> frozenset[dt.date]:
    if isinstance(value, frozenset):
        return value
    text = str(value)
    try:
        return _dates(text.split(",")) if text.strip() else frozenset()
    except ValueError:
        allowed = "allowed: dates such as 2026-12-25,2027-01-01, or a file with one on each line"
    try:
        lines = Path(text).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        raise ValueError(allowed) from None
    dates: set[dt.date] = set()
    for number, line in enumerate(lines, 1):
        date = line.partition("#")[0].strip()
        try:
            dates |= _dates([date] if date else [])
        except ValueError:
            raise ValueError(f"line {number} is no date; {allowed}") from None
    return frozenset(dates)


def _dates(texts: Iterable[str]) -> frozenset[dt.date]:
    return frozenset(dt.date.fromisoformat(text.strip()) for text in texts)


def _holidays(value: Any) -> tuple[str, ...]:
    if isinstance(value, tuple):
        return value
    text = str(value)
    return tuple(dict.fromkeys(public_holidays.region_of(part) for part in text.split(","))) if text.strip() else ()


def _days(value: Any) -> frozenset[int]:
    if isinstance(value, frozenset):
        return value
    result: set[int] = set()
    for part in str(value).lower().replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError("allowed: days such as mon-fri or mon,wed,fri")
        start = DAYS.index(first)
        length = (DAYS.index(last) - start) % 7 + 1 if dash else 1
        result |= {(start + i) % 7 for i in range(length)}
    return frozenset(result)


def _zone(value: Any) -> ZoneInfo:
    if isinstance(value, ZoneInfo):
        return value
    if str(value) not in zones():
        raise ValueError("allowed: an IANA time zone such as Europe/Berlin")
    return ZoneInfo(str(value))


def _dns_servers(value: Any) -> tuple[tuple[str, int], ...]:
    if isinstance(value, tuple):
        return value
    try:
        return tuple(_dns_server(part) for part in str(value).replace(" ", "").split(",")) if value else ()
    except ValueError:
        allowed = "allowed: addresses such as 9.9.9.9, 127.0.0.1:5353 or [2620:fe::fe]:53, comma separated"
        raise ValueError(allowed) from None


def _dns_server(text: str) -> tuple[str, int]:
    try:
        return str(ipaddress.ip_address(text)), 53
    except ValueError:
        host, _, port = text.rpartition(":")
    if not 0 < int(port) < 65_536:
        raise ValueError(port)
    return str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))), int(port)


def _on_off(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() not in ("on", "off"):
        raise ValueError("allowed: on or off")
    return str(value).lower() == "on"


def _backoff(value: Any) -> tuple[int, ...]:
    if isinstance(value, tuple):
        return value
    parts = str(value).replace(" ", "").split(",")
    if not all(re.fullmatch(r"\d{1,6}", p) and int(p) > 0 for p in parts):
        raise ValueError("allowed: whole seconds above 0, comma separated, such as 60,300,900")
    return tuple(int(p) for p in parts)


def _fernet_keys(value: SecretStr | None) -> SecretStr | None:
    try:
        for key in value.get_secret_value().split(",") if value else ():
            Fernet(key.strip())
    except ValueError:
        raise ValueError("allowed: Fernet keys (32 bytes, URL-safe base64), comma separated, newest first") from None
    return value


def _web_address(value: str | None, schemes: tuple[str, ...] = ("https",)) -> str | None:
    parts = split(value) if value and _fits_a_header(value) else None
    if value is not None and not (parts and parts.scheme in schemes and parts.hostname):
        raise ValueError(f"allowed: {' or '.join(schemes)}://HOST/PATH, in ASCII")
    return value


def _mailto(value: str | None) -> str | None:
    if value is not None and not (_fits_a_header(value) and address.is_valid(value.partition("?")[0])):
        raise ValueError("allowed: an address, perhaps with ?subject=TEXT, in ASCII")
    return value


def _ehlo_name(value: str | None) -> str | None:
    # RFC 5321 4.1.1.1: a full name, or an address literal (4.1.3).
    label = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    is_name = value is None or (len(value) <= 253 and re.fullmatch(rf"({label}\.)+(?!\d+$){label}", value))
    if not (is_name or _is_address_literal(value or "")):
        raise ValueError("allowed: a full host name such as mail.example.com, or an address such as [192.0.2.1]")
    return value


def _is_address_literal(value: str) -> bool:
    found = re.fullmatch(r"\[(IPv6:)?([0-9A-Fa-f.:]+)\]", value)
    try:
        return found is not None and ipaddress.ip_address(found[2]).version == (6 if found[1] else 4)
    except ValueError:
        return False


def _ca_file(value: str | None) -> str | None:
    try:
        if value is not None:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
    except (OSError, ValueError):
        raise ValueError("allowed: a file of certificates in PEM") from None
    return value


def _fits_a_header(value: str) -> bool:
    # RFC 2369 2: the URL is written in angle brackets.
    return re.fullmatch(r"[!-;=?-~]+", value) is not None


def _text(value: str | None) -> str | None:
    # What the environment has that is not UTF-8 comes as lone surrogates, which nothing can store or send.
    if value is not None and any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("allowed: text in UTF-8")
    return value


def _empty_is_none(value: Any) -> Any:
    return None if value == "" else value


TimeOfDay = Annotated[dt.time, NoDecode, BeforeValidator(_time_of_day)]


Hours = Annotated[tuple[tuple[dt.time, dt.time], ...] | None, NoDecode, BeforeValidator(_hours)]


ClosedDates = Annotated[frozenset[dt.date], NoDecode, BeforeValidator(_closed_dates)]


Holidays = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_holidays)]


Zone = Annotated[ZoneInfo, NoDecode, BeforeValidator(_zone)]


Switch = Annotated[bool, BeforeValidator(_on_off)]


OptionalText = Annotated[str | None, BeforeValidator(_empty_is_none), AfterValidator(_text)]


DatabaseUrl = Annotated[str, AfterValidator(database_url)]


BrokerUrl = Annotated[str, AfterValidator(broker_url)]


EhloName = Annotated[str | None, BeforeValidator(_empty_is_none), AfterValidator(_ehlo_name)]


CaFile = Annotated[str | None, BeforeValidator(_empty_is_none), AfterValidator(_ca_file)]


UnsubscribeMailto = Annotated[str | None, BeforeValidator(_empty_is_none), AfterValidator(_mailto)]


UnsubscribeUrl = Annotated[str | None, BeforeValidator(_empty_is_none), AfterValidator(_web_address)]


Webhook = Annotated[
    str | None,
    BeforeValidator(_empty_is_none),
    AfterValidator(functools.partial(_web_address, schemes=("https", "http"))),
]


Password = Annotated[SecretStr | None, BeforeValidator(_empty_is_none), BeforeValidator(_text)]


Secret = Annotated[SecretStr | None, BeforeValidator(_empty_is_none), AfterValidator(_fernet_keys)]


Days = Annotated[frozenset[int], NoDecode, BeforeValidator(_days)]


Backoff = Annotated[tuple[int, ...], NoDecode, BeforeValidator(_backoff)]


DnsServers = Annotated[tuple[tuple[str, int], ...], NoDecode, BeforeValidator(_dns_servers)]


Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]


PositiveCount = Annotated[int, Field(ge=1, le=MAX_COUNT)]


DayCount = Annotated[int, Field(ge=0, le=MAX_DAYS)]


Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]


Timeout = Annotated[float, Field(gt=0, le=MAX_SECONDS)]


#: A message takes seconds through the broker, and the dialogue up to the dot as long: with less, nothing would be sent.
Lateness = Annotated[float, Field(ge=30, le=MAX_SECONDS)]
