"""`suppress add|import|list|remove`."""

from __future__ import annotations

import click

from pipeline.operations import imports, suppression
from pipeline.reports import suppressions as reports
from slowpost.cli.acting import finish, who
from slowpost.cli.importing import import_options, run_import
from slowpost.cli.output import emit, show_table
from slowpost.cli.shared import as_json, reason, with_database


@click.group()
def suppress() -> None:
    """Addresses and domains that must never be mailed."""


@suppress.command()
@click.argument("value")
@reason
@as_json
@with_database
def add(value: str, reason: str, as_json: bool) -> None:
    """Suppress an address or a domain (with all its subdomains)."""
    done = suppression.add(value, who(), reason)
    finish(done, as_json, f"{done.value}: {'suppressed' if done.changed else 'was suppressed already'}")


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
    columns = {"kind": "KIND", "value": "VALUE", "reason": "REASON", "created_at": "SINCE", "until": "UNTIL"}
    emit(rows, as_json, lambda: show_table(rows, columns, "nothing is suppressed"))


@suppress.command()
@click.argument("value")
@reason
@as_json
@with_database
def remove(value: str, reason: str, as_json: bool) -> None:
    """Take an address or a domain off the list."""
    done = suppression.remove(value, who(), reason)
    finish(done, as_json, f"{done.value}: may be mailed again")
