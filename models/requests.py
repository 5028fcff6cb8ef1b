"""How statements travel to PostgreSQL: in as few requests as their answers allow, since each request is a round trip.

A statement whose answer nobody reads waits for the next one of its transaction: BEGIN for the first, a lock for what is
read under it, an event for the COMMIT. Several statements in one request are run one after another, and each sees what
had been committed when it began (https://www.postgresql.org/docs/current/protocol-flow.html, "Multiple Statements in a
Simple Query"; https://www.postgresql.org/docs/current/transaction-iso.html, "Read Committed"): so what stands behind a
lock sees what was committed while it waited, which a part of the same statement would not.
Trouble: the first statement that fails ends the request, and nothing behind it is run, a COMMIT least of all.
"""

from __future__ import annotations

import threading
import time
from typing import Any
from weakref import WeakKeyDictionary

import peewee
from playhouse.pool import PooledPostgresqlDatabase

#: Seconds after which a connection is asked whether its server is still there, before it is used again. Who meets a
#: server that has gone within them waits and tries again, as in the midst of a transaction.
ASKED_AFTER_IDLE = 5.0
#: What stands between two statements of a request.
SEPARATOR = ";\n"

_BEGIN, _COMMIT = b"BEGIN", b"COMMIT"


class Postgres(PooledPostgresqlDatabase):  # type: ignore[misc]  # peewee's types are skipped (setup.cfg)
    """A pool of connections to PostgreSQL; on each, statements wait for those that they can travel with."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._of_thread = threading.local()
        self._given_back: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        super().__init__(*args, **options)

    def later(self, sql: str, values: Any) -> None:
        """Send a statement of this transaction, whose answer nobody reads, along with the next one."""
        if self.transaction_depth() == 1:
            self._waiting.append(self.cursor().mogrify(sql, values or ()))
        else:
            # Outside of a transaction nothing comes after it; and a savepoint takes back what was sent since.
            self.execute_sql(sql, values)

    def begin(self, isolation_level: Any = None) -> None:
        """Begin a transaction with its first statement."""
        if isolation_level:
            super().begin(isolation_level)
        else:
            self._waiting.append(_BEGIN)

    def commit(self) -> None:
        """Commit, along with what waits. A transaction in which nothing was asked was none."""
        waiting = self._taken()
        if waiting == [_BEGIN]:
            return
        if self.is_closed():
            raise peewee.InterfaceError("the connection was closed before the COMMIT")
        with peewee.__exception_wrapper__:
            self.cursor().execute(_joined([*waiting, _COMMIT]))

    def rollback(self) -> None:
        """Roll back; what waits is never sent."""
        if _BEGIN not in self._taken():
            super().rollback()

    @property
    def _waiting(self) -> list[bytes]:
        if not hasattr(self._of_thread, "waiting"):
            self._of_thread.waiting = []
        waiting: list[bytes] = self._of_thread.waiting
        return waiting

    def _taken(self) -> list[bytes]:
        waiting = self._waiting
        self._of_thread.waiting = []
        return waiting

    def _execute_cursor(self, sql: str, params: Any, **options: Any) -> Any:
        waiting = self._taken()
        if not waiting:
            return super()._execute_cursor(sql, params, **options)
        with peewee.__exception_wrapper__:
            cursor = self.cursor(**options)
            cursor.execute(_joined([*waiting, cursor.mogrify(sql, params or ())]))
        return cursor

    def _is_closed(self, conn: Any) -> bool:
        """Tell whether a connection of the pool can't be used; called before it is."""
        idle = time.monotonic() - self._given_back.get(conn, 0.0)
        return bool(conn.closed) if idle < ASKED_AFTER_IDLE else bool(super()._is_closed(conn))

    def _close(self, conn: Any, close_conn: bool = False) -> None:
        self._given_back[conn] = time.monotonic()
        super()._close(conn, close_conn)


def _joined(statements: list[bytes]) -> bytes:
    return SEPARATOR.encode().join(statement.rstrip(b"; \n") for statement in statements)
