"""The one place that knows PostgreSQL from SQLite.

Reads: a database URL. Writes: nothing of its own.
Everything that differs between the two databases is here: connecting, transactions that will write, row locks,
the lock of the throttle, and the clock; in `utc`, how a point in time is stored.

A transaction takes its locks in the order of LOCK_ORDER, and several rows of a table in id order. If two took
the same locks in different orders, they would wait for each other, and PostgreSQL would end one of them.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import peewee
from playhouse.db_url import parse as parse_url
from psycopg2.errors import ReadOnlySqlTransaction

from models.errors import SlowpostError
from models.requests import Postgres

#: Every model is bound to this; `connect` fills it.
db = peewee.DatabaseProxy()

#: For each thread: what is to be called when its transaction has committed; the clock as it was read with an answer.
_thread = threading.local()

#: What stands before the path of an SQLite file. All that follows is the path, whatever characters are in it.
SQLITE = "sqlite:///"
#: PostgreSQL connections of one process: more than worker threads and what runs beside them.
POOL_SIZE = 72
#: Of every PostgreSQL session, unless the URL says otherwise.
POSTGRES_SESSION = {
    # The planner expects to read a whole table and compiles for 30 ms; the query then reads a few rows of an index.
    "jit": "off",
    # A process that freezes in a transaction must not keep the throttle's lock for ever.
    "idle_in_transaction_session_timeout": "30s",
}
#: Seconds SQLite waits for another writer before it gives up (PRAGMA busy_timeout).
SQLITE_BUSY_TIMEOUT = 60
#: Key of the PostgreSQL advisory lock under which slots are given and taken back.
THROTTLE_LOCK = 7_516_192_768
#: The same, for migrations.
SCHEMA_LOCK = THROTTLE_LOCK + 1
#: The same, for what adds, changes or removes accounts.
ACCOUNTS_LOCK = THROTTLE_LOCK + 2
#: The same, for the batch publisher; for the only process of an embedded broker.
PUBLISHER_LOCK, PROCESS_LOCK = THROTTLE_LOCK + 3, THROTTLE_LOCK + 4

#: The order in which a transaction takes its locks: the program's own keys, the locks of publisher, accounts and
#: throttle, and the rows of these tables that it changes, or locks with `for_update`. (Dead letters at the front are
#: those of messages, locked to be decided about. Behind a delivery stands what belongs to it, in whatever order, since
#: the delivery is locked.)
LOCK_ORDER = (
    ("stored_key",),
    ("publisher",),
    ("accounts",),
    ("dead_letter",),
    ("smtp_account",),
    ("email_template",),
    ("campaign",),
    ("stored_file",),
    ("contact_list",),
    ("website",),
    ("contact",),
    ("list_member",),
    ("throttle",),
    ("delivery",),
    (
        *("attempt", "dead_letter", "opt_out", "suppression", "action", "enrolment", "inbound_mail", "late_bounce"),
        *("sent_look", "sent_copy"),
    ),
    ("control",),
)

#: What SQLite says when the trouble is outside the statement (sqlite.org/rescode.html); the rest is our mistake.
_SQLITE_TROUBLE = ("locked", "busy", "unable to open", "disk", "readonly", "full")


class DatabaseUrlError(SlowpostError, ValueError):
    """The database URL can't be used; the message says what is allowed."""


def connect(url: str) -> peewee.Database:
    """Bind the models to the database at `url` and return it; nothing is opened yet.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://user:password@host:port/name`.

    Raises:
        DatabaseUrlError: another scheme, or no database name.
    """
    if url.startswith(SQLITE):
        database: peewee.Database = peewee.SqliteDatabase(
            _named(url.removeprefix(SQLITE)),
            # FULL: with NORMAL a committed claim can be lost at a power failure
            # (sqlite.org/pragma.html#pragma_synchronous).
            # secure_delete: what is erased is overwritten with zeros (sqlite.org/pragma.html#pragma_secure_delete).
            pragmas={"journal_mode": "wal", "synchronous": "full", "foreign_keys": 1, "secure_delete": 1},
            lock_type="IMMEDIATE",
            timeout=SQLITE_BUSY_TIMEOUT,
        )
    elif urlsplit(url).scheme in ("postgresql", "postgres"):
        session = " ".join(f"-c {name}={value}" for name, value in POSTGRES_SESSION.items())
        options = {"connect_timeout": 10, "options": session} | parse_url(url, unquote_password=True, unquote_user=True)
        options |= {"max_connections": POOL_SIZE, "stale_timeout": 300, "timeout": 30}
        database = Postgres(_named(options.pop("database", "")), **options)
    else:
        raise DatabaseUrlError("its scheme is neither sqlite nor postgresql")
    db.initialize(database)
    return database


def _named(name: str) -> str:
    if not name or name == ":memory:":
        raise DatabaseUrlError("it names no database (sqlite:///FILE or postgresql://USER@HOST/NAME)")
    return name


def is_postgres() -> bool:
    """Tell whether the bound database is PostgreSQL (else it is SQLite)."""
    return isinstance(db.obj, peewee.PostgresqlDatabase)


def sqlite_file() -> Path | None:
    """Return the path of the SQLite file, or None with PostgreSQL."""
    return None if is_postgres() else Path(cast(str, db.obj.database)).absolute()


@contextmanager
def connection() -> Iterator[None]:
    """Open this thread's connection for the block and give it back afterwards, also after an exception."""
    opened = db.connect(reuse_if_open=True)
    try:
        yield
    finally:
        if opened:
            db.close()


@contextmanager
def transaction(*, undo: bool = False) -> Iterator[None]:
    """Run the block in a transaction that may write (SQLite: BEGIN IMMEDIATE, so that its lock never has to grow).

    Inside another it is a savepoint. What `after_commit` was given is called when the outermost has committed.

    Args:
        undo: what the block has done is rolled back at its end: it only shows what would be done.
    """
    calls: list[Callable[[], None]] | None = getattr(_thread, "after_commit", None)
    if calls is not None:
        before = len(calls)
        try:
            with db.atomic():
                yield
        except BaseException:
            del calls[before:]
            raise
        return
    calls = _thread.after_commit = []
    try:
        with db.atomic() as atomic:
            yield
            if undo:
                atomic.rollback()
                calls.clear()
    finally:
        _thread.after_commit = None
    for call in calls:
        call()


def after_commit(call: Callable[[], None]) -> None:
    """Call `call` when this thread's transaction has committed, and never if it is rolled back; at once without a
    transaction.
    """
    calls: list[Callable[[], None]] | None = getattr(_thread, "after_commit", None)
    if calls is None:
        call()
    else:
        calls.append(call)


def now() -> dt.datetime:
    """Return the database's clock: the instant by which all limits are measured, not the transaction's start."""
    if not is_postgres():
        return dt.datetime.now(dt.UTC)
    read: dt.datetime | None = getattr(_thread, "clock", None)
    if read is None:
        (read,) = cast(tuple[dt.datetime], db.execute_sql("SELECT clock_timestamp()").fetchone())
    return read.astimezone(dt.UTC)


@contextmanager
def clock_stands(at: dt.datetime) -> Iterator[None]:
    """Let `now` return an instant for the block: the clock was read with what is judged there."""
    _thread.clock = at
    try:
        yield
    finally:
        _thread.clock = None


def later(query: Any) -> None:
    """Run a statement of this transaction whose answer nobody reads: along with the next one, at the latest with the
    COMMIT, so that it needs no round trip of its own (`requests`). What is wrong with it is raised there. SQLite: at
    once.
    """
    send_later(*db.get_sql_context().sql(query).query())


def send_later(sql: str, values: Sequence[Any]) -> None:
    """Do the same with SQL and the values of its placeholders."""
    (db.obj.later if is_postgres() else db.execute_sql)(sql, values)


def for_update(query: Any) -> Any:
    """Lock the rows that `query` selects until the transaction ends (SQLite: the transaction has locked all of
    them).
    """
    # Not FOR UPDATE: that would wait for, and deadlock with, whoever only refers to the row by its key.
    return query.for_update("FOR NO KEY UPDATE") if is_postgres() else query


def lock_rows(model: Any, which: Any) -> None:
    """Lock the rows of `model` that a condition selects, in the order of its key, until the transaction ends (SQLite:
    the transaction has locked all of them).
    """
    if is_postgres():
        key = model._meta.get_primary_keys()
        for_update(model.select(*key).where(which).order_by(*key)).tuples().execute()


def lock_accounts() -> None:
    """Wait for the lock under which accounts are added, changed and removed; it is released when the transaction ends.

    It is taken before the lock of any account's row, and so before the throttle's.
    """
    if is_postgres():
        db.execute_sql("SELECT pg_advisory_xact_lock(%s)", (ACCOUNTS_LOCK,))


def lock_throttle() -> None:
    """Wait for the lock under which slots are given and taken back; it is released when the transaction ends."""
    if is_postgres():
        db.execute_sql("SELECT pg_advisory_xact_lock(%s)", (THROTTLE_LOCK,))


def lock_publisher() -> None:
    """Wait for the lock under which contacts are picked; it is released when the transaction ends."""
    if is_postgres():
        db.execute_sql("SELECT pg_advisory_xact_lock(%s)", (PUBLISHER_LOCK,))


@contextmanager
def lock_schema() -> Iterator[None]:
    """Let one process at a time migrate (SQLite: its file has one writer anyway)."""
    if not is_postgres():
        yield
        return
    db.execute_sql("SELECT pg_advisory_lock(%s)", (SCHEMA_LOCK,))
    try:
        yield
    finally:
        db.execute_sql("SELECT pg_advisory_unlock(%s)", (SCHEMA_LOCK,))


def is_trouble_outside(error: BaseException) -> bool:
    """Tell whether `error` is the database's state (away, restarting, deadlock, full, taking no writes) and not the
    statement's fault.
    """
    if isinstance(error, peewee.InterfaceError):
        return True
    if isinstance(error, peewee.InternalError):
        # A server that has become a standby: psycopg2 classes that as a mistake of the program.
        return isinstance(getattr(error, "orig", None), ReadOnlySqlTransaction)
    if not isinstance(error, peewee.OperationalError):
        return False
    return is_postgres() or any(word in str(error) for word in _SQLITE_TROUBLE)


def discard_connection() -> None:
    """Close this thread's connection, because its server may be gone; the next use opens a new one."""
    if not db.is_closed():
        (db.obj.manual_close if is_postgres() else db.close)()
    if is_postgres():
        db.obj.close_idle()
