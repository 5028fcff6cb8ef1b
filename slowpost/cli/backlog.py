"""`backlog`."""

from __future__ import annotations

import click

from pipeline.reports.reasons import in_words
from pipeline.runtime.settings import settings
from slowpost.cli.output import emit, show_table
from slowpost.cli.shared import as_json, with_database


@click.command()
@as_json
@with_database
def backlog(as_json: bool) -> None:
    """Show what is on the route and has not ended: how much of it is in which state, what it waits for, and since when
    the oldest of it is there.

    `slowpost why` says what one contact waits for.
    """
    from pipeline.reports.backlog import backlog as report

    rows = report()
    zone = settings().mail_window_timezone
    shown = [
        vars(row) | {"count": f"{row.count}{'+' if row.is_at_least else ''}", "why": in_words(row.because, zone)}
        for row in rows
    ]
    columns = {"state": "STATE", "count": "COUNT", "oldest_at": "OLDEST SINCE", "template_ids": "TEMPLATES"}
    emit(rows, as_json, lambda: show_table(shown, columns | {"why": "WAITS FOR"}, "nothing is on the route"))
