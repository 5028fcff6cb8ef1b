"""What the database is told so that it finds short ways to rows of which many have just come."""

from __future__ import annotations

from typing import Any

from models.database import db, is_postgres


def update_statistics(*models: Any) -> None:
    """Let the database look at some rows of these tables, from which it tells which way to them is short; outside a
    transaction. Takes well under a second however large they are. Where another is at it already, that is enough.
    """
    names = [f'"{model._meta.table_name}"' for model in models]
    if is_postgres():
        db.execute_sql(f"ANALYZE (SKIP_LOCKED) {', '.join(names)}")
        return
    # As many rows of each index as sqlite.org/lang_analyze.html says, "Approximate ANALYZE For Large Databases".
    db.execute_sql("PRAGMA analysis_limit = 1000")
    for name in names:
        db.execute_sql(f"ANALYZE {name}")


def prefer_indexes() -> None:
    """Until the transaction ends, find rows through indexes (SQLite does so anyway).

    Of a table that has no statistics yet, or was small when a plan was made, PostgreSQL reads all rows for each list of
    values, and for each reference that it checks: a large import would take time that grows with its square.
    """
    if is_postgres():
        db.execute_sql("SET LOCAL enable_seqscan = off")
