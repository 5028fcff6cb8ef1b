"""Watches, in every test on PostgreSQL, that each transaction takes its locks in one order: `database.LOCK_ORDER`."""

from __future__ import annotations

import re
from typing import Any
from weakref import WeakKeyDictionary

import peewee

from models.database import ACCOUNTS_LOCK, LOCK_ORDER, PUBLISHER_LOCK, THROTTLE_LOCK

#: Statements that lock rows of a table: those that change some, and those that only lock.
_LOCKS_ROWS = re.compile(
    r'^UPDATE "(?P<updated>\w+)"|^DELETE FROM "(?P<deleted>\w+)"|^INSERT INTO "(?P<upserted>\w+)".* DO UPDATE '
    r'|^SELECT .*? FROM "(?P<selected>\w+)" AS "t1".* FOR (?:NO KEY )?UPDATE',
    re.DOTALL,
)
_ADVISORY = {THROTTLE_LOCK: "throttle", PUBLISHER_LOCK: "publisher", ACCOUNTS_LOCK: "accounts"}


class LockOrderError(AssertionError):
    """A transaction has taken a lock after one that comes later."""


class Watch:
    """What each open transaction has locked: names of LOCK_ORDER, in the order they were taken."""

    def __init__(self) -> None:
        self._taken: WeakKeyDictionary[Any, list[str]] = WeakKeyDictionary()

    def see(self, database: Any, sql: str, parameters: Any) -> None:
        """Look at a statement before it is run. Raises LockOrderError."""
        name = _locked_by(sql, parameters)
        if name is None or not database.in_transaction():
            return
        outermost = database._state.transactions[0]
        taken = self._taken.setdefault(outermost, [])
        if name in taken:
            return
        before = [n for n in taken if not _may_follow(name, n)]
        if before:
            raise LockOrderError(f"{name} is locked after {', '.join(before)}: see database.LOCK_ORDER\n{sql}")
        taken.append(name)


def watched(execute_sql: Any, watch: Watch) -> Any:
    """Return `execute_sql` of peewee, or `later` of ours, with a look at each statement."""

    def execute(self: Any, sql: str, params: Any = None, *rest: Any, **options: Any) -> Any:
        if isinstance(self, peewee.PostgresqlDatabase):
            watch.see(self, sql, params)
        return execute_sql(self, sql, params, *rest, **options)

    return execute


def _locked_by(sql: str, parameters: Any) -> str | None:
    if sql.startswith("SELECT pg_advisory_xact_lock"):
        return _ADVISORY[parameters[0]]
    found = _LOCKS_ROWS.match(sql)
    table = next(filter(None, found.groups()), None) if found else None
    return table if table in {name for rank in LOCK_ORDER for name in rank} else None


def _may_follow(name: str, earlier: str) -> bool:
    """Tell whether `name` may be locked after `earlier`; what stands at two places may be at either."""
    return max(_places(name)) >= min(_places(earlier))


def _places(name: str) -> list[int]:
    return [place for place, names in enumerate(LOCK_ORDER) if name in names]
