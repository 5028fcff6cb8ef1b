"""`actions`."""

from __future__ import annotations

import click

from pipeline.reports import actions as reports
from slowpost.cli.output import emit, show_table
from slowpost.cli.shared import COUNT, ID, as_json, with_database


@click.command()
@click.option("--limit", default=50, show_default=True, type=COUNT, help="Actions at most.")
@click.option("--before", type=ID, help="Only actions with a lower id.")
@as_json
@with_database
def actions(limit: int, before: int | None, as_json: bool) -> None:
    """Show what was done by people, or by the program of its own accord, the latest first: who, when and why."""
    rows = reports.actions(limit, before)
    columns = {"id": "ID", "at": "AT", "who": "WHO", "verb": "DID", "subject": "TO", "reason": "WHY"}
    emit(rows, as_json, lambda: show_table(rows, columns, "nothing has been done"))
