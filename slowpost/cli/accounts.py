"""`accounts add|set|list|show|import|test|enable|disable|remove|rekey`."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import fields

import click

from pipeline.operations import account_values, imports
from pipeline.operations import accounts as operations
from pipeline.operations.rekey import rekey as rekey_all
from pipeline.reports import accounts as reports
from pipeline.reports.accounts import AccountRow
from slowpost.cli.account_options import dkim_options, login_options, mailbox_options, tag, warmup_options
from slowpost.cli.acting import finish, say_where_the_key_is, who
from slowpost.cli.importing import import_options, run_import
from slowpost.cli.output import emit, show_fields, show_table
from slowpost.cli.shared import ID, Refused, as_json, asked_password, reason, with_database


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
@click.option("--username", help="The user name to log in with; without one, no login.")
@click.option("--password-stdin", is_flag=True, help="Read the password from stdin instead of asking for it.")
@login_options
@click.option("--from", "from_address", required=True, help="The From address.")
@click.option("--from-name", default="")
@click.option("--reply-to")
@click.option("--signature", default="")
@click.option("--daily-limit", help="Mails a day (default: MAIL_DAILY_LIMIT).")
@warmup_options
@dkim_options
@mailbox_options
@tag
@click.option("--name", help="What you call it (default: the From address).")
@reason
@as_json
@with_database
def add(
    password_stdin: bool,
    imap_from_stdin: bool,
    tags: tuple[str, ...],
    reason: str,
    as_json: bool,
    **given: str | None,
) -> None:
    """Add an account. Its password is encrypted before it is stored, and never shown again.

    An account that was removed and had the same mailbox is taken back into use: what it has sent today counts.
    """
    values, tags = account_values.parsed({k: v for k, v in given.items() if v is not None}), account_values.tags(tags)
    _demand_both(values)
    operations.demand_new(values)
    if values.get("username") and values.get("auth") != "xoauth2":
        values["password"] = asked_password(password_stdin)
    if imap_from_stdin or operations.needs_mailbox_password(values):
        values["imap_password"] = asked_password(imap_from_stdin, "Password of the mailbox", "--imap-password-stdin")
    done = operations.add(who(), values, reason, tags)
    say_where_the_key_is(done.new_key)
    back = " (it had been removed: what it has sent today counts)" if done.taken_back else ""
    finish(done, as_json, f"account {done.id}: {done.name}{back}")


@accounts.command("set")
@click.argument("account_id", type=ID)
@click.option("--host")
@click.option("--port")
@click.option("--security", help="starttls, tls or plain.")
@click.option("--username", help="The user name to log in with; '' removes it and the password: no login.")
@click.option("--password", "ask", is_flag=True, help="Ask for another password.")
@click.option("--password-stdin", is_flag=True, help="Read another password from stdin.")
@click.option("--imap-password", "imap_ask", is_flag=True, help="Its mailbox: ask for a password of its own.")
@login_options
@click.option("--from", "from_address", help="The From address.")
@click.option("--from-name")
@click.option("--reply-to", help="An address; '' removes it.")
@click.option("--signature")
@click.option("--daily-limit", help="Mails a day; 'default': MAIL_DAILY_LIMIT again.")
@warmup_options
@click.option("--no-warmup", is_flag=True, help="End the warm-up: only the daily limit counts from now on.")
@dkim_options
@mailbox_options
@tag
@click.option("--untag", "untags", multiple=True, help="Take a tag away; can be given several times.")
@click.option("--name", help="What you call it.")
@reason
@as_json
@with_database
def set_(
    account_id: int,
    ask: bool,
    password_stdin: bool,
    imap_ask: bool,
    imap_from_stdin: bool,
    no_warmup: bool,
    tags: tuple[str, ...],
    untags: tuple[str, ...],
    reason: str,
    as_json: bool,
    **options: str | None,
) -> None:
    """Change only what is given of an account. What was planned for it is planned anew.

    A new way to log in replaces the old one: its password, or where its access token came from, is removed.
    An empty --imap-host ends the reading of its mailbox, an empty --imap-username the login of its own there.
    An empty --dkim-selector ends its own signature, an empty --dkim-ed25519-selector that by this key.
    A warm-up whose values stay the same goes on; one with new values begins today.
    """
    given = {k: v for k, v in options.items() if v is not None}
    _demand_both(given)
    if no_warmup and "warmup_start" in given:
        raise click.UsageError("either a warm-up or --no-warmup, not both")
    if (ask and password_stdin) or (imap_ask and imap_from_stdin):
        raise click.UsageError("either --password or --password-stdin, not both; and so for the mailbox")
    tags, untags = account_values.tags(tags), account_values.tags(untags)
    if set(tags) & set(untags):
        raise click.UsageError("either --tag or --untag of a word, not both")
    of_mailbox = imap_ask or imap_from_stdin
    if not given and not (no_warmup or ask or password_stdin or of_mailbox or tags or untags):
        raise click.UsageError("nothing to change is given")
    changes = account_values.parsed_changes(given)
    if no_warmup:
        changes |= dict.fromkeys(("warmup_start", "warmup_step"))
    reports.account(account_id)  # nobody is asked for the password of an account that is not there
    if ask or password_stdin:
        changes["password"] = asked_password(password_stdin)
    if of_mailbox:
        changes["imap_password"] = asked_password(imap_from_stdin, "Password of the mailbox", "--imap-password-stdin")
    done = operations.change(account_id, who(), changes, reason, tags=tags, untags=untags)
    say_where_the_key_is(done.new_key)
    row = reports.account(account_id)
    finish(done, as_json, f"account {account_id}: changed, today's limit is {row.limit_today}", row)


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
    columns |= {"enabled": "ON", "paused": "PAUSED", "disabled_reason": "WHY OFF", "tags": "TAGS"}

    def show() -> None:
        shown = [vars(row) | {"warmup": _warmup(row)} for row in rows]
        show_table(shown, columns, "no accounts: add one with `slowpost accounts add`")

    emit(rows, as_json, show)


@accounts.command()
@click.argument("account_id", type=ID)
@as_json
@with_database
def show(account_id: int, as_json: bool) -> None:
    """Show an account; its password is never shown. `slowpost status` says how it does."""
    row = reports.account(account_id)
    emit(row, as_json, lambda: show_fields(row, (field.name for field in fields(row))))


def _warmup(row: AccountRow) -> str | None:
    if row.warmup_on is None:
        return None
    return f"{row.warmup_start} + {row.warmup_step} a day since {row.warmup_on}"


@accounts.command("import")
@import_options
@with_database
def import_(file: str, as_json: bool, strict: bool) -> None:
    """Import accounts from a CSV file (- for stdin).

    Columns: host and from_address (required), name, port, security, username, password, auth, token_command,
    token_file, plain_password, from_name, reply_to, signature, daily_limit, warmup_start, warmup_step, dkim_selector,
    dkim_key_file, dkim_ed25519_selector, dkim_ed25519_key_file, dkim_domain, imap_host, imap_port, imap_security,
    imap_username, imap_password, imap_token_command, imap_token_file, save_sent and tags (separated by commas or
    blanks: all that it has). An account whose name is there already is updated; a warm-up whose values stay the same
    goes on, one with new values begins today.
    """
    say_where_the_key_is(run_import(file, imports.accounts, as_json, strict=strict).new_key)


@accounts.command()
@click.argument("account_id", type=ID)
@as_json
@with_database
def test(account_id: int, as_json: bool) -> None:
    """Log in and send nothing; to its mailbox, too, if it has one."""
    done = operations.test(account_id)
    read = f"; its mailbox has {', '.join(done.folders)}" if done.folders else ""
    finish(done, as_json, f"account {account_id}: logged in, sent nothing{read}")


@accounts.command()
@click.argument("account_id", type=ID)
@reason
@as_json
@with_database
def enable(account_id: int, reason: str, as_json: bool) -> None:
    """Switch an account on; its health and its bounces are counted from now on."""
    finish(operations.enable(account_id, who(), reason), as_json, f"account {account_id}: on")


@accounts.command()
@click.argument("account_id", type=ID)
@reason
@as_json
@with_database
def reset(account_id: int, reason: str, as_json: bool) -> None:
    """End an account's rest and the limit learned from its provider; health and bounces are counted from now on.

    An account that is off or paused stays so.
    """
    finish(operations.reset(account_id, who(), reason), as_json, f"account {account_id}: reset")


@accounts.command()
@click.argument("account_id", type=ID)
@reason
@as_json
@with_database
def disable(account_id: int, reason: str, as_json: bool) -> None:
    """Switch an account off; what was planned for it goes to other accounts."""
    finish(operations.disable(account_id, who(), reason), as_json, f"account {account_id}: off")


@accounts.command()
@click.argument("account_id", type=ID)
@reason
@as_json
@with_database
def remove(account_id: int, reason: str, as_json: bool) -> None:
    """Take an account out of use for good; what it has sent stays in the log."""
    finish(operations.remove(account_id, who(), reason), as_json, f"account {account_id}: removed")


@accounts.command()
@reason
@as_json
@with_database
def rekey(reason: str, as_json: bool) -> None:
    """Encrypt all passwords, and the key by which forgotten people are known, anew with the newest key, the first of
    SECRET_KEY; then the older ones can be removed.
    """
    done = rekey_all(who(), reason)
    finish(done, as_json, f"{done.rekeyed} passwords and {done.keys} keys are encrypted with the newest key")
    if done.unreadable:
        names = ", ".join(f"{account.id} ({account.name})" for account in done.unreadable)
        raise Refused(f"no key decrypts the password of account {names}: give it again with `accounts set`")
