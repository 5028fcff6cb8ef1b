"""SIGTERM in the midst of SMTP dialogues: they are finished, the rest is handed back, and the next process sends it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models import Delivery, State, database
from models.control import wake_by
from models.states import UNFINISHED
from pipeline import select_contacts
from tests.broker.conftest import put_on_intake, slowpost, until
from tests.builders import a_template, an_account
from tests.faults import fleet as fleets
from tests.faults.invariants import Run, check
from tests.faults.oracle import accepted, oracle

RUN, WORKER = ["run"], ["worker", "--processes", "2", "--threads", "8"]


@pytest.mark.parametrize(
    ("command", "where"),
    [(RUN, "embedded"), (RUN, "production"), (WORKER, "production")],
    ids=["run-embedded", "run", "worker"],
)
def test_a_stop_finishes_the_dialogues_and_hands_back_the_rest(
    command: list[str],
    where: str,
    mail_server: tuple[int, Path],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    counts: Callable[[int, int], int],
    report: Callable[..., None],
) -> None:
    services = Successors(command, request.getfixturevalue(where), tmp_path)
    port, file = mail_server
    a_template()
    for _ in range(ACCOUNTS):
        an_account(port=port)
    rng = random.Random(20261124)  # noqa: S311
    stops = counts(1, 20)
    in_dialogue, handed_back, slowest = 0, 0, 0.0
    for _ in range(stops):
        before = len(accepted(file))
        services.publish(CONTACTS - services.contacts + number_in(State.SENT))
        with services.one():
            until(lambda n=before: len(accepted(file)) > n, services.log)  # type: ignore[misc]
            time.sleep(rng.uniform(0, REPLIES_AFTER))
            now = time.time()
            in_dialogue += sum(now - line.at < REPLIES_AFTER for line in accepted(file))
            told = time.monotonic()
        slowest = max(slowest, time.monotonic() - told)
        assert number_in(State.SENDING, State.IN_DOUBT) == 0, services.log()[-3000:]
        assert number_in(State.SENT) == len(accepted(file))
        handed_back += number_in(*UNFINISHED)
    with services.one():
        until(lambda: number_in(State.SENT) == services.contacts, services.log)
    assert check(Run(services.sources, accepted(file), limit=1000, interval=0.1)) == []
    assert "Traceback" not in services.log()
    # Had nothing been cut short, nothing would be shown.
    assert in_dialogue >= stops
    assert handed_back >= stops
    report(
        stops=stops,
        contacts=services.contacts,
        in_dialogue=in_dialogue,
        handed_back=handed_back,
        slowest_stop_s=round(slowest, 1),
    )


def test_with_sixteen_dialogues_open_a_group_whose_processes_are_all_told_again_and_again_ends_well(
    production: dict[str, str], tmp_path: Path, counts: Callable[[int, int], int], report: Callable[..., None]
) -> None:
    patient = production | {"MAIL_DATA_TIMEOUT": "30"}
    services = Successors(WORKER, patient, tmp_path, tell_the_group_again_and_again)
    stops = counts(1, 20)
    with oracle(tmp_path, REPLIES_LATE) as (port, file):
        a_template()
        for _ in range(ACCOUNTS):
            an_account(port=port)
        for _ in range(stops):
            services.publish(CONTACTS - services.contacts + number_in(State.SENT))
            with services.one():
                until(lambda: number_open(file) == DIALOGUES, services.log, patience=60)
            assert number_in(State.SENDING, State.IN_DOUBT) == 0, services.log()[-3000:]
            assert number_in(State.SENT) == len(accepted(file))
        assert len({mail.recipient for mail in accepted(file)}) == len(accepted(file))
    assert "Traceback" not in services.log()
    report(stops=stops, dialogues=DIALOGUES * stops, sent=number_in(State.SENT))


ACCOUNTS = 30
#: Contacts that wait before each stop: several lists for all threads, so that something is left to hand back.
CONTACTS = 40
#: Seconds in which the server replies to a dot, and in which a process has to be gone that was told to stop.
REPLIES_AFTER, STOPS_WITHIN = 0.7, 20
#: As many dialogues as WORKER has threads, and seconds in which the server replies to a dot where all are to be open.
DIALOGUES, REPLIES_LATE = 16, 5.0


def tell(process: subprocess.Popen[bytes]) -> None:
    """Tell a process to stop, as a service manager does that knows its main process."""
    process.send_signal(signal.SIGTERM)


def tell_the_group_again_and_again(process: subprocess.Popen[bytes]) -> None:
    """Tell each process of a group to stop, as a service manager or a terminal does, and an impatient person."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        time.sleep(0.1)


def number_open(file: Path) -> int:
    """Return in how many dialogues the reply to the dot is waited for."""
    now = time.time()
    return sum(now - line.at < REPLIES_LATE for line in accepted(file))


@pytest.fixture
def mail_server(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """An oracle that takes its time after the dot: its port and its file."""
    with oracle(tmp_path, REPLIES_AFTER) as running:
        yield running


@pytest.fixture
def embedded(sqlite: str) -> dict[str, str]:
    """The embedded default's environment."""
    return fleets.environment(sqlite, "memory://")


@pytest.fixture
def production(postgres: str, rabbitmq: str) -> dict[str, str]:
    """An environment with PostgreSQL and a vhost with empty queues."""
    environment = fleets.environment(postgres, rabbitmq)
    slowpost(environment, "init")
    return environment


class Successors:
    """One service after the other, each of which finds what the one before has handed back."""

    def __init__(
        self,
        command: list[str],
        environment: dict[str, str],
        folder: Path,
        told_to_stop: Callable[[subprocess.Popen[bytes]], None] = tell,
    ) -> None:
        self._tell = told_to_stop
        self._command = [str(Path(sys.executable).with_name("slowpost")), *command]
        self._environment = environment
        self._folder = folder
        for name in ("actors", "models", "dramatiq"):
            # What lies in the working directory is not run.
            (folder / f"{name}.py").write_text("raise SystemExit(9)")
        self.sources: dict[str, list[int]] = {}

    def publish(self, number: int) -> None:
        """Put new contacts onto the route: by `intake`, or beside an embedded process by the database."""
        source = f"source-{len(self.sources)}"
        ids = fleets.new_contacts(source, number)
        self.sources[source] = ids
        if database.is_postgres():
            put_on_intake(self._environment["BROKER_URL"], ids, source)
        else:
            select_contacts.select(select_contacts.asked(source, ids))
            wake_by(database.now())

    @property
    def contacts(self) -> int:
        """How many have come in."""
        return sum(map(len, self.sources.values()))

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Run one for the block, which ends when it is told to stop; a process that does not obey fails the test."""
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield
            self._tell(process)
            assert process.wait(STOPS_WITHIN) == 0, self.log()[-3000:]
        finally:
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(STOPS_WITHIN)
                process.kill()
                process.wait()

    def log(self) -> str:
        """Return what all of them have said."""
        return (self._folder / "log").read_text()


def number_in(*states: State) -> int:
    """Return how many deliveries are in one of these states."""
    return int(Delivery.select().where(Delivery.state.in_(states)).count())
