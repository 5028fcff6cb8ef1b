"""Create or migrate the tables."""

from __future__ import annotations

import logging
from pathlib import Path

import peewee
from peewee_migrate import Router

from models.database import db, lock_schema
from models.errors import SlowpostError

MIGRATIONS = Path(__file__).parent / "migrations"


class NotMigratedError(SlowpostError):
    """The tables are not of this version; the message says what to run."""


def migrate() -> list[str]:
    """Migrate the tables to this version; return the names of the migrations that were run."""
    with lock_schema():
        return list(_router().run())


def check_migrated() -> None:
    """Raise NotMigratedError unless the tables are of this version."""
    if not db.table_exists("migratehistory") or _router().diff:
        raise NotMigratedError("the database is not at this version: run `slowpost init`")


def _router() -> Router:
    logger = logging.getLogger("peewee_migrate")
    logger.setLevel(logging.ERROR)
    database: peewee.Database = db.obj
    return Router(database, migrate_dir=MIGRATIONS, logger=logger)
