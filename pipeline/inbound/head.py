"""The head of a message: its fields, decoded, and what can be read in them. Pure; it never raises."""

from __future__ import annotations

import email
import email.header
import email.message
import email.policy
import email.utils
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

#: Header fields of a part, and characters of a field's value, that are looked at.
MAX_FIELDS, MAX_VALUE = 1_000, 2_000
#: Characters of a text that are read as header fields.
_MAX_TEXT = 40_000
#: Message-IDs of one header that are taken: the first, and the last ones (RFC 5322 3.6.4: the parent is the last).
_MAX_IDS = 50

_ID = re.compile(r"<[^<>\s@]{1,250}@[^<>\s]{1,250}>")
#: Other names of a mail: Exchange and Gmail keep ours there when they give it another one.
_ID_FIELDS = ("message-id", "x-microsoft-original-message-id", "x-google-original-message-id")


@dataclass(frozen=True)
class Head:
    """Header fields in their order, with names in lower case; values are decoded and in one line."""

    fields: tuple[tuple[str, str], ...] = ()

    def all(self, name: str) -> list[str]:
        """Return every value of a field."""
        return [value for key, value in self.fields if key == name]

    def get(self, name: str) -> str:
        """Return the first value of a field; empty if it is not there."""
        return next((value for key, value in self.fields if key == name), "")

    def has(self, name: str) -> bool:
        """Tell whether a field is there, be it empty."""
        return any(key == name for key, _ in self.fields)

    @property
    def own_ids(self) -> tuple[str, ...]:
        """What the mail is called, by all who have given it a Message-ID."""
        return unique(one for name in _ID_FIELDS for value in self.all(name) for one in ids_in(value))

    @property
    def answered_ids(self) -> tuple[str, ...]:
        """What it answers: In-Reply-To, then References, the last of them first."""
        ids = [one for value in self.all("in-reply-to") for one in ids_in(value)]
        return unique([*ids, *reversed([one for value in self.all("references") for one in ids_in(value)])])

    def addresses(self, *names: str) -> tuple[str, ...]:
        """Return the addresses in the fields of these names."""
        values = [value for name in names for value in self.all(name)]
        try:
            return unique(address for _, address in email.utils.getaddresses(values) if "@" in address)
        except Exception:  # a bad header is no address
            return ()


def ids_in(value: str) -> list[str]:
    """Return the Message-IDs in a header's value or a text: at most 50, the last of them surely."""
    found = _ID.findall(value)
    return found if len(found) <= _MAX_IDS else [found[0], *found[1 - _MAX_IDS :]]


def unique(values: Iterator[str] | list[str]) -> tuple[str, ...]:
    """Return values once each, in their order."""
    return tuple(dict.fromkeys(values))


def head_of(text: str) -> Head:
    """Return the header fields at the start of a text."""
    return head_from(email.message_from_string(text.lstrip("\r\n")[:_MAX_TEXT], policy=email.policy.compat32))


def head_from(part: email.message.Message) -> Head:
    fields = itertools.islice(part.raw_items(), MAX_FIELDS)
    return Head(tuple((name.strip().lower()[:100], _value(str(value)[:MAX_VALUE])) for name, value in fields))


def _value(raw: str) -> str:
    """Return a header's value in one line, with its encoded words decoded (RFC 2047); as it is where that fails."""
    text = " ".join(raw.encode("utf-8", "surrogateescape").decode("utf-8", "replace").split())
    if "=?" not in text:
        return text
    try:
        return " ".join(str(email.header.make_header(email.header.decode_header(text))).split())
    except Exception:  # an unknown character set, or no encoded word after all
        return text
