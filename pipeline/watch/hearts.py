"""Heartbeats: each process says in the database that it lives and what it waits for, each job that it has run.

Writes: `heartbeat`, one statement each BEAT and process, and one for each run of a job; nothing for a mail. Trouble: a
process whose database is away can't say so, and counts as silent until it is back. A process that is killed says
nothing more; one that is told to stop says that, once its work is done.
"""

from __future__ import annotations

import datetime as dt
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import peewee

from models import Heartbeat, Kind, database
from pipeline.runtime import waiting
from pipeline.runtime.clocks import elapsed
from pipeline.runtime.faults import described
from pipeline.runtime.logs import log
from pipeline.watch import alarm

#: Seconds between two beats of a process, and between two looks of it at what is wrong.
BEAT = 10.0


class Heart:
    """A process that says that it lives: two light threads, one that beats, and one that looks what is wrong and may
    have to give alerts, which takes a while.
    """

    def __init__(self, kind: Kind) -> None:
        """Take an id; it beats only once it is started."""
        self._kind = kind
        self._process = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(2)}"
        self._stop = threading.Event()
        # It looks only after its first beat: whoever looks is one that lives.
        does = (self.beat, 0.0), (alarm.look, BEAT)
        self._threads = [threading.Thread(target=self._again_and_again, args=args, daemon=True) for args in does]
        self._since: dt.datetime | None = None

    def start(self) -> None:
        """Beat from now on."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Beat no more, and say that the process has stopped."""
        self._stop.set()
        if self._threads[0].is_alive():
            self._threads[0].join(BEAT)
        if self._since is not None:
            _quietly(self._say_stopped)

    def beat(self) -> None:
        """Say once that the process lives, and what it has waited for longest."""
        now, waits = database.now(), waiting.longest()
        self._since = self._since or now
        values: dict[str, Any] = {"beat_at": now, "stopped_at": None}
        values |= {"waits_for": None, "waits_since": None, "reason": None}
        if waits is not None:
            since = now - dt.timedelta(seconds=elapsed() - waits.began)
            values |= {"waits_for": waits.what, "waits_since": since, "reason": waits.reason}
        _store(self._process, self._kind, self._since, values)

    def _say_stopped(self) -> None:
        now = database.now()
        Heartbeat.update(beat_at=now, stopped_at=now).where(Heartbeat.process == self._process).execute()

    def _again_and_again(self, do: Callable[[], None], first_after: float) -> None:
        wait = first_after
        while not self._stop.wait(wait):
            _quietly(do)
            wait = BEAT


@contextmanager
def beating(kind: Kind) -> Iterator[None]:
    """Say for the block that this process lives."""
    heart = Heart(kind)
    heart.start()
    try:
        yield
    finally:
        heart.stop()


def ran(job: Kind, *, waits_for: str | None = None) -> None:
    """Say that a job of the schedule has run, and what it could not do all of its work without."""
    now = database.now()
    values: dict[str, Any] = {"beat_at": now, "waits_for": waits_for, "waits_since": now if waits_for else None}
    if waits_for:
        # Since when it has waited, if it has waited before.
        values["waits_since"] = peewee.fn.COALESCE(Heartbeat.waits_since, now)
    _store(job, job, now, values)


def _store(process: str, kind: Kind, since: dt.datetime, values: dict[str, Any]) -> None:
    """Change a row, or add it where it is not there."""
    if Heartbeat.update(**values).where(Heartbeat.process == process).execute():
        return
    if values["waits_for"]:
        values = values | {"waits_since": since}
    Heartbeat.insert(process=process, kind=kind, since=since, **values).on_conflict(action="nothing").execute()


def _quietly(do: Callable[[], None]) -> None:
    """Do it on a connection of its own; what goes wrong must not end the thread, and matters to nobody else."""
    try:
        with database.connection():
            do()
    except peewee.PeeweeException:
        # Away, or not migrated yet; who needs it says so.
        database.discard_connection()
    except Exception as error:
        log.error("fault", **described(error))
