"""`accounts add|list|import|test|enable|disable|remove`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from models import SmtpAccount, database
from models.control import record_action
from pipeline import fields, hold, imports, lookup, secrets
from pipeline.flow import TRIGGER
from pipeline.imports import ACCOUNT_COLUMNS, account_defaults

from .shared import (
    ID,
    Refused,
    as_json,
    emit,
    hand_over,
    import_options,
    reason,
    run_import,
    show_table,
    who,
    with_database,
)  # fmt: skip


@click.group()
def accounts() -> None:
    """The SMTP accounts that mails go out from."""


@accounts.command()
@click.option("--host", required=True)
@click.option("--port", default="587", show_default=True)
@click.option("--security", default="starttls", show_default=True, help="starttls, tls or plain.")
@click.option("--username", help="Without one, no login.")
@click.option("--password-stdin", is_flag=True, help="Read the password from stdin instead of asking for it.")
@click.option("--from", "from_address", required=True, help="The From address.")
@click.option("--from-name", default="")
@click.option("--reply-to")
@click.option("--signature", default="")
@click.option("--daily-limit", help="Mails a day (default: MAIL_DAILY_LIMIT).")
@click.option("--name", help="What you call it (default: the From address).")
@as_json
@with_database
def add(password_stdin: bool, as_json: bool, **given: str | None) -> None:
    """Add an account. Its password is encrypted before it is stored, and never shown again."""
    row = {k: ACCOUNT_COLUMNS[k](v) for k, v in given.items() if v is not None and v != ""}
    row["name"] = fields.name(imports.account_name(row))
    if SmtpAccount.get_or_none(SmtpAccount.name == row["name"]) is not None:
        raise Refused(f"there is an account {row['name']!r} already")
    if row.get("username"):
        password = _password(password_stdin)
        with _saying_where_the_key_is():
            row["password"] = secrets.encrypt(password)
    with database.transaction():
        now = database.now()
        account = SmtpAccount.create(**account_defaults(now) | row | {"created_at": now, "updated_at": now})
        record_action(who(), "add", f"account {account.id}", now)
    hand_over([TRIGGER])
    emit({"id": account.id, "name": account.name}, as_json, lambda: click.echo(f"account {account.id}: {account.name}"))


@contextmanager
def _saying_where_the_key_is() -> Iterator[None]:
    was_there = secrets.key_file().exists()
    yield
    if secrets.key_file().exists() and not was_there:
        click.echo(f"made a key that encrypts passwords: keep {secrets.key_file()} safe, and back it up", err=True)


def _password(from_stdin: bool) -> str:
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif not sys.stdin.isatty():
        raise Refused("there is no terminal to ask for the password: use --password-stdin")
    else:
        password = str(click.prompt("Password", hide_input=True, err=True))
    if not password:
        raise Refused("the password is empty")
    return password


@accounts.command("list")
@as_json
@with_database
def list_(as_json: bool) -> None:
    """List the accounts; passwords are never shown."""
    rows = [_row(a) for a in SmtpAccount.select().where(SmtpAccount.removed_at.is_null()).order_by(SmtpAccount.id)]
    columns = {
        "id": "ID",
        "name": "NAME",
        "host": "HOST",
        "port": "PORT",
        "security": "SECURITY",
        "from_address": "FROM",
    }
    columns |= {"daily_limit": "LIMIT", "enabled": "ON", "paused": "PAUSED", "disabled_reason": "WHY OFF"}
    emit(rows, as_json, lambda: show_table(rows, columns, "no accounts: add one with `slowpost accounts add`"))


def _row(account: SmtpAccount) -> dict[str, Any]:
    shown = (
        "id",
        "name",
        "host",
        "port",
        "security",
        "username",
        "from_address",
        "from_name",
        "reply_to",
        "daily_limit",
    )
    more = ("enabled", "disabled_reason", "cooling_until", "enabled_at", "created_at")
    return {k: getattr(account, k) for k in (*shown, *more)} | {"paused": account.paused_at is not None}


@accounts.command("import")
@import_options
@with_database
def import_(file: str, as_json: bool, strict: bool) -> None:
    """Import accounts from a CSV file (- for stdin).

    Columns: host and from_address (required), name, port, security, username, password, from_name, reply_to, signature,
    daily_limit. An account whose name is there already is updated.
    """
    with _saying_where_the_key_is():
        run_import(file, imports.accounts, as_json, strict=strict)
    hand_over([TRIGGER])


@accounts.command()
@click.argument("account_id", type=ID)
@as_json
@with_database
def test(account_id: int, as_json: bool) -> None:
    """Log in and send nothing."""
    from pipeline.identity import endpoint_of
    from pipeline.smtp_client import log_in_and_out

    account = lookup.account(account_id)
    result = log_in_and_out(endpoint_of(account))
    if result is not None:
        code = f"{result.reply.code} " if result.reply.code else ""
        raise Refused(f"account {account_id}: {result.phase}: {code}{result.reply.text}")
    emit({"id": account_id, "ok": True}, as_json, lambda: click.echo(f"account {account_id}: logged in, sent nothing"))


@accounts.command()
@click.argument("account_id", type=ID)
@reason
@with_database
def enable(account_id: int, reason: str) -> None:
    """Switch an account on; its record starts anew."""
    hold.enable(account_id, who(), reason)
    hand_over([TRIGGER])
    click.echo(f"account {account_id}: on")


@accounts.command()
@click.argument("account_id", type=ID)
@reason
@with_database
def disable(account_id: int, reason: str) -> None:
    """Switch an account off; what it had planned goes to others."""
    hold.disable(account_id, who(), reason)
    hand_over([TRIGGER])
    click.echo(f"account {account_id}: off")


@accounts.command()
@click.argument("account_id", type=ID)
@reason
@with_database
def remove(account_id: int, reason: str) -> None:
    """Take an account out of use for good; what it has sent stays in the log."""
    hold.remove(account_id, who(), reason)
    hand_over([TRIGGER])
    click.echo(f"account {account_id}: removed")
