"""`accounts add|set|list|import|test|enable|disable|remove`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from models import SmtpAccount, database, lookup
from models.control import record_action
from pipeline.accounts import passwords
from pipeline.flow import TRIGGER
from pipeline.operations import accounts as operations
from pipeline.operations import fields, imports
from pipeline.operations.csv_rows import Parse
from pipeline.operations.imports import ACCOUNT_COLUMNS, account_defaults
from pipeline.reports import accounts as reports
from pipeline.reports.accounts import AccountRow
from slowpost.cli.output import emit, show_table
from slowpost.cli.shared import ID, Refused, as_json, hand_over, import_options, reason, run_import, who, with_database

#: What `set` changes. Unlike in an import, where an empty cell says nothing, a value can be taken away.
CHANGES: Mapping[str, Parse] = {
    **{name: ACCOUNT_COLUMNS[name] for name in ("from_name", "signature", "warmup_start", "warmup_step")},
    "daily_limit": lambda text: None if text.strip() == "default" else fields.daily_limit(text),
    "reply_to": lambda text: fields.email(text) if text.strip() else None,
}


def _warmup_options(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--warmup-step", help="So many more each day, up to the limit.")(command)
    return click.option("--warmup-start", help="Warm-up: mails today, its first day.")(command)


def _demand_both(given: Container[str]) -> None:
    if ("warmup_start" in given) != ("warmup_step" in given):
        raise click.UsageError("a warm-up needs both --warmup-start and --warmup-step")


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
@_warmup_options
@click.option("--name", help="What you call it (default: the From address).")
@as_json
@with_database
def add(password_stdin: bool, as_json: bool, **given: str | None) -> None:
    """Add an account. Its password is encrypted before it is stored, and never shown again."""
    row = {k: ACCOUNT_COLUMNS[k](v) for k, v in given.items() if v is not None and v != ""}
    _demand_both(row)
    row["name"] = fields.name(imports.account_name(row))
    if SmtpAccount.get_or_none(SmtpAccount.name == row["name"]) is not None:
        raise Refused(f"there is an account {row['name']!r} already")
    if row.get("username"):
        password = _password(password_stdin)
        with _saying_where_the_key_is():
            row["password"] = passwords.encrypt(password)
    with database.transaction():
        now = database.now()
        if "warmup_start" in row:
            row["warmup_on"] = operations.today(now)
        account = SmtpAccount.create(**account_defaults(now) | row | {"created_at": now, "updated_at": now})
        record_action(who(), "add", f"account {account.id}", now)
    hand_over([TRIGGER])
    emit({"id": account.id, "name": account.name}, as_json, lambda: click.echo(f"account {account.id}: {account.name}"))


@contextmanager
def _saying_where_the_key_is() -> Iterator[None]:
    was_there = passwords.key_file().exists()
    yield
    if passwords.key_file().exists() and not was_there:
        click.echo(f"made a key that encrypts passwords: keep {passwords.key_file()} safe, and back it up", err=True)


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


@accounts.command("set")
@click.argument("account_id", type=ID)
@click.option("--daily-limit", help="Mails a day; default: MAIL_DAILY_LIMIT again.")
@_warmup_options
@click.option("--no-warmup", is_flag=True, help="From now on the limit alone counts.")
@click.option("--from-name")
@click.option("--reply-to", help="An address; '': none.")
@click.option("--signature")
@reason
@as_json
@with_database
def set_(account_id: int, no_warmup: bool, reason: str, as_json: bool, **options: str | None) -> None:
    """Change an account. A warm-up with the values it has goes on, one with others begins today."""
    given = {k: v for k, v in options.items() if v is not None}
    _demand_both(given)
    if no_warmup and "warmup_start" in given:
        raise click.UsageError("either a warm-up or --no-warmup, not both")
    if not given and not no_warmup:
        raise click.UsageError("nothing to change is given")
    changes = {k: CHANGES[k](v) for k, v in given.items()}
    if no_warmup:
        changes |= dict.fromkeys(("warmup_start", "warmup_step"))
    operations.change(account_id, who(), changes, reason)
    hand_over([TRIGGER])
    row = reports.account(account_id)
    emit(row, as_json, lambda: click.echo(f"account {account_id}: changed, today's limit is {row.limit_today}"))


@accounts.command("list")
@as_json
@with_database
def list_(as_json: bool) -> None:
    """List the accounts; passwords are never shown."""
    rows = reports.accounts()
    columns = {
        "id": "ID",
        "name": "NAME",
        "host": "HOST",
        "port": "PORT",
        "security": "SECURITY",
        "from_address": "FROM",
    }
    columns |= {"daily_limit": "LIMIT", "limit_today": "TODAY", "warmup": "WARM-UP"}
    columns |= {"enabled": "ON", "paused": "PAUSED", "disabled_reason": "WHY OFF"}

    def show() -> None:
        shown = [vars(row) | {"warmup": _warmup(row)} for row in rows]
        show_table(shown, columns, "no accounts: add one with `slowpost accounts add`")

    emit(rows, as_json, show)


def _warmup(row: AccountRow) -> str | None:
    if row.warmup_on is None:
        return None
    return f"{row.warmup_start} + {row.warmup_step} a day since {row.warmup_on}"


@accounts.command("import")
@import_options
@with_database
def import_(file: str, as_json: bool, strict: bool) -> None:
    """Import accounts from a CSV file (- for stdin).

    Columns: host and from_address (required), name, port, security, username, password, from_name, reply_to, signature,
    daily_limit, warmup_start and warmup_step. An account whose name is there already is updated; a warm-up with the
    values it has goes on, one with others begins today.
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
    from pipeline.accounts.identity import endpoint_of
    from pipeline.smtp.connection import log_in_and_out

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
    operations.enable(account_id, who(), reason)
    hand_over([TRIGGER])
    click.echo(f"account {account_id}: on")


@accounts.command()
@click.argument("account_id", type=ID)
@reason
@with_database
def disable(account_id: int, reason: str) -> None:
    """Switch an account off; what it had planned goes to others."""
    operations.disable(account_id, who(), reason)
    hand_over([TRIGGER])
    click.echo(f"account {account_id}: off")


@accounts.command()
@click.argument("account_id", type=ID)
@reason
@with_database
def remove(account_id: int, reason: str) -> None:
    """Take an account out of use for good; what it has sent stays in the log."""
    operations.remove(account_id, who(), reason)
    hand_over([TRIGGER])
    click.echo(f"account {account_id}: removed")
