"""`log`: the attempts, for a person or a spreadsheet."""

from __future__ import annotations

import csv
import datetime as dt
import sys
from collections.abc import Iterator
from typing import Any

import click
from peewee import fn

from models import Attempt, Delivery, SmtpAccount, database
from slowpost.cli.shared import as_json, emit, show_table, utc, with_database

_COLUMNS = (
    "id", "at", "delivery_id", "contact_id", "template_id", "account_id", "account", "local_on", "outcome",
    "charged_to", "phase", "reply_code", "enhanced_code", "text",
)  # fmt: skip


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
    start = since.replace(tzinfo=dt.UTC) if since else database.now() - dt.timedelta(days=7)
    rows = _attempts(start)
    if as_csv:
        writer = csv.DictWriter(sys.stdout, _COLUMNS)
        writer.writeheader()
        writer.writerows(row | {"at": utc(row["at"])} for row in rows)
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


def _attempts(start: dt.datetime) -> Iterator[dict[str, Any]]:
    at = fn.COALESCE(Attempt.finished_at, Attempt.claimed_at)
    query = (
        Attempt.select(Attempt, Delivery, SmtpAccount)
        .join(Delivery)
        .switch(Attempt)
        .join(SmtpAccount)
        .where(at >= start)
        .order_by(Attempt.id)
    )
    for attempt in query.iterator():
        row = {name: getattr(attempt, name, None) for name in _COLUMNS}
        yield row | {
            "at": attempt.finished_at or attempt.claimed_at,
            "contact_id": attempt.delivery.contact_id,
            "template_id": attempt.delivery.template_id,
            "account": attempt.account.name,
        }
