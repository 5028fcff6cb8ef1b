"""`suppress add|import|list|remove`."""

from __future__ import annotations

import click

from models import Suppression, SuppressionKind, database
from models.control import record_action
from models.suppression import suppress as store
from pipeline.operations import forget, imports
from pipeline.operations.imports import suppression_value
from pipeline.reports import suppressions as reports
from slowpost.cli.output import emit, show_table
from slowpost.cli.shared import Refused, as_json, import_options, reason, run_import, who, with_database


@click.group()
def suppress() -> None:
    """Addresses and domains that must never be mailed."""


@suppress.command()
@click.argument("value")
@reason
@with_database
def add(value: str, reason: str) -> None:
    """Suppress an address or a domain (with all below it)."""
    kind, normalised = suppression_value(value)
    with database.transaction():
        # A forgotten person is suppressed by a hash already; the address must not come back by this door.
        forgotten = kind is SuppressionKind.ADDRESS and forget.forgotten_among([normalised])
        added = 0 if forgotten else store(kind, [normalised], reason or "added by hand", database.now())
        record_action(who(), "suppress", f"{kind} added", database.now(), "" if forgotten else reason)
    click.echo(f"{normalised}: {'suppressed' if added else 'was suppressed already'}")


@suppress.command("import")
@import_options
@with_database
def import_(file: str, as_json: bool, strict: bool) -> None:
    """Import addresses and domains from a CSV file (- for stdin): column value, and reason if you like."""
    run_import(file, imports.suppressions, as_json, strict=strict)


@suppress.command("list")
@as_json
@with_database
def list_(as_json: bool) -> None:
    """List what is suppressed; forgotten people as a hash."""
    rows = reports.suppressions()
    columns = {"kind": "KIND", "value": "VALUE", "reason": "REASON", "created_at": "SINCE"}
    emit(rows, as_json, lambda: show_table(rows, columns, "nothing is suppressed"))


@suppress.command()
@click.argument("value")
@reason
@with_database
def remove(value: str, reason: str) -> None:
    """Take an address or a domain off the list."""
    kind, normalised = suppression_value(value)
    which = (Suppression.kind == kind) & (Suppression.value == normalised)
    with database.transaction():
        if not Suppression.delete().where(which).execute():
            if kind is SuppressionKind.ADDRESS and forget.forgotten_among([normalised]):
                raise Refused(f"{normalised} has asked to be forgotten, and stays suppressed")
            raise Refused(f"{normalised} is not suppressed")
        record_action(who(), "unsuppress", f"{kind} removed", database.now(), reason)
    click.echo(f"{normalised}: may be mailed again")
