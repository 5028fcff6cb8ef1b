"""Create or migrate the tables."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import peewee

from models.database import db, lock_schema
from models.errors import SlowpostError

if TYPE_CHECKING:
    from peewee_migrate import Router

#: Takes a line for a person.
Tell = Callable[[str], None]

MIGRATIONS = Path(__file__).parent / "migrations"


class NotMigratedError(SlowpostError):
    """The tables are not of this version; the message says what to run."""


def migrate(tell: Tell = lambda _line: None) -> list[str]:
    """Migrate the tables to this version; return the names of the migrations that were run.

    Args:
        tell: is told in one line of each row that a migration changes otherwise than all others. What it is told is
            done when its migration is committed: after a crash it is told again.
    """
    with lock_schema():
        return list(_router(tell).run())


def check_migrated() -> None:
    """Raise NotMigratedError unless the tables are of this version."""
    if not db.table_exists("migratehistory") or _not_run():
        raise NotMigratedError("the database is not at this version: run `slowpost init`")


def _not_run() -> set[str]:
    """Return the names of the migrations that have not been run."""
    done = {name for (name,) in db.execute_sql("SELECT name FROM migratehistory").fetchall()}
    return {file.stem for file in MIGRATIONS.glob("[0-9]*.py")} - done


def _router(tell: Tell = lambda _line: None) -> Router:
    # Only here: all that starts checks, and few migrate.
    from peewee_migrate import Migrator, Router

    logger = logging.getLogger("peewee_migrate")
    # What fails is raised, and told once.
    logger.setLevel(logging.CRITICAL)
    database: peewee.Database = db.obj
    telling = type("TellingMigrator", (Migrator,), {"tell": staticmethod(tell)})
    return Router(database, migrate_dir=MIGRATIONS, logger=logger, migrator_class=telling)
