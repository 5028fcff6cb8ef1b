"""An account's columns: as people write them, and how they must fit together.

Writes nothing, but for a key file where a password is encrypted and there is no key at all.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.accounts import passwords
from pipeline.operations import fields
from pipeline.operations.csv_rows import Parse, Row

#: What an account can be given, and how each is read.
COLUMNS: Mapping[str, Parse] = {
    "name": fields.name,
    "host": fields.host,
    "port": fields.port,
    "security": fields.security,
    "username": str.strip,
    "password": str,
    "from_address": fields.email,
    "from_name": fields.one_line,
    "reply_to": fields.email,
    "signature": str,
    "daily_limit": fields.daily_limit,
    "warmup_start": fields.warmup_start,
    "warmup_step": fields.warmup_step,
}
#: The same where what is there is changed: unlike a new account, or an empty cell, a change can take a value away.
CHANGES: Mapping[str, Parse] = {
    **COLUMNS,
    "username": lambda text: text.strip() or None,
    "reply_to": lambda text: fields.email(text) if text.strip() else None,
    "daily_limit": lambda text: None if text.strip() == "default" else fields.daily_limit(text),
}


def parsed(given: Mapping[str, str]) -> Row:
    """Return the values of a new account's columns; a column with nothing in it counts as not given.

    Raises:
        FieldError: a value is not allowed.
    """
    return {column: COLUMNS[column](text) for column, text in given.items() if text != ""}


def parsed_changes(given: Mapping[str, str]) -> Row:
    """Return the values that columns are to be changed to.

    Args:
        given: by column. "" takes the user name (and its password with it) or the Reply-To away; "default" the daily
            limit.

    Raises:
        FieldError: a value is not allowed.
    """
    return {column: CHANGES[column](text) for column, text in given.items()}


def name_of(row: Mapping[str, Any]) -> str:
    """Return the name by which an account is known: its own, else its From address."""
    return str(row.get("name") or row["from_address"])


def defaults(now: dt.datetime) -> Row:
    """Return what an account has that nothing is said about: submission with STARTTLS (RFC 6409, RFC 8314)."""
    nothing = ("username", "password", "reply_to", "daily_limit", "warmup_start", "warmup_step", "warmup_on")
    something = {"port": 587, "security": "starttls", "from_name": "", "signature": "", "enabled_at": now}
    return something | dict.fromkeys(nothing)


def lacking(account: Mapping[str, Any]) -> str | None:
    """Return what is missing beside something that is there, in words; None for an account that is whole."""
    for there, missing in (
        ("username", "password"),
        ("warmup_start", "warmup_step"),
        ("warmup_step", "warmup_start"),
    ):
        if account[there] not in (None, "") and account[missing] in (None, ""):
            return f"{missing}: it is empty, and there is a {there}"
    return None


def encrypted(password: str, was: str | None) -> str:
    """Return what is stored of a password: as it was, if it is the same (each encryption looks different)."""
    try:
        if was and passwords.decrypt(was) == password:
            return was
    except passwords.PasswordUnreadableError:
        pass  # its key is lost; to give the password again is how a person mends that
    return passwords.encrypt(password)


class NewKey:
    """Whether a block has made a key file: `path` is where it is then."""

    path: Path | None = None


@contextmanager
def noticing_a_new_key() -> Iterator[NewKey]:
    """Yield what says after the block whether the first password has made a key file."""
    new, was_there = NewKey(), passwords.key_file().exists()
    yield new
    if not was_there and passwords.key_file().exists():
        new.path = passwords.key_file()


def warmup_on(becomes: Mapping[str, Any], was: Mapping[str, Any], today: dt.date) -> dt.date | None:
    """Return the first day of a changed account's warm-up: the ramp that it was on goes on, another begins today."""
    if becomes["warmup_start"] is None:
        return None
    same = all(becomes[column] == was[column] for column in ("warmup_start", "warmup_step"))
    return was["warmup_on"] if same else today
