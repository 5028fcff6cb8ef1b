"""The contestants: the hand-written actor of `peers/`, Slowpost with its servers, and Slowpost without any."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dramatiq

from benchmarks._contestant import Contestant, Running
from benchmarks._world import PEERS, SETTINGS, World, bound, store
from pipeline.flow import Stage


class Actor(Contestant):
    """One hand-written Dramatiq actor for all steps, with kept SMTP connections."""

    name = "one hand-written Dramatiq actor"
    STORED = "SELECT count(*) FROM sent_log"
    LAST = "SELECT extract(epoch FROM max(sent_at)) FROM sent_log"
    ACCEPTED = "SELECT extract(epoch FROM sent_at) FROM sent_log WHERE contact_id = {}"

    def message(self, contact_id: int) -> tuple[str, bytes]:
        """Return what its own `send` would publish."""
        name = "send_outreach_email"
        made: dramatiq.Message[None] = dramatiq.Message("peers", name, (contact_id,), {}, {})
        return made.queue_name, made.encode()

    def _database(self, _folder: Path) -> Any:
        return self.world.database("for_peers")

    def _variables(self, at: Running) -> dict[str, str]:
        return {
            "PEERS_DSN": self._through(at.database, 0),
            "PEERS_AMQP": self._through(at.amqp, 1),
            "PEERS_SINK_PORT": str(self.world.sink.port),
            "PEERS_KEEP": "1",
        }

    def _workers(self) -> list[str]:
        size = ["--processes", str(self.processes), "--threads", str(self.threads)]
        return ["-m", "dramatiq", "dramatiq_naive", "--path", str(PEERS), *size]

    def _producer(self, _at: Running, first: int, last: int) -> list[str]:
        return [str(PEERS / "dramatiq_naive.py"), str(first), str(last)]


class Slowpost(Contestant):
    """Slowpost on PostgreSQL and RabbitMQ, with contacts that another program puts onto `intake`."""

    STORED = "SELECT count(*) FROM delivery WHERE state = 'sent' AND recorded_at IS NOT NULL"
    LAST = "SELECT extract(epoch FROM max(recorded_at)) FROM delivery"
    ACCEPTED = "SELECT extract(epoch FROM sent_at) FROM delivery WHERE contact_id = {}"

    def __init__(self, world: World, size: int, **options: int) -> None:
        """Put contacts in in lists of `size`."""
        super().__init__(world, **options)
        self.size = size
        self.name = "Slowpost, one id a message" if size == 1 else f"Slowpost, lists of {size:,}"

    def message(self, contact_id: int) -> tuple[str, bytes]:
        """Return what any program may publish."""
        return Stage.INTAKE, json.dumps([contact_id]).encode()

    def _database(self, _folder: Path) -> Any:
        return self.world.database("for_slowpost")

    def _variables(self, at: Running) -> dict[str, str]:
        amqp = self._through(at.amqp, 1) or "memory://"
        return SETTINGS | {"DATABASE_URL": self._through(at.database, 0), "BROKER_URL": amqp}

    def _prepare(self, at: Running) -> None:
        self._run(at, "-m", "slowpost", "init")

    def _workers(self) -> list[str]:
        return ["-m", "slowpost", "worker", "--processes", str(self.processes), "--threads", str(self.threads)]

    def _producer(self, at: Running, first: int, last: int) -> list[str]:
        of = [str(first), str(last), str(self.size)]
        return ["-m", "benchmarks._producer", self._through(at.amqp, 1), *of]


class Embedded(Slowpost):
    """Slowpost as it is without any setting: one process, an SQLite file, and no broker."""

    LAST = "SELECT (julianday(max(recorded_at)) - 2440587.5) * 86400 FROM delivery"

    def __init__(self, world: World, contacts: int, campaigns: int) -> None:
        """Begin with so many contacts and campaigns."""
        super().__init__(world, 1, processes=1)
        self.name = "Slowpost, embedded (`run`, `publish`)"
        self._contacts, self._campaigns = contacts, campaigns

    @contextmanager
    def _vhost(self) -> Iterator[str]:
        yield ""

    @contextmanager
    def _database(self, folder: Path) -> Iterator[str]:
        url = f"sqlite:///{folder}/slowpost.db"
        with bound(url):
            store(self._contacts, self._campaigns, "127.0.0.1", self.world.sink.port)
        yield url

    def _workers(self) -> list[str]:
        return ["-m", "slowpost", "run", "--threads", str(self.threads)]

    def put_in(self, at: Running, first: int, last: int) -> dict[str, float]:
        """Let the batch publisher pick as many, as a user would."""
        began, cpu = time.time(), os.times()
        self._run(at, "-m", "slowpost", "publish", "--min-priority", "0", "--limit", str(last - first + 1))
        now = os.times()
        spent = now.children_user + now.children_system - cpu.children_user - cpu.children_system
        return {"t0": began, "t1": time.time(), "cpu": spent}
