"""Who works, what is wrong with the running of the program, and which database says so. Reads only."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from models import Heartbeat, Kind, database
from pipeline.runtime import setting_urls
from pipeline.runtime.settings import settings
from pipeline.watch import problems
from pipeline.watch.problems import RABBITMQ, SILENCE, Problem


@dataclass(frozen=True)
class ProblemStatus:
    """Something that is wrong with the running of the program.

    Attributes:
        problem: what.
        since: since when; null where that is not known, or it has never been otherwise.
        words: all of it in a sentence.
    """

    problem: Problem
    since: dt.datetime | None
    words: str


@dataclass(frozen=True)
class ProcessStatus:
    """A process that has not stopped. One that is silent has been killed, is frozen, or can't reach the database.

    Attributes:
        kind: what it does.
        process: its id: machine, number, and a few letters.
        since: when it began.
        beat_at: when it last said that it lives; each does so every 10 seconds.
        lives: whether that is less than 35 seconds ago.
        waits_for: what it waits for; null: nothing.
        waits_since: since when.
        reason: why, where a person has to do something.
    """

    kind: Kind
    process: str
    since: dt.datetime
    beat_at: dt.datetime
    lives: bool
    waits_for: str | None
    waits_since: dt.datetime | None
    reason: str | None


@dataclass(frozen=True)
class Running:
    """Who works, and what is wrong.

    Attributes:
        problems: what is wrong, the worst first.
        processes: those that have not stopped; a silent one for an hour.
        sweep_ran_at: when the sweep last ran; null: never.
        publisher_ran_at: when the batch publisher last ran; null: never.
    """

    problems: tuple[ProblemStatus, ...]
    processes: tuple[ProcessStatus, ...]
    sweep_ran_at: dt.datetime | None
    publisher_ran_at: dt.datetime | None


def running(broker_away: str | None = None) -> Running:
    """Return who works, and what is wrong; `broker_away`: why the caller does not reach RabbitMQ."""
    now = database.now()
    found = [ProblemStatus(found.problem, found.since, found.words) for found in problems.problems(now)]
    if broker_away is not None and Problem.BROKER_AWAY not in {row.problem for row in found}:
        found.insert(0, ProblemStatus(Problem.BROKER_AWAY, None, f"{RABBITMQ} is away: {broker_away}"))
    return Running(
        problems=tuple(found),
        processes=tuple(_process(row, now) for row in problems.processes() if row.stopped_at is None),
        sweep_ran_at=problems.last_run(Kind.SWEEP),
        publisher_ran_at=problems.last_run(Kind.PUBLISHER),
    )


def database_in_use() -> str:
    """Return which database this process looks at: its URL without password and options, a file's with its whole
    path.
    """
    file = database.sqlite_file()
    return setting_urls.shown(settings().database_url) if file is None else f"{database.SQLITE}{file}"


def _process(row: Heartbeat, now: dt.datetime) -> ProcessStatus:
    return ProcessStatus(
        kind=Kind(row.kind),
        process=row.process,
        since=row.since,
        beat_at=row.beat_at,
        lives=row.lives(now, SILENCE),
        waits_for=row.waits_for,
        waits_since=row.waits_since,
        reason=row.reason,
    )
