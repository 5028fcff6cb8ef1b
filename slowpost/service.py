"""Long-running processes: `run` (workers, schedule and web pages in one), `worker`, `scheduler` and `web`.

Reads: the settings. Trouble: SIGTERM and SIGINT end a process after the SMTP dialogues it is in, once their outcomes
are stored; database or RabbitMQ away, at the start or later: it waits and says what for.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from types import FrameType

import dramatiq

import actors
from actors import entry, running, waiting
from actors.waiting import PutBackError, until_available
from models import Delivery, Kind, State, database, schema
from models.control import control
from models.exclusive import Exclusive, exclusive
from pipeline import sweep
from pipeline.accounts import passwords
from pipeline.deliver_message import connections
from pipeline.flow import TRIGGER, Handoff, Stage, hand_on
from pipeline.operations import keyed_hashes, unsubscribe
from pipeline.rules import forgotten
from pipeline.runtime.keys import KeyLockedError
from pipeline.runtime.logs import log
from pipeline.runtime.secret_key import SecretKeyError
from pipeline.runtime.settings import settings
from pipeline.runtime.waiting import connected
from pipeline.watch.hearts import beating
from schedules.read_mailboxes import watching
from schedules.scheduler import make_scheduler

#: Threads of an embedded worker.
THREADS = 8
#: Seconds between two looks at the database for what other commands have put there.
LOOK_EVERY = 1.0
#: Milliseconds a worker thread waits before it looks whether a delayed message is due.
WORKER_TIMEOUT_MS = 100


def run(threads: int = THREADS, stop: threading.Event | None = None) -> None:
    """Run workers and schedule, and the web pages where mails lead to them, in this process until SIGTERM, SIGINT or
    `stop`.

    Raises:
        AlreadyRunningError: another one runs on the same SQLite file, or, with `memory://`, on the same database.
        ListenError: an address of the web pages can't be listened on.
    """
    stop = stop or stop_at_signals()
    with _stopping_well(), beating(Kind.RUN), nullcontext() if settings().mail_public_url is None else _web():
        wait_for_servers()
        with _alone() as right, working(threads) as seen:
            scheduler = make_scheduler()
            scheduler.start()
            log.info("running", database=_kind(settings().database_url), broker=_kind(settings().broker_url))
            try:
                with watching():
                    while not stop.wait(LOOK_EVERY):
                        until_available(right.keep)
                        if settings().is_embedded:
                            seen = until_available(connected(partial(_look, seen)))
            finally:
                scheduler.shutdown()


def wait_for_servers() -> None:
    """Wait until database and RabbitMQ are there, and say so; declare the queues.

    Raises:
        NotMigratedError: the tables are not of this version.
        KeyLockedError: people have been forgotten, and can't be told from others here.
        PutBackError: the process is told to stop meanwhile.
    """
    until_available(connected(schema.check_migrated))
    _demand_key_of_forgotten_people()
    until_available(entry.declare_topology)


def _demand_key_of_forgotten_people() -> None:
    """Raise KeyLockedError where that key can't be read; give it to the hashes that have none yet."""
    # Not waited for: SECRET_KEY is read once.
    problem = until_available(connected(forgotten.problem))
    if problem is not None:
        raise KeyLockedError(problem)
    try:
        until_available(connected(keyed_hashes.bring_up_to_date))
    except SecretKeyError as error:
        log.warning("hashes of forgotten people have no key", problem=str(error))


def warn_of_unreadable_passwords() -> None:
    """Log the accounts whose password can't be decrypted here: SECRET_KEY is missing, or does not fit."""
    unreadable = until_available(connected(passwords.unreadable))
    for problem, account_ids in unreadable.items():
        log.warning("passwords can't be decrypted", account_ids=account_ids, problem=problem)


@contextmanager
def working(threads: int = THREADS) -> Iterator[int]:
    """Run a worker in this process for the block; yield the id of the last delivery it has been handed.

    With the embedded broker everything unfinished is put on its queues first: they died with the process before.
    """
    broker = actors.start()
    warn_of_unreadable_passwords()
    worker = dramatiq.Worker(broker, worker_threads=threads, worker_timeout=WORKER_TIMEOUT_MS)
    last = until_available(connected(_last_delivery))
    handoffs = until_available(connected(sweep.refill)) if settings().is_embedded else [TRIGGER]
    worker.start()
    try:
        until_available(partial(running.publish, handoffs))
        yield last
    finally:
        worker.stop(timeout=_stops_within_ms())
        connections.close()
        broker.close()


def schedule(stop: threading.Event | None = None) -> None:
    """Run the schedule alone until SIGTERM, SIGINT or `stop`."""
    stop = stop or stop_at_signals()
    with _stopping_well(), beating(Kind.SCHEDULER):
        wait_for_servers()
        scheduler = make_scheduler()
        scheduler.start()
        log.info("scheduling", jobs=[job.name for job in scheduler.get_jobs()])
        with watching():
            stop.wait()
        scheduler.shutdown()


def web(stop: threading.Event | None = None) -> None:
    """Serve the web pages alone until SIGTERM, SIGINT or `stop`; it needs the database, and no broker.

    Raises:
        NotMigratedError: the tables are not of this version.
        ListenError: an address can't be listened on.
    """
    stop = stop or stop_at_signals()
    with _stopping_well(), beating(Kind.WEB), _web():
        stop.wait()


@contextmanager
def _web() -> Iterator[None]:
    """Serve the web pages for the block; wait for the database before, and for the key of the links."""
    # Only here: a fifth of a worker's start would be spent on what it does not use.
    from slowpost.web.server import serving

    until_available(connected(schema.check_migrated))
    with serving(until_available(connected(unsubscribe.tokens)), entry.broker_away, entry.queue_depths):
        listens = settings().mail_web_listen, settings().mail_web_operator_listen
        log.info("serving", public="{}:{}".format(*listens[0]), operator="{}:{}".format(*listens[1]))
        yield


def become_worker(processes: int, threads: int, queues: list[str]) -> None:
    """Replace this process by Dramatiq's own command, which starts and watches worker processes.

    Raises:
        NotMigratedError: the tables are not of this version.
    """
    with beating(Kind.WORKER):
        wait_for_servers()
        warn_of_unreadable_passwords()
    # Not from the working directory, where Dramatiq's command would look first: whoever can write there would run.
    command = [sys.executable, "-P", "-m", "dramatiq", "actors:start", "--path", str(Path(actors.__file__).parents[1])]
    command += ["--processes", str(processes), "--threads", str(threads)]
    command += ["--worker-shutdown-timeout", str(_stops_within_ms())]
    if queues:
        command += ["--queues", *queues]
    os.execv(sys.executable, command)  # noqa: S606  (our own command line, no shell)


def _stops_within_ms() -> int:
    """Return the milliseconds after which no dialogue that is open now can still go on."""
    return int(sweep.in_doubt_after().total_seconds() * 1000)


def stop_at_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set; they also end all waiting for a server."""
    stop = threading.Event()
    waiting.begin()

    def ask(_number: int, _frame: FrameType | None) -> None:
        # In a thread: the one that is interrupted may hold an event's lock, and would wait for itself.
        threading.Thread(target=end).start()

    def end() -> None:
        stop.set()
        waiting.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    return stop


@contextmanager
def _stopping_well() -> Iterator[None]:
    """Let a process that is told to stop while it waits end like any other."""
    with suppress(PutBackError):
        yield
    log.info("stopped")


@contextmanager
def _alone() -> Iterator[Exclusive]:
    """Be the only process, where there must be no other; see `models.exclusive`."""
    with exclusive(embedded=settings().is_embedded) as right:
        until_available(right.keep)
        yield right


def _look(after: int) -> int:
    """Hand on what other commands have selected, and trigger when the next moment has come; return the last id seen."""
    handoffs: list[Handoff] = []
    last = _last_delivery()
    new = Delivery.id.between(after + 1, last) & (Delivery.state == State.SELECTED)
    handoffs += hand_on(Stage.DEDUPE, [row.id for row in Delivery.select(Delivery.id).where(new).order_by(Delivery.id)])
    wake_at = control().wake_at
    if wake_at is not None and wake_at <= database.now():
        handoffs.append(TRIGGER)
    running.publish(handoffs)
    return last


def _last_delivery() -> int:
    newest = Delivery.select(Delivery.id).order_by(Delivery.id.desc()).first()
    return newest.id if newest else 0


def _kind(url: str) -> str:
    return url.partition(":")[0]
