"""`status` says first what is wrong with the running of the program, and shows what it knows whatever is away."""

from __future__ import annotations

import datetime as dt
import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from models import Heartbeat, Kind, database
from pipeline.reports.running import database_in_use
from pipeline.watch import hearts
from slowpost.cli import status as command
from tests.broker.conftest import until
from tests.cli.conftest import Result, Slowpost
from tests.cli.test_process import folder, run, start  # noqa: F401  (a fixture)
from tests.cli.test_web_process import free_ports
from tests.conftest import Clock


def test_what_is_wrong_stands_first_and_in_red_and_nothing_of_it_where_all_is_well(
    ready: Slowpost, clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[tuple[str, str | None]] = []
    say = command.say

    def hear(text: str = "", *, label: str = "", colour: str | None = None) -> None:
        said.append((label + text, colour))
        say(text, label=label, colour=colour)

    monkeypatch.setattr(command, "say", hear)
    assert ready("status").code == 0
    assert said[:4] == [
        ("nobody works: no worker has said anything yet", "red"),
        ("the schedule does not run: the sweep has never run", "red"),
        ("the schedule does not run: the batch publisher has never run", "red"),
        (f"database: sqlite:///{tmp_path / 'slowpost.db'}", None),
    ]
    with database.connection():
        hearts.Heart(Kind.RUN).beat()
    del said[:]
    shown = ready("status").out
    assert said[0] == (f"database: sqlite:///{tmp_path / 'slowpost.db'}", None)
    assert "run" in shown
    assert " works" in shown


def test_a_check_says_what_is_wrong_in_one_line_with_exit_code_1_and_else_nothing(
    ready: Slowpost, clock: Clock
) -> None:
    checked = ready("status", "--check")
    assert (checked.code, checked.out, len(checked.err.splitlines())) == (1, "", 1)
    assert checked.err.startswith(
        "slowpost: nobody works: no worker has said anything yet; the schedule does not run: "
    )
    asked = ready("status", "--check", "--json")
    assert (asked.code, len(json.loads(asked.out)["problems"])) == (1, 3)
    with database.connection():
        hearts.Heart(Kind.RUN).beat()
    assert ready("status", "--check") == Result(0, "", "")


def test_programs_are_told_who_works_what_is_wrong_and_when_the_schedule_ran(ready: Slowpost, clock: Clock) -> None:
    with database.connection():
        worker = hearts.Heart(Kind.WORKER)
        worker.beat()
        hearts.ran(Kind.SWEEP)
        clock.tick(30)
        hearts.ran(Kind.PUBLISHER)
        Heartbeat.update(waits_for="RabbitMQ", waits_since=clock.at).where(Heartbeat.kind == Kind.WORKER).execute()
        clock.tick(30)
    running = json.loads(ready("status", "--json").out)["running"]
    ((process,), (problem,)) = running["processes"], running["problems"]
    assert (process["kind"], process["lives"], process["waits_for"]) == ("worker", False, "RabbitMQ")
    assert (process["since"], process["waits_since"]) == ("2026-06-02T14:00:00Z", "2026-06-02T14:00:30Z")
    assert (problem["problem"], problem["since"]) == ("nobody works", "2026-06-02T14:00:00Z")
    ran = {"sweep_ran_at": "2026-06-02T14:00:00Z", "publisher_ran_at": "2026-06-02T14:00:30Z"}
    assert {name: running[name] for name in ran} == ran
    assert " silent" in ready("status").out


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:hunter2@db.test:5433/mail?sslmode=require", "postgresql://me@db.test:5433/mail"),
        ("postgres://db.test/mail", "postgres://db.test/mail"),
        ("postgresql://me:hunt%40er2@[::1]:5433/mail?password=hunter2", "postgresql://me@[::1]:5433/mail"),
    ],
)
def test_the_database_is_named_without_its_password(url: str, shown: str, configure: Callable[..., None]) -> None:
    configure(database_url=url)
    database.connect(url)
    assert database_in_use() == shown


def test_while_rabbitmq_is_away_it_says_so_and_shows_what_the_database_knows(folder: Path) -> None:  # noqa: F811
    (folder / ".env").write_text(f"BROKER_URL=amqp://guest:hunter2@127.0.0.1:{free_ports(1)[0]}/x\n")
    shown = run(folder, "status")
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert shown.stdout.startswith(b"RabbitMQ is away: ")
    assert b"no accounts" in shown.stdout
    assert b"queues: not known while RabbitMQ is away" in shown.stdout
    checked = run(folder, "status", "--check")
    assert (checked.returncode, checked.stdout) == (1, b"")
    assert b"RabbitMQ is away" in checked.stderr
    assert b"hunter2" not in shown.stdout + checked.stderr


def test_a_run_is_seen_as_long_as_it_lives_and_its_death_and_its_end_are_told_apart(folder: Path) -> None:  # noqa: F811
    database.connect(f"sqlite:///{folder / 'slowpost.db'}")
    with start(folder, "run") as killed:
        until(lambda: problems_of(folder) == [], lambda: str(problems_of(folder)))
        killed.send_signal(signal.SIGKILL)
    with database.connection():
        # As if 35 seconds had passed, and no minute had begun, at which the sweep runs.
        Heartbeat.delete().where(Heartbeat.kind != Kind.RUN).execute()
        (row,) = Heartbeat.select()
        Heartbeat.update(beat_at=row.beat_at - dt.timedelta(seconds=35)).execute()
    assert problems_of(folder) == ["nobody works", "sweep has not run"]
    with start(folder, "run") as stopped:
        until(lambda: problems_of(folder) == [], lambda: str(problems_of(folder)))
        stopped.terminate()
        assert stopped.wait(30) == 0
    with database.connection():
        rows = list(Heartbeat.select().where(Heartbeat.kind == Kind.RUN).order_by(Heartbeat.id))
    assert [(row.kind, row.stopped_at is None) for row in rows] == [("run", True), ("run", False)]
    assert [p["process"] for p in running(folder)["processes"]] == [rows[0].process]


def problems_of(folder: Path) -> list[str]:  # noqa: F811
    """Return what is wrong, by its names."""
    return [problem["problem"] for problem in running(folder)["problems"]]


def running(folder: Path) -> dict[str, list[dict[str, str]]]:  # noqa: F811
    """Return who works and what is wrong, as programs are told."""
    found: dict[str, list[dict[str, str]]] = json.loads(run(folder, "status", "--json").stdout)["running"]
    return found
