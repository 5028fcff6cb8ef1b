"""What a person writes in a column or an option, checked and made a value. Pure.

Each function raises `FieldError` with one line that says what is allowed.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from models import Security

from . import address as addresses

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


class FieldError(ValueError):
    """A value is not allowed; the message says which is."""


def email(text: str) -> str:
    """Return an address as written, trimmed."""
    try:
        return addresses.check(text)
    except addresses.AddressError as error:
        raise FieldError(f"{text.strip()!r} is no e-mail address: {error}") from None


def domain(text: str) -> str:
    """Return the normalised domain of a domain or URL, without `www.`."""
    written = text.strip()
    host = urlsplit(written if "//" in written else f"//{written}").hostname or ""
    found = addresses.normalise_domain(host).removeprefix("www.")
    if "." not in found or not all(_LABEL.fullmatch(label) for label in found.split(".")):
        raise FieldError(f"{written!r} is no domain or URL")
    return found


def one_line(text: str) -> str:
    """Return a text that may stand in a header."""
    if re.search(r"[\r\n\x00]", text):
        raise FieldError("it must be one line without NUL")
    return text.strip()


def priority(text: str) -> int:
    """Return a priority."""
    return _whole(text, 0, 9, "a whole number from 0 to 9")


def port(text: str) -> int:
    """Return a TCP port."""
    return _whole(text, 1, 65535, "a port from 1 to 65535")


def daily_limit(text: str) -> int:
    """Return an account's daily limit."""
    return _whole(text, 0, 1_000_000, "a whole number of mails a day, 0 or more")


def timezone(text: str) -> str:
    """Return an IANA time zone name."""
    name = text.strip()
    if name not in available_timezones():
        raise FieldError(f"{name!r} is no IANA time zone such as Europe/Berlin")
    return name


def yes_no(text: str) -> bool:
    """Return what yes or no means."""
    word = text.strip().lower()
    if word in ("yes", "y", "true", "1"):
        return True
    if word in ("no", "n", "false", "0"):
        return False
    raise FieldError(f"{word!r} is neither yes nor no")


def security(text: str) -> Security:
    """Return how a connection is protected."""
    word = text.strip().lower()
    if word not in tuple(Security):
        raise FieldError(f"{word!r} is none of {', '.join(Security)}")
    return Security(word)


def host(text: str) -> str:
    """Return a host name or address."""
    name = text.strip()
    if not re.fullmatch(r"[A-Za-z0-9._:-]{1,253}", name):
        raise FieldError(f"{name!r} is no host name")
    return name


def _whole(text: str, least: int, most: int, allowed: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text.strip()) or not least <= int(text) <= most:
        raise FieldError(f"{text.strip()!r} is not {allowed}")
    return int(text)
