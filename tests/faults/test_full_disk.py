"""PostgreSQL's disk is full: first no table grows any more, then its log doesn't, and the server gives up: it ends, or
takes no connection, until there is room again. The workers wait, nothing is lost, nothing is sent twice.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from models import database
from tests.broker.conftest import until
from tests.faults import fleet as fleets
from tests.faults.on_postgres import World, at_work
from tests.servers import PrivatePostgres, ServerError

#: Of the server's disk.
DISK_MIB = 128
#: Contacts that come in while there is room, and while there is none: more than tables have free pages for.
CONTACTS_EACH = 60
#: What the server says of a table that can't grow and of a connection it has no room for, and when it gives up.
REFUSES, GIVES_UP = re.compile("could not extend file|could not write init file"), "PANIC"


class PostgresOnASmallDisk(PrivatePostgres):
    """A server whose data lie on a file system of their own, which only it sees (a mount namespace of its own)."""

    def __init__(self) -> None:
        super().__init__()
        self._keeper: subprocess.Popen[bytes] | None = None

    def _prepare(self) -> None:
        # Who isn't root may mount in a user namespace, as whose root the server then runs under a user's id again.
        outer = ["--mount"] if os.geteuid() == 0 else ["--mount", "--map-root-user"]
        script = f'mount -t tmpfs -o size={DISK_MIB}m,mode=1777 tmpfs "$0" && touch "$0/mounted" && exec sleep infinity'
        self._keeper = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", *outer, "sh", "-c", script, str(self.home)],
            stdin=subprocess.DEVNULL,
        )
        while not (self.disk / "mounted").exists():
            if self._keeper.poll() is not None:
                raise ServerError("a small disk can't be mounted: be root, or let users have namespaces of their own")
            time.sleep(0.02)
        super()._prepare()

    def _as_user(self) -> list[str]:
        assert self._keeper is not None
        enter = ["nsenter", f"--target={self._keeper.pid}", "--mount"]
        if os.geteuid() == 0:
            return [*enter, *super()._as_user()]
        back = ["unshare", f"--map-user={os.getuid()}", f"--map-group={os.getgid()}"]
        return [*enter, "--user", "--preserve-credentials", *back, *super()._as_user()]

    def _command(self) -> list[str]:
        # Its log must not fill the disk by itself, before the test does.
        return [*super()._command(), "-c", f"max_wal_size={DISK_MIB // 4}MB"]

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        if self._keeper is not None:
            self._keeper.kill()
            self._keeper.wait()

    @property
    def disk(self) -> Path:
        """The server's disk, for who is outside."""
        assert self._keeper is not None
        return Path(f"/proc/{self._keeper.pid}/root{self.home}")

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Leave no room on the disk for the block."""
        filler = self.disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        try:
            yield
        finally:
            filler.unlink()


@pytest.fixture
def server() -> Iterator[PostgresOnASmallDisk]:
    """A server that nobody else uses."""
    with PostgresOnASmallDisk() as running:
        yield running


@pytest.fixture
def world(
    server: PostgresOnASmallDisk, rabbitmq: str, tmp_path: Path, configure: Callable[..., None]
) -> Iterator[World]:
    """A fleet at work on empty tables."""
    with at_work(server, server.url, rabbitmq, tmp_path, configure) as world:
        yield world


def test_a_disk_is_full(
    server: PostgresOnASmallDisk, world: World, counts: Callable[[int, int], int], report: Callable[..., None]
) -> None:
    times, faults = counts(1, 5), list[dt.datetime]()
    for number in range(times):
        world.fleet.publish(CONTACTS_EACH)
        source = f"meanwhile-{number}"
        later = fleets.new_contacts(source, CONTACTS_EACH)
        world.until_some_are_sent(10)
        refused = len(REFUSES.findall(server.log))
        with server.full():
            faults.append(dt.datetime.now(dt.UTC))
            world.fleet.sources[source] = later
            world.fleet.send(source, later)
            until(lambda n=refused: len(REFUSES.findall(server.log)) > n, lambda: server.log[-3000:])
            write_log_until_it_gives_up(server)
            time.sleep(counts(1, 4))
        if not server.is_running:
            server.start()
        faults.append(dt.datetime.now(dt.UTC))
        database.discard_connection()
        until(server.is_ready)
        database.db.connect(reuse_if_open=True)
    seconds = world.finish(faults)
    report(times=times, contacts=world.fleet.contacts, in_doubt=world.in_doubt, settled_in_s=seconds)


def write_log_until_it_gives_up(server: PostgresOnASmallDisk) -> None:
    """Write to the server's log, as other clients of it do, until it finds no room for that, and gives up."""
    deaths = server.log.count(GIVES_UP)
    with contextlib.suppress(psycopg2.OperationalError), contextlib.closing(psycopg2.connect(server.url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for _ in range(DISK_MIB):
                cursor.execute("SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000))")
    assert server.log.count(GIVES_UP) > deaths
