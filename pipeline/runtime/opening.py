"""The database as a program that is not a worker opens it: bound, there, and at this version; or a refusal in one line.

Reads: the database. Writes: nothing, but for `migrate`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import peewee

from models import database, schema
from models.errors import SlowpostError


class NoDatabaseError(SlowpostError):
    """There is no database file; the message says what to run."""


def bind(url: str) -> None:
    """Bind the models to the database at `url`; nothing is opened yet.

    Raises:
        DatabaseUrlError: the URL can't be used.
        NoDatabaseError: it names an SQLite file that is not there.
    """
    database.connect(url)
    file = database.sqlite_file()
    if file is not None and not file.exists():
        raise NoDatabaseError(f"there is no database {file}: run `slowpost init`")


@contextmanager
def opened(url: str) -> Iterator[None]:
    """Open a connection to the database at `url` for the block.

    Raises:
        DatabaseUrlError, NoDatabaseError: as `bind`.
        NotMigratedError: it is not at this version.
    """
    bind(url)
    with database.connection():
        schema.check_migrated()
        yield


def migrate(url: str, tell: schema.Tell) -> list[str]:
    """Make the database at `url`, or bring it to this version; return the names of the migrations that were run.

    Args:
        url: the database.
        tell: is told of single rows that a migration changes, line by line, before that is committed.

    Raises:
        DatabaseUrlError: the URL can't be used.
    """
    database.connect(url)
    with database.connection():
        return schema.migrate(tell)


def trouble_of(error: BaseException) -> str | None:
    """Return one line for an error that a person can have caused, or that the database reports; None for any other
    error.
    """
    if isinstance(error, SlowpostError):
        return str(error)
    if isinstance(error, peewee.DatabaseError):
        return f"the database: {(str(error).strip().splitlines() or [type(error).__name__])[0]}"
    return None
