"""Fixtures: settings, a clock that tests move by hand, a database of either kind, a vhost; all their own."""

from __future__ import annotations

import contextlib
import datetime as dt
import gc
import itertools
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import peewee
import psycopg2
import pytest

from models import database
from models.database import db
from models.requests import Postgres
from pipeline.runtime import settings as settings_module
from tests import lock_order, pristine, servers
from tests.broker import vhost
from tests.faults import starter
from tests.side_by_side import (  # noqa: F401  (pytest calls them)
    pytest_collection_modifyitems,
    pytest_sessionstart,
    pytest_xdist_auto_num_workers,
    pytest_xdist_make_scheduler,
)


def pytest_collection_finish() -> None:
    """Let no collection of garbage look at what is there for good: modules, and thousands of tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an empty directory; pytest's own looks at those of all tests before to find its number."""
    name = re.sub(r"\W", "_", request.node.name)[:30]
    folder = tmp_path_factory.getbasetemp() / f"{name}{next(_numbers)}"
    folder.mkdir(mode=0o700)
    return folder


_numbers = itertools.count()


@pytest.fixture(autouse=True)
def configure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Give a test default settings and an empty directory; `configure(mail_jitter=0)` changes settings."""
    for name in settings_module.Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)

    def change(**values: Any) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name.upper(), str(value))
        settings_module.settings.cache_clear()

    settings_module.settings.cache_clear()
    yield change
    settings_module.settings.cache_clear()
    # A later test must not find this one's database, whose server may be gone by then.
    db.initialize(None)


@pytest.fixture(autouse=True)
def _one_order_of_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test in which a transaction on PostgreSQL takes its locks in another order than all others."""
    watch = lock_order.Watch()
    for owner, name in ((peewee.Database, "execute_sql"), (Postgres, "later")):
        monkeypatch.setattr(owner, name, lock_order.watched(getattr(owner, name), watch))


class Clock:
    """The database's clock, moved by hand."""

    def __init__(self, at: dt.datetime) -> None:
        self.at = at

    def set(self, *args: int) -> dt.datetime:
        """Set the time (UTC): year, month, day, hour …"""
        self.at = dt.datetime(*args, tzinfo=dt.UTC)  # type: ignore[arg-type]
        return self.at

    def tick(self, seconds: float) -> dt.datetime:
        """Let `seconds` pass."""
        self.at += dt.timedelta(seconds=seconds)
        return self.at


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stop the database's clock on a Tuesday, 10:00 in New York (14:00 UTC), inside the default window."""
    clock = Clock(dt.datetime(2026, 6, 2, 14, 0, tzinfo=dt.UTC))
    monkeypatch.setattr(database, "now", lambda: clock.at)
    return clock


@pytest.fixture(scope="session", autouse=True)
def started_from_warm() -> Iterator[None]:
    """End what starts the processes of all tests."""
    yield
    starter.close_all()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Make a PostgreSQL database for this run and drop it at the end."""
    name = f"slowpost_test_{os.getpid()}"
    with servers.postgres() as url, contextlib.closing(psycopg2.connect(url)) as admin:
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            cursor.execute(f'CREATE DATABASE "{name}"')
            # What a dead process has committed stays; only of a server that died could the last be lost.
            cursor.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
            yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    """Make a RabbitMQ vhost for this process and delete it at the end."""
    with servers.rabbitmq() as urls:
        yield urls[servers.PROCESS]


@pytest.fixture(autouse=True)
def left_by_others(request: pytest.FixtureRequest) -> None:
    """Leave nothing of others' in the vhost of a test that takes it as it is."""
    names = set(request.fixturenames)
    if "rabbitmq_url" in names and not names & {"empty_rabbitmq", "rabbitmq"}:
        vhost.wipe_if_used(request.getfixturevalue("rabbitmq_url"))


@pytest.fixture(scope="session")
def pristine_postgres(postgres_url: str) -> Iterator[pristine.Postgres]:
    """What empties this run's database."""
    with contextlib.closing(pristine.Postgres(postgres_url)) as emptied:
        yield emptied


@pytest.fixture
def postgres(postgres_url: str, pristine_postgres: pristine.Postgres, configure: Callable[..., None]) -> Iterator[str]:
    """Empty tables in PostgreSQL."""
    configure(database_url=postgres_url)
    database.connect(postgres_url)
    with database.connection():
        pristine_postgres.empty()
        yield postgres_url
    db.obj.close_all()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an SQLite file whose tables are migrated and empty."""
    return pristine.migrated_sqlite(tmp_path_factory.mktemp("migrated"))


@pytest.fixture
def sqlite(migrated_sqlite: Path, tmp_path: Path, configure: Callable[..., None]) -> Iterator[str]:
    """Empty tables in an SQLite file."""
    url = f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path)}"
    configure(database_url=url)
    database.connect(url)
    with database.connection():
        # As in PostgreSQL: only of a machine that died could the last be lost.
        db.execute_sql("PRAGMA synchronous = OFF")
        yield url


def until_waiting_for_a_lock(patience: float = 10) -> None:
    """Wait until another connection waits for a lock that this one holds (pg_stat_activity would be cached here)."""
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
    deadline = time.monotonic() + patience
    while not db.execute_sql(waits).fetchone()[0]:
        assert time.monotonic() < deadline, "nobody waits for a lock"
        time.sleep(0.01)


def in_a_thread(act: Callable[[], object]) -> threading.Thread:
    """Start something on a connection of its own, beside this thread."""

    def run() -> None:
        with database.connection():
            act()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.fixture(params=["sqlite", "postgres"])
def any_database(request: pytest.FixtureRequest) -> str:
    """Run the test on both kinds of database."""
    return str(request.getfixturevalue(request.param))
