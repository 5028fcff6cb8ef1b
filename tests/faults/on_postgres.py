"""A PostgreSQL of a test's own that may be broken, and a fleet at work on it."""

from __future__ import annotations

import contextlib
import datetime as dt
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from models import Delivery, State, database, schema
from tests.broker.conftest import until
from tests.builders import a_template, an_account
from tests.faults import fleet as fleets
from tests.faults.fleet import Fleet
from tests.faults.oracle import accepted, oracle
from tests.servers import PrivatePostgres

ACCOUNTS, PROCESSES = 20, 2
#: Connections that the server gives to anybody.
CONNECTIONS = 60


class SmallPostgres(PrivatePostgres):
    """A server whose connections are soon used up."""

    def _command(self) -> list[str]:
        more = {"max_connections": CONNECTIONS, "superuser_reserved_connections": 0}
        return [*super()._command(), *(word for name, value in more.items() for word in ("-c", f"{name}={value}"))]

    def crash(self) -> None:
        """End it at once, as `pg_ctl stop -m immediate` does: nobody is told, and its log is replayed afterwards."""
        self._end(signal.SIGQUIT)


@dataclass
class World:
    """The processes that work on a server, and the oracle's file."""

    server: PrivatePostgres
    fleet: Fleet
    file: Path
    first: list[int]
    stop: Callable[[], None]

    def until_some_are_sent(self, number: int, patience: float = 60) -> None:
        """Wait until the oracle has taken so many more messages."""
        wanted = len(accepted(self.file)) + number
        until(lambda: len(accepted(self.file)) >= wanted, lambda: self.fleet.log()[-3000:], patience)

    def finish(self, faults: list[dt.datetime]) -> float:
        """Let everything come to rest and stop; nothing is violated, nobody has died or raised. Return the seconds."""
        seconds = self.fleet.settle()
        assert self.fleet.pids == self.first, "a process has died"
        # Before it stops: Dramatiq logs with a traceback what a worker then puts back.
        log = self.fleet.log()
        self.stop()
        found = self.fleet.violations(self.file, faults)
        assert found == [], log[-6000:]
        mistakes = [line for line in log.splitlines() if "Traceback" in line or "fault" in line]
        assert mistakes == []
        assert "the database" in log, "nobody had to wait"
        return round(seconds, 1)

    @property
    def in_doubt(self) -> int:
        """How many mails are in doubt."""
        return Delivery.select().where(Delivery.state == State.IN_DOUBT).count()


@contextlib.contextmanager
def at_work(
    server: PrivatePostgres, url: str, rabbitmq: str, folder: Path, configure: Callable[..., None]
) -> Iterator[World]:
    """Let a fleet work on empty tables of `server`, which it reaches by `url`; the test itself goes straight to it."""
    configure(database_url=server.url)
    database.connect(server.url)
    with database.connection(), oracle(folder) as (port, file):
        database.db.execute_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        schema.migrate()
        a_template()
        for _ in range(ACCOUNTS):
            an_account(port=port)
        with contextlib.ExitStack() as running:
            fleet = running.enter_context(Fleet(fleets.environment(url, rabbitmq), folder, size=PROCESSES))
            yield World(server, fleet, file, fleet.pids, running.close)
    database.db.obj.close_all()


@contextlib.contextmanager
def takes_no_writes(server: PrivatePostgres) -> Iterator[None]:
    """Let the server refuse all that is written, as one does that has become a standby."""
    with contextlib.closing(psycopg2.connect(server.url)) as admin:
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")
            _refuse_writes(cursor, "on")
            try:
                yield
            finally:
                _refuse_writes(cursor, "off")
                # Until all its sessions have heard of it.
                time.sleep(0.5)


def _refuse_writes(cursor: Any, setting: str) -> None:
    cursor.execute(f"ALTER SYSTEM SET default_transaction_read_only = {setting}")
    cursor.execute("SELECT pg_reload_conf()")
