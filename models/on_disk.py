"""What the database keeps on the disk: whether a commit survives a power failure, and what was erased."""

from __future__ import annotations

import gc

import peewee

from models.database import db, is_postgres


def durability() -> dict[str, str]:
    """Return the settings by which a commit survives a power failure or not, as this connection has them."""
    names = ("fsync", "synchronous_commit", "full_page_writes") if is_postgres() else ("synchronous", "journal_mode")
    ask = "SHOW" if is_postgres() else "PRAGMA"
    return {name: str(db.execute_sql(f"{ask} {name}").fetchone()[0]) for name in names}


def empty_log() -> None:
    """Empty SQLite's write-ahead log, which still has what was erased, as far as no other connection reads from it
    (sqlite.org/pragma.html#pragma_wal_checkpoint). PostgreSQL's is its administrator's.
    """
    if is_postgres():
        return
    try:
        db.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except peewee.OperationalError:
        # A query of this very connection that nobody has read to its end holds the log, until its cursor is gone.
        gc.collect()
        db.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
