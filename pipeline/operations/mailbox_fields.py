"""What a person writes of an account's mailbox: where it is read, and how they must fit together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.operations import fields
from pipeline.operations.csv_rows import Parse, Row
from pipeline.operations.fields import unquoted
from pipeline.smtp.login import is_exposed

#: How each column is read.
COLUMNS: Mapping[str, Parse] = {
    "imap_host": unquoted(fields.host),
    "imap_port": unquoted(fields.port),
    "imap_security": unquoted(fields.security),
    "imap_username": unquoted(fields.username),
    "imap_password": str,
    "imap_token_command": unquoted(fields.token_command),
    "imap_token_file": unquoted(fields.token_file),
    "save_sent": unquoted(fields.yes_no),
}
#: The same where what is there is changed: "" takes the mailbox away, or its own login.
CHANGES: Mapping[str, Parse] = {
    **COLUMNS,
    "imap_host": lambda text: COLUMNS["imap_host"](text) if text.strip() else None,
    "imap_username": lambda text: COLUMNS["imap_username"](text) or None,
}
#: Of these a login of its own has one.
_LOGINS = ("imap_password", "imap_token_command", "imap_token_file")


def nothing() -> Row:
    """Return the columns of an account without a mailbox."""
    return {**dict.fromkeys(COLUMNS), "save_sent": False, "save_sent_since": None}


def with_mailbox(given: Mapping[str, Any]) -> Row:
    """Return values that are given for an account, and with them what goes because of them: all with the server, the
    login with the user name, one way to log in with another.
    """
    gone: Row = {}
    if "imap_host" in given and not given["imap_host"]:
        gone |= nothing()
    if "imap_username" in given and not given["imap_username"]:
        gone |= dict.fromkeys(_LOGINS)
    if any(given.get(column) for column in _LOGINS):
        gone |= dict.fromkeys(column for column in _LOGINS if not given.get(column))
    return gone | dict(given)


def problems(account: Mapping[str, Any]) -> Iterator[str]:
    """Yield, in words, what does not fit together in an account's columns."""
    there = {column for column in COLUMNS if account.get(column) not in (None, "", False)}
    if "imap_host" not in there:
        yield from (f"imap_host: it is empty, and there is {column}" for column in sorted(there))
        return
    logins = [column for column in _LOGINS if column in there]
    if "imap_username" in there and len(logins) != 1:
        are = "several are" if logins else "none is"
        yield f"{', '.join(_LOGINS)}: an imap_username needs one of them, and {are} there"
    if "imap_username" not in there and logins:
        yield f"imap_username: it is empty, and there is {logins[0]}"
    if "imap_username" not in there and not account["username"]:
        yield "imap_username: it is empty, and the account has no user name that could log in there"
    if is_exposed(account["imap_security"], account["imap_host"]) and not account["plain_password"]:
        yield (
            "imap_security: plain sends the login to another machine unencrypted; "
            "if it has to be, say --allow-plain-password (plain_password) as well"
        )


def save_sent_since(becomes: Mapping[str, Any], was: Mapping[str, Any], now: dt.datetime) -> dt.datetime | None:
    """Return since when the mails of a changed account are copied into Sent; None: they are not."""
    if not becomes["save_sent"]:
        return None
    return was["save_sent_since"] if was["save_sent"] else now
