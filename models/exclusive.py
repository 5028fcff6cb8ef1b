"""The right to be the only process that works on a database: what an embedded broker needs, whose queues are its own.

Reads and writes: nothing; beside an SQLite file a lock file, in PostgreSQL an advisory lock of a session of its own.
Both are released when the process ends, however it ends.
Trouble: PostgreSQL ends the session when it restarts or the network breaks. `keep`, asked now and then, takes the right
again, or says that another process has it by now.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import peewee

from models import database
from models.errors import SlowpostError

#: Seconds in which the server ends a session of ours that it still believes in.
_ENDS_WITHIN = 5.0


class AlreadyRunningError(SlowpostError):
    """Another `slowpost run` works on the same database."""


class Exclusive:
    """The right to be the only one; `keep` sees that it is still ours."""

    def keep(self) -> None:
        """Take the right, or take it again where it was lost. Raises AlreadyRunningError, OperationalError."""

    def release(self) -> None:
        """Give it up."""


class _OfFile(Exclusive):
    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock: TextIO | None = None

    def keep(self) -> None:
        if self._lock is not None:
            return
        lock = self._file.with_suffix(self._file.suffix + ".lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise AlreadyRunningError(f"another `slowpost run` works on {self._file}") from None
        self._lock = lock

    def release(self) -> None:
        if self._lock is not None:
            self._lock.close()


class _OfPostgres(Exclusive):
    def __init__(self) -> None:
        # A session that opened itself anew would be there, and not have the right.
        self._session = peewee.PostgresqlDatabase(
            database.db.obj.database, autoconnect=False, **database.db.obj.connect_params
        )
        self._has = False
        #: Process and start of the session that had the right last.
        self._had: tuple[int, object] | None = None

    def keep(self) -> None:
        if self._has and self._is_there():
            return
        self._has = False
        with suppress(peewee.DatabaseError):
            self._session.close()
        self._session.connect()
        if not self._take() and not self._take_from_former_self():
            raise AlreadyRunningError(
                "another `slowpost run` with BROKER_URL=memory:// works on this database: several need RabbitMQ"
            )
        started = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        self._had = self._session.execute_sql(started).fetchone()
        self._has = True

    def release(self) -> None:
        with suppress(peewee.DatabaseError):
            self._session.close()

    def _is_there(self) -> bool:
        try:
            self._session.execute_sql("SELECT 1")
        except (peewee.OperationalError, peewee.InterfaceError):
            return False
        return True

    def _take(self) -> bool:
        row = self._session.execute_sql("SELECT pg_try_advisory_lock(%s)", (database.PROCESS_LOCK,)).fetchone()
        return bool(row[0])

    def _take_from_former_self(self) -> bool:
        """End our own session of before, if the server has not noticed yet that nobody is there, and take the right."""
        if self._had is None:
            return False
        former = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start = %s"
        if not self._session.execute_sql(former, self._had).fetchall():
            return False
        deadline = time.monotonic() + _ENDS_WITHIN
        while not (taken := self._take()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return taken


@contextmanager
def exclusive(*, embedded: bool) -> Iterator[Exclusive]:
    """Be the only process that works on the database, for the block; `keep` takes the right.

    Args:
        embedded: whether the queues are inside the process. With RabbitMQ an SQLite file still has one process only,
            and a PostgreSQL database any number.
    """
    file = database.sqlite_file()
    right = _OfFile(file) if file is not None else _OfPostgres() if embedded else Exclusive()
    try:
        yield right
    finally:
        right.release()
