"""`log`: the attempts, for a person or a spreadsheet."""

from __future__ import annotations

import datetime as dt
from dataclasses import fields

import click

from pipeline.reports.log import AttemptRow, attempts
from slowpost.cli.output import emit, show_csv, show_table
from slowpost.cli.shared import as_json, with_database

#: What --since takes; the last is how `--json` and `--csv` write times.
_TIMES = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ")


@click.command()
@click.option("--since", type=click.DateTime(_TIMES), help="UTC; default: the last 7 days.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV on stdout.")
@as_json
@with_database
def log(since: dt.datetime | None, as_csv: bool, as_json: bool) -> None:
    """Show the attempts, oldest first: one line for each SMTP transaction, and whose fault its outcome is."""
    if as_csv and as_json:
        raise click.UsageError("either --csv or --json, not both")
    rows = attempts(since.replace(tzinfo=dt.UTC) if since else None)
    if as_csv:
        show_csv(map(vars, rows), (field.name for field in fields(AttemptRow)))
        return
    found = list(rows)
    columns = {
        "at": "AT",
        "contact_id": "CONTACT",
        "account": "ACCOUNT",
        "outcome": "OUTCOME",
        "charged_to": "CHARGED TO",
    }
    columns |= {"reply_code": "CODE", "text": "SERVER SAID"}
    emit(found, as_json, lambda: show_table(found, columns, "no attempts"))
