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
from tests.effort import is_full
from tests.faults import fleet as fleets
from tests.faults.on_postgres import World, at_work
from tests.servers import PrivatePostgres, ServerError, ids


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


#: Of the server's disk.
DISK_MIB = 128
#: Contacts that come in while there is room, and while there is none: more than tables have free pages for.
CONTACTS_EACH = 60
#: What the server says of a table that can't grow and of a connection it has no room for, and when it gives up.
REFUSES, GIVES_UP = re.compile("could not extend file|could not write init file"), "PANIC"


class NoSmallDiskError(ServerError):
    """A small disk can't be mounted; the message says why."""


class PostgresOnASmallDisk(PrivatePostgres):
    """A server whose data lie on a file system of their own, which only it sees (a mount namespace of its own)."""

    def __init__(self) -> None:
        super().__init__()
        self._keeper: subprocess.Popen[bytes] | None = None
        self._is_mapped = False

    def _prepare(self) -> None:
        refusals = [self._mount(["--mount"])] if os.geteuid() == 0 else []
        if self._keeper is None:
            # Who may not mount may still be root of a user namespace, as whom the server then runs under another id.
            self._is_mapped = True
            os.chown(self.home, os.getuid(), os.getgid())
            refusals.append(self._mount(["--mount", "--map-root-user"]))
        if self._keeper is None:
            raise NoSmallDiskError(f"a small disk can't be mounted: {'; '.join(refusals)}")
        super()._prepare()

    def _mount(self, namespaces: list[str]) -> str:
        """Start a process that sees the disk and keeps it; where that is refused, return by what words."""
        script = f'mount -t tmpfs -o size={DISK_MIB}m,mode=1777 tmpfs "$0" && touch "$0/mounted" && exec sleep infinity'
        with (self.home / "refusal").open("wb") as refusal:
            self._keeper = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", *namespaces, "sh", "-c", script, str(self.home)],
                stdin=subprocess.DEVNULL,
                stderr=refusal,
            )
        while not (self.disk / "mounted").exists():
            if self._keeper.poll() is not None:
                self._keeper = None
                return (self.home / "refusal").read_text().strip()
            time.sleep(0.02)
        return ""

    def _as_user(self) -> list[str]:
        assert self._keeper is not None
        enter = ["nsenter", f"--target={self._keeper.pid}", "--mount"]
        if not self._is_mapped:
            return [*enter, *super()._as_user()]
        uid, gid = (os.getuid(), os.getgid()) if os.geteuid() else ids(self.user)
        back = ["unshare", f"--map-user={uid}", f"--map-group={gid}"]
        return [*enter, "--user", "--preserve-credentials", *back, "setpriv"]

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
    """A server that nobody else uses; where nothing can be mounted a run of all tests goes without, and says so."""
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(PostgresOnASmallDisk())
        except NoSmallDiskError as refusal:
            if is_full():
                raise
            pytest.skip(str(refusal))
        yield running


@pytest.fixture
def world(
    server: PostgresOnASmallDisk, rabbitmq: str, tmp_path: Path, configure: Callable[..., None]
) -> Iterator[World]:
    """A fleet at work on empty tables."""
    with at_work(server, server.url, rabbitmq, tmp_path, configure) as world:
        yield world


def write_log_until_it_gives_up(server: PostgresOnASmallDisk) -> None:
    """Write to the server's log, as other clients of it do, until it finds no room for that, and gives up."""
    deaths = server.log.count(GIVES_UP)
    with contextlib.suppress(psycopg2.OperationalError), contextlib.closing(psycopg2.connect(server.url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for _ in range(DISK_MIB):
                cursor.execute("SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000))")
    assert server.log.count(GIVES_UP) > deaths
