"""What a person writes in a column or an option, checked and made a value. Pure.

Each function raises `FieldError` with one line that says what is allowed. What was given is quoted there, and nowhere
else; what may be a secret is read through `unquoted`.
"""

from __future__ import annotations

import datetime as dt
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from models import Auth, Security
from models import address as addresses
from models.errors import SlowpostError
from pipeline.runtime.clocks import zones

T = TypeVar("T")

#: Names of time zones that are a machine's, not a person's.
ZONES_OF_MACHINES = frozenset({"localtime", "Factory"})
#: Characters of a name by which something is found again: what every index takes.
MAX_NAME = 200
#: Characters of a list's name: what fits into a line of a table.
MAX_SHORT_NAME = 100
#: The highest id that there can be.
MAX_ID = 2**31 - 1
#: Characters of a domain (RFC 1035 2.3.4).
MAX_DOMAIN = 253

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_DOMAIN = rf"(?:{_LABEL.pattern}\.)+{_LABEL.pattern}"
#: What most domains and URLs look like: `x.example`, `https://x.example/about`. Anything else is taken apart.
_PLAIN_DOMAIN = re.compile(
    rf"(?P<alone>{_DOMAIN})|https?://(?P<in_url>{_DOMAIN})(?:[/?#].*)?", re.ASCII | re.DOTALL | re.IGNORECASE
)
_NOT_ONE_LINE = re.compile(r"[\r\n\x00]")
_DIGITS = re.compile(r"\d{1,9}")


class FieldError(SlowpostError, ValueError):
    """A value is not allowed; the message says which is.

    Attributes:
        unquoted: the message without a word of what was given.
    """

    def __init__(self, problem: str, *, given: str | None = None, detail: str = "") -> None:
        """Say what the problem is.

        Args:
            problem: a sentence; with `given`, one that follows it.
            given: what was written, to be quoted.
            detail: more about it, which may quote of it, too.
        """
        super().__init__((problem if given is None else f"{_quoted(given)} {problem}") + detail)
        self.unquoted = problem if given is None else f"it {problem}"


def unquoted(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Return `parse` with errors that quote nothing: for files and options in which a password may stand anywhere, if
    only in the wrong column.
    """

    def parse_secretly(text: str) -> T:
        try:
            return parse(text)
        except FieldError as error:
            raise FieldError(error.unquoted) from None

    return parse_secretly


def email(text: str) -> str:
    """Return an address as written, trimmed."""
    try:
        return addresses.check(text)
    except addresses.AddressError as error:
        raise FieldError("is no e-mail address", given=text.strip(), detail=f": {error}") from None


def domain(text: str) -> str:
    """Return the normalised domain of a domain or URL, without `www.`."""
    written = text.strip()
    plain = _PLAIN_DOMAIN.fullmatch(written)
    found = (plain["alone"] or plain["in_url"]).lower() if plain else addresses.normalise_domain(_host_in(written))
    found = found.removeprefix("www.")
    if "." not in found or len(found) > MAX_DOMAIN or not (plain or all(map(_LABEL.fullmatch, found.split(".")))):
        raise FieldError("is no domain or URL", given=written)
    return found


def _host_in(written: str) -> str:
    try:
        return urlsplit(written if "//" in written else f"//{written}").hostname or ""
    except ValueError:  # brackets without an IPv6 address in them, and the like
        return ""


def one_line(text: str) -> str:
    """Return a text that may stand in a header."""
    if _NOT_ONE_LINE.search(text):
        raise FieldError("it must be one line without NUL")
    return text.strip()


def name(text: str) -> str:
    """Return a name by which something is found again."""
    found = one_line(text)
    if not 1 <= len(found) <= MAX_NAME:
        raise FieldError(f"a name has 1 to {MAX_NAME} characters, this one has {len(found)}")
    return found


def list_name(text: str) -> str:
    """Return the name of a list."""
    return _name_of(text, "list")


def campaign_name(text: str) -> str:
    """Return the name of a campaign."""
    return _name_of(text, "campaign")


def _name_of(text: str, noun: str) -> str:
    found = text.strip()
    if not 1 <= len(found) <= MAX_SHORT_NAME or not found.isprintable() or found.isdecimal():
        allowed = f"1 to {MAX_SHORT_NAME} printable characters, not only digits"
        raise FieldError(f"is no name of a {noun}, which has {allowed}", given=found)
    return found


def contact(text: str) -> str:
    """Return the id or the address by which a contact is named."""
    found = text.strip()
    is_id = re.fullmatch(r"\d{1,10}", found, re.ASCII) and 0 < int(found) <= MAX_ID
    if not is_id and not ("@" in found and found.isprintable()):
        raise FieldError("is neither the id of a contact nor an address", given=found)
    return found


def template_id(text: str) -> int:
    """Return the id of a template."""
    return _whole(text, 1, MAX_ID, "the id of a template")


def tag(text: str) -> str:
    """Return a tag of an account, in lower case."""
    found = text.strip().lower()
    if not re.fullmatch(r"[a-z0-9._-]{1,40}", found):
        raise FieldError("is no tag: 1 to 40 letters, digits, dots, underscores and dashes", given=found)
    return found


def tags(text: str) -> tuple[str, ...]:
    """Return tags that stand in one cell, separated by commas or blanks."""
    return tuple(tag(word) for word in text.replace(",", " ").split())


def priority(text: str) -> int:
    """Return a priority."""
    return _whole(text, 0, 9, "a whole number from 0 to 9")


def port(text: str) -> int:
    """Return a TCP port."""
    return _whole(text, 1, 65535, "a port from 1 to 65535")


def daily_limit(text: str) -> int:
    """Return an account's daily limit."""
    return _whole(text, 0, 1_000_000, "a whole number of mails a day, 0 or more")


def warmup_start(text: str) -> int:
    """Return an account's limit on the first day of its warm-up."""
    return _whole(text, 0, 1_000_000, "a whole number of mails on the first day, 0 to 1000000")


def warmup_step(text: str) -> int:
    """Return by how much that limit rises each day."""
    return _whole(text, 1, 1_000_000, "a whole number of mails more each day, 1 to 1000000")


def weight(text: str) -> int:
    """Return the weight of a campaign, or of a variant of a step, beside the others."""
    return _whole(text, 1, 1000, "a weight, a whole number from 1 to 1000")


def days_after(text: str) -> int:
    """Return how many days after the step before a step of a campaign goes."""
    return _whole(text, 1, 365, "a whole number of days from 1 to 365")


def date(text: str) -> dt.date:
    """Return a date."""
    try:
        return dt.datetime.strptime(text.strip(), "%Y-%m-%d").date()  # noqa: DTZ007  # a date has no zone
    except ValueError:
        raise FieldError("is no date such as 2026-12-31", given=text.strip()) from None


def timezone(text: str) -> str:
    """Return an IANA time zone name."""
    zone = text.strip()
    if zone not in zones() or zone in ZONES_OF_MACHINES:
        raise FieldError("is no IANA time zone such as Europe/Berlin", given=zone)
    return zone


def yes_no(text: str) -> bool:
    """Return what yes or no means."""
    word = text.strip().lower()
    if word in ("yes", "y", "true", "1"):
        return True
    if word in ("no", "n", "false", "0"):
        return False
    raise FieldError("is neither yes nor no", given=word)


def security(text: str) -> Security:
    """Return how a connection is protected."""
    word = text.strip().lower()
    if word not in tuple(Security):
        raise FieldError(f"is none of {', '.join(Security)}", given=word)
    return Security(word)


def auth(text: str) -> Auth:
    """Return how an account logs in."""
    word = text.strip().lower()
    if word not in tuple(Auth):
        raise FieldError(f"is none of {', '.join(Auth)}", given=word)
    return Auth(word)


def username(text: str) -> str:
    """Return who logs in: what SASL can carry (RFC 4616 section 2), and XOAUTH2 with its separators."""
    written = text.strip()
    if not written.isprintable():
        raise FieldError("a user name has no control characters")
    return written


def token_command(text: str) -> str:
    """Return a command that prints an access token; no shell reads it."""
    written = text.strip()
    try:
        words = shlex.split(written)
    except ValueError as error:
        raise FieldError(f"it is no command: {error}") from None
    if not words or not written.isprintable():
        raise FieldError("a command is one line, of at least one word")
    return written


def token_file(text: str) -> str:
    """Return the path of a file that holds an access token."""
    written = text.strip()
    if not written.isprintable() or not Path(written).is_absolute():
        raise FieldError("is not an absolute path of a file, beginning with /", given=written)
    return written


def host(text: str) -> str:
    """Return a host name or address."""
    written = text.strip()
    if not re.fullmatch(r"[A-Za-z0-9._:-]{1,253}", written):
        raise FieldError("is no host name", given=written)
    return written


def _whole(text: str, least: int, most: int, allowed: str) -> int:
    written = text.strip()
    if not _DIGITS.fullmatch(written) or not least <= (found := int(written)) <= most:
        raise FieldError(f"is not {allowed}", given=written)
    return found


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 100 else f"{text[:100]}…")
