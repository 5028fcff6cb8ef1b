"""With the queues inside the process one process works on a database, whatever becomes of its connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import peewee
import pytest

from models.database import PROCESS_LOCK, db
from models.exclusive import AlreadyRunningError, Exclusive, exclusive


def test_a_second_process_is_refused_until_the_first_has_ended(any_database: str, process: NewProcess) -> None:
    first = process()
    first.keep()
    with pytest.raises(AlreadyRunningError, match="another `slowpost run`"):
        process().keep()
    first.keep()
    first.release()
    process().keep()


def test_whose_connection_is_lost_takes_the_right_again_or_finds_that_another_has_it(
    postgres: str, process: NewProcess
) -> None:
    first, second = process(), process()
    first.keep()
    end_the_holder()
    first.keep()
    end_the_holder()
    second.keep()
    with pytest.raises(AlreadyRunningError):
        first.keep()


def test_a_process_does_not_take_itself_for_another_if_the_server_has_not_noticed_that_its_connection_is_lost(
    postgres: str, process: NewProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = process()
    first.keep()
    lost = holder()
    with monkeypatch.context() as patched:
        patched.setattr(first._session, "close", lambda: first._session._state.reset())
        patched.setattr(first, "_is_there", lambda: False)
        first.keep()
    assert holder() not in (None, lost)


def test_a_database_that_is_away_is_waited_for(
    postgres: str, process: NewProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = process()
    first.keep()
    end_the_holder()
    with monkeypatch.context() as patched:
        patched.setattr(first._session, "connect_params", {"host": "127.0.0.1", "port": 1})
        with pytest.raises(peewee.OperationalError):
            first.keep()
    first.keep()
    assert holder() is not None
    with pytest.raises(AlreadyRunningError):
        process().keep()


def test_with_rabbitmq_any_number_of_processes_works_on_postgresql(postgres: str) -> None:
    with exclusive(embedded=False) as first, exclusive(embedded=False) as second:
        first.keep()
        second.keep()


NewProcess = Callable[[], "Exclusive"]


@pytest.fixture
def process() -> Iterator[NewProcess]:
    """What another process does before it begins to work."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(exclusive(embedded=True))


def holder() -> int | None:
    """Return the server's process of the session that has the right."""
    query = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND (classid::bigint << 32) + objid::bigint = %s"
    row = db.execute_sql(query, (PROCESS_LOCK,)).fetchone()
    return row and int(row[0])


def end_the_holder() -> None:
    """End its session, as a restart or a network that breaks does."""
    db.execute_sql("SELECT pg_terminate_backend(%s, 5000)", (holder(),))
