"""Statements of a transaction travel to PostgreSQL together where nobody reads what they answer."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable

import peewee
import pytest

from models import Control, Suppression, database
from models.database import db
from models.suppression import suppress
from tests.wire import PostgresWire, in_short


def test_a_transaction_begins_with_its_first_statement_and_what_nobody_reads_goes_with_the_next(
    wire: PostgresWire,
) -> None:
    def act() -> None:
        with database.transaction():
            database.later(pause())
            assert Control.select().count() == 1
            database.later(pause())

    assert requests(wire, act) == ["BEGIN; UPDATE control; SELECT control", "UPDATE control; COMMIT"]


def test_a_transaction_in_which_nothing_is_asked_is_no_request(wire: PostgresWire) -> None:
    def act() -> None:
        with database.transaction():
            pass
        with pytest.raises(ValueError, match="odd"):
            fail_behind(pause())

    assert requests(wire, act) == []
    assert Control.get().paused_at is None


def test_outside_of_a_transaction_nothing_waits(any_database: str) -> None:
    database.later(pause())
    assert Control.get().paused_at is not None


def test_what_fails_when_it_is_sent_takes_the_whole_transaction_back(any_database: str) -> None:
    twice = Suppression.insert(kind="address", value="a@x.test", created_at=database.now())

    def act() -> None:
        with database.transaction():
            Control.update(paused_at=database.now()).execute()
            database.later(twice)
            database.later(twice)

    with pytest.raises(peewee.IntegrityError):
        act()
    assert (Control.get().paused_at, Suppression.select().count()) == (None, 0)
    # The connection is as good as new.
    with database.transaction():
        Control.update(paused_at=database.now()).execute()
    assert Control.get().paused_at is not None


def test_a_savepoint_takes_back_what_was_sent_since_and_nothing_before_it(any_database: str) -> None:
    at = database.now()
    with database.transaction():
        database.later(pause())
        with pytest.raises(ValueError, match="odd"):
            fail_behind(Suppression.insert(kind="address", value="a@x.test", created_at=at))
    assert (Control.get().paused_at is not None, Suppression.select().count()) == (True, 0)


def test_a_statement_with_signs_of_its_own_travels_as_it_is(any_database: str) -> None:
    value = "100 %s; 'COMMIT';\n%% \\ ü"
    with database.transaction():
        suppress("address", [value], value, database.now())
        database.later(Suppression.update(reason=value + "!"))
        assert Suppression.select().where(Suppression.value == value).exists()
    assert [(row.value, row.reason) for row in Suppression.select()] == [(value, value + "!")]


def test_a_connection_that_was_just_used_is_not_asked_whether_it_is_there(
    wire: PostgresWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    def use() -> None:
        db.close()
        with database.connection():
            Control.get()

    assert requests(wire, use) == ["SELECT control"]
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + 6)
    assert requests(wire, use)[-2:] == ["SELECT 1", "SELECT control"]


def fail_behind(statement: object) -> None:
    """Run a transaction that has nothing but `statement`, and fails."""
    with database.transaction():
        database.later(statement)
        raise ValueError("odd")


def pause() -> object:
    """Return the statement that pauses everything."""
    return Control.update(paused_at=dt.datetime(2026, 6, 2, tzinfo=dt.UTC))


def requests(wire: PostgresWire, do: Callable[[], object]) -> list[str]:
    """Return what `do` asks, each request in a few words."""
    before = len(wire.statements)
    do()
    return [in_short(statement) for statement in wire.statements[before:]]
