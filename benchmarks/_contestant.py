"""What sends mails in its own way, with workers in processes of their own, and what it has used up.

Each has a database of its own for a run, that begins as all others; contacts are put in by ids, from 1 on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from benchmarks import _spent
from benchmarks._world import World, ask
from tests.wire import AmqpWire, Counts, PostgresWire

PROCESSES, THREADS = 2, 8
#: Seconds without a new row after which a run counts as stuck; in which a process has to end.
PATIENCE = 120
#: Seconds without a new request after which nothing more is expected of a run.
QUIET = 1.0
_LOOK_EVERY = 0.1


class StuckError(Exception):
    """A run does not go on; the message has the end of its log."""


@dataclass
class Running:
    """A contestant at work.

    Attributes:
        database: where it stores what it does.
        amqp: its vhost; "" if it has none.
        log: what its processes print.
        pids: its processes, without those that they start.
    """

    database: str
    amqp: str
    log: Path
    pids: list[int] = field(default_factory=list)


class Contestant(ABC):
    """Sends mails to contacts.

    Args:
        world: where.
        processes, threads: its workers.
        prefetch: messages that a worker takes from a queue beforehand; 0: Dramatiq's default.
    """

    name: str
    #: A query for how many mails are stored as sent, with all that belongs to one; and for the time of the last of
    #: them, or of one contact's being accepted, in seconds since 1970.
    STORED: str
    LAST: str
    ACCEPTED: str

    def __init__(self, world: World, *, processes: int = PROCESSES, threads: int = THREADS, prefetch: int = 0) -> None:
        self.world, self.processes, self.threads, self._prefetch = world, processes, threads, prefetch
        self.wires: tuple[PostgresWire, AmqpWire] | None = None

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count all that its processes send, for the block; that makes them slower."""
        postgres, amqp = PostgresWire(self.world.postgres.port), AmqpWire(self.world.rabbitmq.port)
        with postgres, amqp:
            self.wires = postgres, amqp
            try:
                yield
            finally:
                self.wires = None

    def counts(self) -> Counts:
        """Return what has been sent until nothing more was: a trigger can come behind the last mail."""
        assert self.wires is not None
        postgres, amqp = self.wires
        found, since = Counts(), time.monotonic()
        while time.monotonic() < since + QUIET:
            time.sleep(_LOOK_EVERY)
            if (now := postgres.counts + amqp.counts) != found:
                found, since = now, time.monotonic()
        return found

    @contextmanager
    def prepared(self) -> Iterator[Running]:
        """Yield a database and a vhost, and no process."""
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="slowpost-bench-"))
            database = stack.enter_context(self._database(Path(folder)))
            amqp = stack.enter_context(self._vhost())
            at = Running(database, amqp, Path(folder) / "log")
            self._prepare(at)
            yield at

    @contextmanager
    def running(self) -> Iterator[Running]:
        """Yield it with its workers, which are ended afterwards."""
        with self.prepared() as at, self.working(at):
            yield at

    @contextmanager
    def working(self, at: Running) -> Iterator[None]:
        """Run its workers for the block."""
        # setpriv: they end with this process, however that ends.
        command = ["setpriv", "--pdeathsig", "SIGTERM", sys.executable, *self._workers()]
        with at.log.open("a") as log:
            process = subprocess.Popen(command, env=self.environment(at), stdout=log, stderr=log)  # noqa: S603  (ours)
        at.pids.append(process.pid)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            at.pids.remove(process.pid)

    def put_in(self, at: Running, first: int, last: int) -> dict[str, float]:
        """Put contacts in; return when that began and ended, and the seconds of CPU time that it took."""
        times: dict[str, float] = json.loads(self._run(at, *self._producer(at, first, last)))
        return times

    def wait_for(self, at: Running, number: int) -> None:
        """Wait until so many mails are stored as sent. Raises StuckError."""
        found, since = 0, time.monotonic()
        while found < number:
            time.sleep(_LOOK_EVERY)
            if (now := int(ask(at.database, self.STORED))) != found:
                found, since = now, time.monotonic()
            if time.monotonic() > since + PATIENCE:
                raise StuckError(f"{self.name}: {found} of {number} mails are sent: {at.log.read_text()[-2000:]}")

    def last(self, at: Running) -> float:
        """Return when the last mail was stored as sent."""
        return float(ask(at.database, self.LAST))

    def accepted(self, at: Running, contact_id: int) -> float:
        """Return when a contact's mail was accepted."""
        return float(ask(at.database, self.ACCEPTED.format(contact_id)))

    def cpu(self, at: Running) -> float:
        """Return the seconds of CPU time of its workers."""
        return _spent.cpu(*at.pids)

    def memory(self, at: Running) -> float:
        """Return the megabytes of each worker process, with those that it has started."""
        return _spent.memory(*at.pids) / self.processes

    def environment(self, at: Running) -> dict[str, str]:
        """Return what its processes are told."""
        # The proxies read what passes.
        plain = {"PGSSLMODE": "disable", "PGGSSENCMODE": "disable"}
        return os.environ | plain | {"dramatiq_queue_prefetch": str(self._prefetch)} | self._variables(at)

    def _run(self, at: Running, *words: str) -> str:
        """Run a Python program to its end; return what it printed. Raises StuckError."""
        command, environment = [sys.executable, *words], self.environment(at)
        done = subprocess.run(command, env=environment, capture_output=True, text=True)  # noqa: S603  (ours)
        if done.returncode:
            raise StuckError(f"{self.name}: {done.stderr[-2000:]}")
        return done.stdout

    def _prepare(self, at: Running) -> None:  # noqa: B027  (most have nothing to do)
        """Do what has to be done once, before its workers start."""

    def _through(self, url: str, which: int) -> str:
        """Return a server's URL, through the proxy if there is one."""
        if self.wires is None or not url:
            return url
        parts = urlsplit(url)
        login, _, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{self.wires[which].port}"))

    def _vhost(self) -> Any:
        return self.world.vhost()

    @abstractmethod
    def message(self, contact_id: int) -> tuple[str, bytes]:
        """Return the queue, and the message that puts one contact in."""

    @abstractmethod
    def _database(self, folder: Path) -> Any: ...

    @abstractmethod
    def _variables(self, at: Running) -> dict[str, str]: ...

    @abstractmethod
    def _workers(self) -> list[str]: ...

    @abstractmethod
    def _producer(self, at: Running, first: int, last: int) -> list[str]: ...
