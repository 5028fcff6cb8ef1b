"""Each way in which the program stands still is seen within a minute, told once, and gone when it is mended."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any

import pytest
from dramatiq.errors import ConnectionClosed

from actors import entry
from actors.waiting import _what_is_away as what_is_away
from models import Heartbeat, Kind, State, database
from pipeline.runtime import waiting
from pipeline.runtime.keys import KeyLockedError
from pipeline.watch import alarm, hearts, problems
from pipeline.watch.problems import Problem
from schedules import publish_batch, sweep
from tests.builders import a_delivery, an_account
from tests.conftest import Clock


def test_all_is_well_as_long_as_everything_says_that_it_lives(any_database: str, clock: Clock) -> None:
    fleet = Fleet(clock)
    assert [fleet.after(minutes=5) for _ in range(14)] == [[]] * 14


def test_a_worker_that_is_killed_is_missed_within_a_minute_and_no_more_once_another_works(
    any_database: str, clock: Clock, told: list[str]
) -> None:
    fleet = Fleet(clock)
    fleet.after(minutes=5)
    del fleet.hearts[Kind.WORKER]

    assert fleet.after(seconds=30) == []
    assert fleet.after(seconds=20) == fleet.after(minutes=9) == [Problem.NOBODY_WORKS]
    assert told == ["nobody works: no worker has said anything since Tue 10:05:00 EDT"]
    fleet.add(Kind.WORKER)
    assert fleet.after(seconds=10) == []
    assert told[1:] == ["nobody works: from 2026-06-02 14:05:00 UTC on"]


@pytest.mark.parametrize("kind", [Kind.WORKER, Kind.RUN])
def test_one_of_several_that_stops_leaves_no_trace_and_the_last_one_does(sqlite: str, clock: Clock, kind: Kind) -> None:
    fleet = Fleet(clock)
    del fleet.hearts[Kind.WORKER]
    first, second = hearts.Heart(kind), hearts.Heart(kind)
    for heart in first, second:
        fleet.hearts[heart] = heart
    fleet.after(minutes=1)
    fleet.stop(first)
    assert fleet.after(minutes=5) == []
    fleet.stop(second)
    # As long as a restart may take.
    assert fleet.after(seconds=10) == []
    assert fleet.after(seconds=10) == [Problem.NOBODY_WORKS]


def test_a_scheduler_that_is_killed_or_stopped_is_missed_within_a_minute_until_cron_goes_on(
    any_database: str, clock: Clock, told: list[str]
) -> None:
    fleet = Fleet(clock)
    fleet.after(minutes=5)
    fleet.after(seconds=10)
    fleet.sweeps = False
    fleet.stop(Kind.SCHEDULER)

    assert fleet.after(seconds=20) == []
    assert fleet.after(seconds=10) == [Problem.SWEEP]
    assert told == ["the schedule does not run: the sweep ran last at Tue 10:05:00 EDT"]
    fleet.sweeps = True
    assert fleet.after(minutes=1) == []
    fleet.sweeps = False
    assert fleet.after(seconds=100) == []
    assert fleet.after(seconds=20) == [Problem.SWEEP]

    fleet.add(Kind.SCHEDULER)
    assert fleet.after(seconds=10) == fleet.after(minutes=2) == []
    # One that lives, and runs nothing.
    assert fleet.after(minutes=1) == [Problem.SWEEP]


def test_a_batch_publisher_that_does_not_run_is_missed_while_the_window_is_open_and_not_before(
    any_database: str, clock: Clock, told: list[str]
) -> None:
    clock.set(2026, 6, 2, 10, 0)  # 06:00 in New York: two hours before it opens
    fleet = Fleet(clock, publishes=False)

    assert fleet.after(minutes=119) == []
    assert fleet.after(minutes=2) == [Problem.PUBLISHER]
    assert told == ["the schedule does not run: the batch publisher has never run"]
    publish_batch.publish(dry_run=True)
    assert fleet.after(minutes=1) == [Problem.PUBLISHER]
    publish_batch.publish()
    assert fleet.after(minutes=31) == []
    assert fleet.after(minutes=2) == [Problem.PUBLISHER]
    clock.set(2026, 6, 2, 21, 0)
    assert Problem.PUBLISHER not in fleet.after(minutes=1)


def test_a_slot_that_nobody_takes_is_overdue_after_a_minute(any_database: str, clock: Clock) -> None:
    fleet = Fleet(clock)
    slot = a_delivery(State.RESERVED, account=an_account(), send_at=clock.at, token="slot")
    a_delivery(State.RESERVED, account=an_account(), send_at=clock.at + dt.timedelta(hours=1), token="later")

    assert fleet.after(seconds=60) == []
    assert fleet.after(seconds=10) == [Problem.SLOT_OVERDUE]
    (found,) = problems.problems(clock.at)
    assert (found.since, found.words) == (slot.send_at, "a mail is overdue: its slot was at Tue 10:00:00 EDT")
    slot.state, slot.account, slot.send_at, slot.token = State.READY, None, None, None
    slot.save()
    assert fleet.after(seconds=10) == []


@pytest.mark.parametrize(
    ("error", "problem", "words"),
    [
        (ConnectionClosed(OSError("gone")), Problem.BROKER_AWAY, "RabbitMQ is away: 1 worker process is waiting since"),
        (
            KeyLockedError("no SECRET_KEY"),
            Problem.WAITS,
            "1 worker process is waiting for a person since Tue 10:00:00 EDT: no SECRET_KEY",
        ),
    ],
)
def test_what_a_worker_waits_for_is_said_with_since_when_and_is_gone_with_the_wait(
    any_database: str, clock: Clock, monkeypatch: pytest.MonkeyPatch, error: Exception, problem: Problem, words: str
) -> None:
    seconds = [0.0]
    for module in (waiting, hearts):
        monkeypatch.setattr(module, "elapsed", lambda: seconds[0])
    fleet = Fleet(clock, Kind.WORKER)
    began = clock.at
    failures = [error] * 5

    def do() -> None:
        if failures:
            raise failures.pop()

    seen: list[list[Problem]] = []

    def pause(_wait: float) -> None:
        seconds[0] += 10
        seen.append(fleet.after(seconds=10))

    waiting.until_stored(do, away=what_is_away, pause=pause)
    assert seen == [[], [problem], [problem], [problem], [problem]]
    (row,) = Heartbeat.select().where(Heartbeat.kind == Kind.WORKER)
    assert row.waits_since == began
    (found,) = problems.problems(clock.at)
    assert found.words.startswith(words)
    assert fleet.after(seconds=10) == []


def test_a_sweep_that_finds_rabbitmq_away_says_so_and_tells_somebody(
    any_database: str, clock: Clock, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_handoffs: object) -> None:
        raise ConnectionClosed(OSError("gone"))

    worker = hearts.Heart(Kind.WORKER)
    worker.beat()
    sweep.sweep()
    monkeypatch.setattr(entry, "publish", gone)
    for _ in range(2):
        clock.tick(60)
        worker.beat()
        with pytest.raises(ConnectionClosed):
            sweep.sweep()
    assert told == ["RabbitMQ is away: the sweep is waiting since Tue 10:01:00 EDT"]


def test_of_all_who_look_one_tells_and_a_problem_that_comes_back_is_told_again(
    postgres: str, clock: Clock, told: list[str]
) -> None:
    hearts.ran(Kind.SWEEP)
    hearts.ran(Kind.PUBLISHER)

    def all_look() -> None:
        together = threading.Barrier(4)

        def one() -> None:
            together.wait(10)
            with database.connection():
                alarm.look()

        threads = [threading.Thread(target=one) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    all_look()
    assert told == ["nobody works: no worker has said anything yet"]
    worker = hearts.Heart(Kind.WORKER)
    clock.tick(10)
    worker.beat()
    all_look()
    assert told[1:] == ["nobody works: from 2026-06-02 14:00:00 UTC on"]
    clock.tick(60)
    all_look()
    assert told[2:] == ["nobody works: no worker has said anything since Tue 10:00:10 EDT"]


def test_when_all_are_started_after_a_night_nobody_is_told_of_those_that_are_still_to_come(
    sqlite: str, clock: Clock, told: list[str]
) -> None:
    fleet = Fleet(clock)
    fleet.after(minutes=1)
    for kind in list(fleet.hearts):
        fleet.stop(kind)
    clock.tick(43_200)
    fleet.sweeps = fleet.publishes = False
    fleet.add(Kind.WORKER)
    assert (fleet.after(seconds=20), told) == ([Problem.SWEEP], [])
    assert (fleet.after(seconds=10), len(told)) == ([Problem.SWEEP], 1)
    fleet.add(Kind.SCHEDULER)
    assert fleet.after(seconds=10) == []


def test_processes_of_before_are_forgotten_after_an_hour_and_jobs_never(any_database: str, clock: Clock) -> None:
    fleet = Fleet(clock)
    fleet.after(minutes=1)
    fleet.stop(Kind.WEB)
    fleet.after(minutes=59)
    assert Heartbeat.select().where(Heartbeat.kind == Kind.WEB).count() == 1
    fleet.after(minutes=2)
    clock.tick(86_400)
    alarm.look()
    assert {row.kind for row in Heartbeat.select()} == {Kind.SWEEP, Kind.PUBLISHER}


def test_a_process_that_was_forgotten_and_wakes_up_is_there_again(any_database: str, clock: Clock) -> None:
    worker = hearts.Heart(Kind.WORKER)
    worker.beat()
    began = clock.at
    clock.tick(7200)
    alarm.look()
    assert Heartbeat.select().count() == 0
    worker.beat()
    (row,) = Heartbeat.select()
    assert (row.since, row.beat_at, row.stopped_at) == (began, clock.at, None)


class Fleet:
    """A worker, a scheduler and the web pages that say every 10 seconds that they live; the schedule's jobs; and
    somebody who looks.
    """

    def __init__(self, clock: Clock, *kinds: Kind, publishes: bool = True) -> None:
        self.clock = clock
        self.hearts: dict[Any, hearts.Heart] = {}
        self.sweeps, self.publishes = True, publishes
        for kind in kinds or (Kind.WORKER, Kind.SCHEDULER, Kind.WEB):
            self.add(kind)
        self._jobs()

    def add(self, kind: Kind) -> None:
        """Let a process begin."""
        self.hearts[kind] = hearts.Heart(kind)
        self.hearts[kind].beat()

    def stop(self, which: Any) -> None:
        """Let a process end as it was told to."""
        self.hearts.pop(which).stop()

    def after(self, **passes: float) -> list[Problem]:
        """Let time pass; return what is wrong then."""
        end = self.clock.at + dt.timedelta(**passes)
        while self.clock.at < end:
            self.clock.tick(10)
            # Of who lives the same row is all that is asked for: the last beat of a long time.
            if (end - self.clock.at).total_seconds() < 60 or self.clock.at.second == 0:
                for heart in self.hearts.values():
                    heart.beat()
                self._jobs()
        alarm.look()
        return [found.problem for found in problems.problems(self.clock.at)]

    def _jobs(self) -> None:
        if self.sweeps and self.clock.at.second == 0:
            hearts.ran(Kind.SWEEP)
        if self.publishes and self.clock.at.minute % 30 == 0 and self.clock.at.second == 0:
            hearts.ran(Kind.PUBLISHER)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What somebody is told."""
    said: list[str] = []
    monkeypatch.setattr(alarm, "alert", lambda _what, reason, _at: said.append(reason))
    return said
