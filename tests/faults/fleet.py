"""A fleet: several `slowpost run` on one PostgreSQL and one RabbitMQ, as on several machines; whoever dies is started
again.

What dies is noted with its time. `settle` lets the route come to rest, with sweeps on a clock that is ahead, so that
nobody waits for the minutes after which a sweep puts back what was lost.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import random
import re
import signal
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import pika

from models import Contact, Delivery, State, address, database
from models.states import UNFINISHED
from pipeline import sweep
from pipeline.runtime.failpoints import VARIABLE
from tests.broker.conftest import until
from tests.effort import counts
from tests.faults.invariants import Run, check
from tests.faults.oracle import accepted
from tests.faults.starter import USUAL, Process, Starter

#: Lets PostgreSQL note by which process, as it names itself (PGAPPNAME), each claim was made.
NOTE_HOLDERS = """
CREATE TABLE claim_holder (token text PRIMARY KEY, name text NOT NULL);
CREATE FUNCTION note_holder() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO claim_holder VALUES (NEW.token, current_setting('application_name'));
    RETURN NULL;
END $$;
CREATE TRIGGER note_holder AFTER INSERT ON attempt
    FOR EACH ROW WHEN (NEW.token IS NOT NULL) EXECUTE FUNCTION note_holder();
"""

#: Threads of each process, unless many wait for something: each has a connection to PostgreSQL, dear to open.
THREADS = counts(4, 8)
#: Seconds in which a process has to be gone that was told to stop.
STOPS_WITHIN = 60
#: Seconds in which a process has to heed SIGTERM: one that is told to stop before simply ends.
STARTS_WITHIN = 30
#: Seconds in which all is sent where no message may be lost: less than those after which a sweep on the real clock
#: would put it back (`sweep.STUCK_AFTER`, MAIL_MAX_LATENESS + `sweep.SLOT_GRACE`).
BY_ITSELF_WITHIN = 80
#: Seconds after which a queue that has been declared survives a kill of its node (docs/dependencies.md).
QUEUES_LAST_AFTER = 1.5
#: Seconds between two sweeps that help a run to go on.
SWEEP_EVERY = 2
#: Of the sweeps that help a run to settle, each is so much further ahead than the last.
AHEAD = dt.timedelta(minutes=15)


class Fleet:
    """Processes that are started again when they die.

    Attributes:
        environment: theirs.
        failpoints: the directory in which failpoints are armed.
        sources: contact ids by the message that they came in.
        broken: when a process was killed, or frozen (UTC), by its name.
    """

    def __init__(
        self, environment: dict[str, str], folder: Path, *publish_to: str, size: int = 4, threads: int = THREADS
    ) -> None:
        """Prepare `size` processes of `threads` threads; `with` starts and stops them. Contacts are published to their
        RabbitMQ, or by the URLs `publish_to`, whichever of them answers first.
        """
        self.failpoints = folder / "failpoints"
        self.failpoints.mkdir()
        self.environment = environment | {VARIABLE: str(self.failpoints)}
        self.broken: defaultdict[str, list[dt.datetime]] = defaultdict(list)
        self.folder = folder
        self._size, self._threads = size, threads
        self._starter: Starter
        self._processes: list[Process] = []
        self._names: dict[int, str] = {}
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self._publish_to = [pika.URLParameters(url) for url in publish_to or [environment["BROKER_URL"]]]
        self._started = self._sweeps = self._deaths = self._deaths_due = 0
        self._noting = threading.Lock()
        self.sources: dict[str, list[int]] = {}

    def __enter__(self) -> Self:
        """Start them."""
        database.db.execute_sql(NOTE_HOLDERS)
        self._starter = Starter(self.environment)
        self._processes = [self._start() for _ in range(self._size)]
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop them as an operator would; one that does not obey is killed, and fails the test."""
        self._stopping.set()
        self._watcher.join()
        try:
            codes = self._stop_all()
        finally:
            self._starter.close()
        assert codes == [0] * len(codes), f"exit codes {codes}: {self.log()[-3000:]}"

    @property
    def pids(self) -> list[int]:
        """The ids of the processes that run now."""
        return [process.pid for process in self._processes]

    @property
    def frozen(self) -> set[int]:
        """The ids of those that have stopped at a failpoint, or by SIGSTOP, and wait to be continued."""
        return {pid for pid in self.pids if _state_of(pid) == "T"}

    @property
    def kills(self) -> int:
        """How many have been killed, or frozen."""
        return sum(map(len, self.broken.values()))

    def kill_one(self, rng: random.Random) -> None:
        """Kill one of them, whatever it is doing."""
        process = rng.choice(self._processes)
        process.kill()
        process.wait()

    def freeze_one(self, rng: random.Random, seconds: float) -> None:
        """Stop one of them for a while, whatever it is doing."""
        process = rng.choice(self._processes)
        self.broken[self._names[process.pid]].append(dt.datetime.now(dt.UTC))
        process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        process.send_signal(signal.SIGCONT)

    def arm(self, failpoint: str, action: str = "kill") -> None:
        """Let the next process that comes to `failpoint` do `action`."""
        file = self.failpoints / failpoint
        self._deaths_due += action == "kill" and not file.exists()
        draft = self.folder / "armed"
        draft.write_text(action)
        draft.rename(file)

    def disarm(self, failpoint: str) -> None:
        """Let nobody die any more who comes to `failpoint`."""
        with contextlib.suppress(FileNotFoundError):
            (self.failpoints / failpoint).unlink()
            self._deaths_due -= 1

    def fires(self, failpoint: str, patience: float = 30) -> bool:
        """Tell whether an armed failpoint fires; sweeps bring back meanwhile what earlier kills have lost."""
        deadline = time.monotonic() + patience
        next_sweep = time.monotonic() + SWEEP_EVERY
        while (self.failpoints / failpoint).exists():
            if time.monotonic() > deadline:
                return False
            if time.monotonic() > next_sweep:
                self.sweep_ahead()
                next_sweep = time.monotonic() + SWEEP_EVERY
            time.sleep(0.01)
        return True

    @property
    def contacts(self) -> int:
        """How many have been published."""
        return sum(map(len, self.sources.values()))

    def publish(self, number: int) -> list[int]:
        """Import new contacts and put their ids on `intake` in one message; return the ids."""
        source = f"source-{len(self.sources)}"
        ids = new_contacts(source, number)
        self.sources[source] = ids
        self.send(source, ids)
        return ids

    def send(self, source: str, ids: Any, patience: float = 60, *, queue: str = "intake") -> None:
        """Put ids, or what else names them, on a queue, as a program with pika and confirms does; again while RabbitMQ
        is away.
        """
        deadline = time.monotonic() + patience
        while True:
            try:
                with pika.BlockingConnection(self._publish_to) as connection:
                    channel = connection.channel()
                    channel.confirm_delivery()
                    properties = pika.BasicProperties(message_id=source, delivery_mode=2)
                    channel.basic_publish("", queue, json.dumps(ids).encode(), properties, mandatory=True)
                return
            except (pika.exceptions.AMQPError, OSError):
                assert time.monotonic() < deadline, "RabbitMQ does not come back"
                time.sleep(0.2)

    def publish_small(self, messages: int, each: int = 3) -> None:
        """Publish contacts in many small messages, so that there is something in the queues."""
        for _ in range(messages):
            self.publish(each)

    def publish_at_once(self, messages: int) -> None:
        """Publish contacts, each in a message of its own, faster than they are taken."""
        sources = [f"source-{len(self.sources) + number}" for number in range(messages)]
        self.sources |= {source: new_contacts(source, 1) for source in sources}
        with pika.BlockingConnection(self._publish_to) as connection:
            channel = connection.channel()
            for source in sources:
                properties = pika.BasicProperties(message_id=source, delivery_mode=2)
                channel.basic_publish("", "intake", json.dumps(self.sources[source]).encode(), properties)

    def until_taken_in(self) -> None:
        """Wait until all contacts stand in the database: what is on `intake` is nowhere else yet."""
        until(lambda: self._taken_in() == self.contacts, self.log)

    def _taken_in(self) -> int:
        """Return of how many of the published contacts there are deliveries: those of campaigns are made otherwise."""
        return int(Delivery.select().where(Delivery.campaign.is_null()).count())

    def until_all_is_sent(self) -> float:
        """Wait for that without a sweep that helps: no message may be lost; return the seconds that took."""
        started = time.monotonic()
        sent = Delivery.select().where(Delivery.state == State.SENT)
        until(lambda: sent.count() == self.contacts, lambda: f"{self._states()} {self.log()[-3000:]}", BY_ITSELF_WITHIN)
        return time.monotonic() - started

    def settle(self, patience: float = 180) -> float:
        """Wait until nothing waits any more but for a person; return the seconds that took."""
        started = time.monotonic()
        waiting = Delivery.state.in_(UNFINISHED) & Delivery.state.not_in([State.IN_DOUBT, State.SENDING])
        next_sweep = started + SWEEP_EVERY
        while Delivery.select().where(waiting).exists() or self._taken_in() < self.contacts:
            assert time.monotonic() - started < patience, f"it does not settle: {self._states()} {self.log()[-3000:]}"
            if time.monotonic() > next_sweep:
                self.sweep_ahead()
                next_sweep = time.monotonic() + SWEEP_EVERY
            time.sleep(0.2)
        return time.monotonic() - started

    def violations(
        self, file: Path, faults: Sequence[dt.datetime] = (), *, interval: float = 0.1, **more: Any
    ) -> list[str]:
        """Return what does not hold of I1 to I8 when all processes have stopped.

        Args:
            file: the oracle's.
            faults: when something was cut off that may have been anybody's (UTC).
            interval: theirs, in seconds.
            more: what else a `Run` knows.
        """
        doubt_what_is_open()
        holders = dict(database.db.execute_sql("SELECT token, name FROM claim_holder").fetchall())
        known: dict[str, Any] = {"limit": 1000, "interval": interval, "holders": holders, "broken": self.broken} | more
        return check(Run(self.sources, accepted(file), faults, **known))

    def sweep_ahead(self, *doubt_after: float) -> None:
        """Sweep on a clock that is ahead, and put the messages on the queues; a claim is in doubt `doubt_after` seconds
        after it, 15 unless it is said. It publishes, too, and so can come to an armed failpoint and die.
        """
        self._sweeps += 1
        ahead = str((AHEAD * self._sweeps).total_seconds())
        log = self.folder / "sweeps"
        words = [ahead, *map(str, doubt_after)]
        sweeper = self._starter.start("tests.faults.sweep_ahead", *words, log=log, PGAPPNAME="sweeper")
        code = sweeper.wait(60)
        self._note_death("sweeper", sweeper)
        assert code in (0, -signal.SIGKILL), log.read_text()[-3000:]

    def publish_batch(self) -> None:
        """Run the batch publisher, as cron does; it can die, too."""
        log = self.folder / "publishers"
        publisher = self._starter.start("slowpost", "publish", log=log, PGAPPNAME="publisher")
        code = publisher.wait(60)
        self._note_death("publisher", publisher)
        assert code in (0, -signal.SIGKILL), log.read_text()[-3000:]

    def _stop_all(self) -> list[int]:
        """Stop them all; return their exit codes."""
        self._until_all_heed_a_stop()
        for process in self._processes:
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
        codes = []
        for process in self._processes:
            try:
                codes.append(process.wait(STOPS_WITHIN))
            except subprocess.TimeoutExpired:
                process.kill()
                codes.append(process.wait())
        return codes

    def _until_all_heed_a_stop(self) -> None:
        """Wait until everybody whom the test has killed is dead and has a successor, and all have started."""
        deadline = time.monotonic() + STARTS_WITHIN
        while True:
            self._replace_the_dead()
            still_armed = sum(file.read_text() == "kill" for file in self.failpoints.iterdir())
            if self._deaths >= self._deaths_due - still_armed and all(_catches(signal.SIGTERM, p) for p in self.pids):
                return
            assert time.monotonic() < deadline, f"a process does not start: {self.log()[-3000:]}"
            time.sleep(0.05)

    def log(self) -> str:
        """Return what all of them have said."""
        return (self.folder / "log").read_text()

    def _states(self) -> dict[str, int]:
        query = "SELECT state, count(*) FROM delivery GROUP BY state"
        return dict(database.db.execute_sql(query).fetchall())

    def _start(self) -> Process:
        name = f"process-{self._started}"
        self._started += 1
        words = ("run", "--threads", str(self._threads))
        process = self._starter.start("slowpost", *words, log=self.folder / "log", PGAPPNAME=name)
        self._names[process.pid] = name
        return process

    def _watch(self) -> None:
        while not self._stopping.wait(0.02):
            self._replace_the_dead()

    def _replace_the_dead(self) -> None:
        for number, process in enumerate(self._processes):
            if process.poll() is None:
                continue
            self._note_death(self._names[process.pid], process)
            self._processes[number] = self._start()

    def _note_death(self, name: str, process: Process) -> None:
        """Note when a process was killed, if it was."""
        if process.returncode == -signal.SIGKILL:
            with self._noting:
                self.broken[name].append(dt.datetime.now(dt.UTC))
                self._deaths += 1


def _state_of(pid: int) -> str:
    """Return a process's state as Linux has it; `T`: stopped, and nothing: gone."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        # The name before it may hold blanks and brackets.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def _catches(number: signal.Signals, pid: int) -> bool:
    """Tell whether a process is there and has a handler for a signal, as Linux has it: a mask of all it catches."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        (mask,) = re.findall(r"^SigCgt:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        return bool(int(mask, 16) >> (number - 1) & 1)
    return False


def new_contacts(source: str, number: int) -> list[int]:
    """Store contacts whose addresses name the message they are going to come in; return their ids."""
    now = database.now()
    names = [f"{source}-{i}@site{i}-{source}.test" for i in range(number)]
    rows = [{"email": n, "address": address.normalise(n), "created_at": now, "updated_at": now} for n in names]
    return [row.id for row in Contact.insert_many(rows).returning(Contact.id).execute()]


def doubt_what_is_open() -> None:
    """Mark claims without an outcome, as the sweep does when their time is up; for when all processes have stopped."""
    sweep.mark_in_doubt(database.now())


def environment(postgres: str, rabbitmq: str, **more: str) -> dict[str, str]:
    """Return what a user's `.env` would say: always open, no spread, a short interval, short timeouts."""
    return (
        os.environ
        | USUAL
        | {
            "DATABASE_URL": postgres,
            "BROKER_URL": rabbitmq,
            "MAIL_WINDOW_START": "0",
            "MAIL_WINDOW_END": "0",
            "MAIL_WINDOW_TIMEZONE": "UTC",
            "MAIL_SPREAD": "off",
            "MAIL_MIN_INTERVAL": "0.1",
            "MAIL_DAILY_LIMIT": "1000",
            "MAIL_SMTP_TIMEOUT": "3",
            "MAIL_DATA_TIMEOUT": "4",
            "MAIL_MAX_LATENESS": "30",
            # The schedule's batch publisher finds nobody: only what the test publishes comes in.
            "MAIL_PUBLISH_MIN_PRIORITY": "9",
            **more,
        }
    )
