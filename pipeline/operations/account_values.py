"""An account's columns: as people write them, and how they must fit together.

Reads the files of DKIM keys that are named. Writes nothing, but for a key file where a password is encrypted and there
is no key at all.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from models import Auth
from pipeline.accounts import passwords
from pipeline.accounts.charge import WORKS_AGAIN
from pipeline.operations import dkim_fields, fields, mailbox_fields
from pipeline.operations.csv_rows import Parse, Row
from pipeline.operations.fields import FieldError, unquoted
from pipeline.runtime.secret_key import SecretKeyError
from pipeline.smtp.login import is_exposed

#: What an account can be given, and how each is read. Any of it may be a password that stands in the wrong place: no
#: error quotes it.
COLUMNS: Mapping[str, Parse] = {
    "name": unquoted(fields.name),
    "host": unquoted(fields.host),
    "port": unquoted(fields.port),
    "security": unquoted(fields.security),
    "username": unquoted(fields.username),
    "password": str,
    "auth": unquoted(fields.auth),
    "token_command": unquoted(fields.token_command),
    "token_file": unquoted(fields.token_file),
    "plain_password": unquoted(fields.yes_no),
    "from_address": unquoted(fields.email),
    "from_name": unquoted(fields.one_line),
    "reply_to": unquoted(fields.email),
    "signature": str,
    "daily_limit": unquoted(fields.daily_limit),
    "warmup_start": unquoted(fields.warmup_start),
    "warmup_step": unquoted(fields.warmup_step),
    **dkim_fields.COLUMNS,
    **mailbox_fields.COLUMNS,
}
#: Those that hold a password in clear until it is stored.
PASSWORDS = ("password", "imap_password")
#: The same in a file, in which an account's tags are a column.
IN_FILE: Mapping[str, Parse] = {**COLUMNS, "tags": unquoted(fields.tags)}
#: The same where what is there is changed: unlike a new account, or an empty cell, a change can take a value away.
CHANGES: Mapping[str, Parse] = {
    **COLUMNS,
    "username": lambda text: COLUMNS["username"](text) or None,
    "reply_to": lambda text: COLUMNS["reply_to"](text) if text.strip() else None,
    "daily_limit": lambda text: None if text.strip() == "default" else COLUMNS["daily_limit"](text),
    **dkim_fields.CHANGES,
    **mailbox_fields.CHANGES,
}


def parsed(given: Mapping[str, str]) -> Row:
    """Return the values of a new account's columns; a column with nothing in it counts as not given.

    Raises:
        FieldError: a value is not allowed.
    """
    return _read(COLUMNS, {column: text for column, text in given.items() if text != ""})


def parsed_changes(given: Mapping[str, str]) -> Row:
    """Return the values that columns are to be changed to.

    Args:
        given: by column. "" takes the user name (and its password with it), the Reply-To or a key's selector (and the
            key with it) away; "default" the daily limit.

    Raises:
        FieldError: a value is not allowed.
    """
    return _read(CHANGES, given)


def tags(texts: Iterable[str]) -> tuple[str, ...]:
    """Return tags as they are stored. Raises FieldError."""
    try:
        return tuple(unquoted(fields.tag)(text) for text in texts)
    except FieldError as error:
        raise FieldError(f"tag: {error}") from None


def _read(columns: Mapping[str, Parse], given: Mapping[str, str]) -> Row:
    row: Row = {}
    for column, text in given.items():
        try:
            row[column] = columns[column](text)
        except FieldError as error:
            raise FieldError(f"{column}: {error}") from None
    return row


def name_of(row: Mapping[str, Any]) -> str:
    """Return the name by which an account is known: its own, else its From address."""
    return str(row.get("name") or row["from_address"])


def defaults(now: dt.datetime) -> Row:
    """Return what an account has that nothing is said about: submission with STARTTLS (RFC 6409, RFC 8314)."""
    nothing = ("username", "password", "reply_to", "daily_limit", "warmup_start", "warmup_step", "warmup_on")
    learned = ("covered", "evidence", "learned_at", "learned_of")
    something = {"port": 587, "security": "starttls", "from_name": "", "signature": "", "enabled_at": now}
    login = {"auth": Auth.PASSWORD, "token_command": None, "token_file": None, "plain_password": False}
    signature = [*dkim_fields.COLUMNS, *(f"unsubscribe_{what}" for what in learned)]
    return something | login | dict.fromkeys((*nothing, *signature)) | mailbox_fields.nothing()


def switched_on(now: dt.datetime) -> Row:
    """Return what an account has that a person switches on: its record starts anew."""
    return {"enabled": True, "enabled_at": now, "disabled_reason": None, **WORKS_AGAIN}


def new(removed: Mapping[str, Any] | None, now: dt.datetime) -> Row:
    """Return a new account that nothing is said about yet.

    Args:
        removed: the account that is taken back into use for it: what that has sent stays its own, and so does what its
            provider has allowed it; None: there is none.
        now: UTC time.
    """
    if removed is None:
        return defaults(now)
    nothing = ("removed_at", "paused_at", "paused_after")
    return {**removed, **defaults(now), **switched_on(now), **dict.fromkeys(nothing), "resumed_at": now}


def with_login(given: Mapping[str, Any]) -> Row:
    """Return values that are given for an account, and with them what goes because of them: password and token with
    the user name, one way to log in with the other, a command with a file; a key with its selector; a mailbox with its
    server.
    """
    row = mailbox_fields.with_mailbox(dkim_fields.with_keys(given))
    gone: list[str] = []
    if "username" in given and not given["username"]:
        row.setdefault("auth", Auth.PASSWORD)
        gone += ["password", "token_command", "token_file"]
    if given.get("auth") == Auth.XOAUTH2:
        gone.append("password")
    if given.get("auth") == Auth.PASSWORD or given.get("token_file"):
        gone.append("token_command")
    if given.get("auth") == Auth.PASSWORD or given.get("token_command"):
        gone.append("token_file")
    return dict.fromkeys(gone) | row


def problems(account: Mapping[str, Any]) -> Iterator[str]:
    """Yield, in words, what does not fit together in an account's columns; nothing for an account that is whole."""
    there = {column for column, value in account.items() if value not in (None, "")}
    yield from _problems_of_login(account, there)
    yield from dkim_fields.problems(account)
    yield from mailbox_fields.problems(account)
    if _is_exposed(account, there):
        yield (
            "security: plain sends the login to another machine unencrypted; "
            "if it has to be, say --allow-plain-password (plain_password) as well"
        )
    for given, missing in (("warmup_start", "warmup_step"), ("warmup_step", "warmup_start")):
        if given in there and missing not in there:
            yield f"{missing}: it is empty, and there is a {given}"


def _problems_of_login(account: Mapping[str, Any], there: set[str]) -> Iterator[str]:
    with_token = account["auth"] == Auth.XOAUTH2
    tokens = [column for column in ("token_command", "token_file") if column in there]
    if with_token and "username" not in there:
        yield "username: it is empty, and auth is xoauth2"
    if with_token and "password" in there:
        yield "password: there is one, and auth is xoauth2"
    if with_token and len(tokens) != 1:
        are = "both are" if tokens else "none is"
        yield f"token_command or token_file: auth is xoauth2, which needs one of them, and {are} there"
    if not with_token and tokens:
        yield f"{tokens[0]}: there is one, and auth is password"
    if not with_token and "username" in there and "password" not in there:
        yield "password: it is empty, and there is a username"
    if not with_token and "password" in there and "username" not in there:
        yield "username: it is empty, and there is a password"


def _is_exposed(account: Mapping[str, Any], there: set[str]) -> bool:
    exposed = is_exposed(account["security"], account["host"]) and not account["plain_password"]
    return exposed and "username" in there


def encrypted(given: Mapping[str, Any], was: Mapping[str, Any]) -> Row:
    """Return what is stored of the passwords that are given in clear: as it was, if it is the same (each encryption
    looks different).
    """
    return {column: _encrypted(given[column], was.get(column)) for column in PASSWORDS if given.get(column)}


def _encrypted(password: str, was: str | None) -> str:
    try:
        if was and passwords.decrypt(was) == password:
            return was
    except SecretKeyError:
        pass  # its key is lost; to give the password again is how a person mends that
    return passwords.encrypt(password)


def dated(becomes: Mapping[str, Any], was: Mapping[str, Any], now: dt.datetime, today: dt.date) -> Row:
    """Return since when what is dated counts in a changed account: its warm-up, its copies of what it sends.

    Args:
        becomes, was: its columns as they are going to be, and as they are.
        now: UTC time.
        today: its date in the window's zone.
    """
    since = mailbox_fields.save_sent_since(becomes, was, now)
    return {"warmup_on": _warmup_on(becomes, was, today), "save_sent_since": since}


def _warmup_on(becomes: Mapping[str, Any], was: Mapping[str, Any], today: dt.date) -> dt.date | None:
    """Return the first day of a changed account's warm-up: the ramp that it was on goes on, another begins today."""
    if becomes["warmup_start"] is None:
        return None
    same = all(becomes[column] == was[column] for column in ("warmup_start", "warmup_step"))
    return was["warmup_on"] if same else today
