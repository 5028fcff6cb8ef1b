"""What is wrong with the running of the program, as far as the database knows. Reads only.

Nobody works, a slot is overdue, the schedule has not run, a process waits, RabbitMQ is away: each is seen within a
minute, and is gone when it is mended. Trouble: a process that could not say that it lives (its database was away, or it
was frozen) counts as one that does not, until it says so again.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from peewee import fn

from models import Delivery, Heartbeat, Kind
from models.heartbeat import JOBS, SCHEDULES, WORKS
from pipeline.capacity.slots import RESERVED
from pipeline.runtime.settings import settings
from pipeline.throttle.window import SendingWindow

#: A process that has not said for so long that it lives, does not: three beats, and a little.
SILENCE = dt.timedelta(seconds=35)
#: What lasts less long is none: a restart, a deadlock that is tried again.
PASSES = dt.timedelta(seconds=15)
#: A slot's message comes at once; one that nobody has taken so long after its time is overdue.
OVERDUE = dt.timedelta(seconds=60)
#: The sweep comes every minute, the batch publisher every 30: after so long one was missed.
SWEEP_MISSED, PUBLISHER_MISSED = dt.timedelta(seconds=150), dt.timedelta(minutes=32)
#: Where a scheduler has ended, and no other process or cron goes on with the schedule.
SCHEDULE_ENDED = dt.timedelta(seconds=30)

#: What waits for RabbitMQ says so with this word.
RABBITMQ = "RabbitMQ"


class Problem(StrEnum):
    """What is wrong."""

    NOBODY_WORKS = "nobody works"
    SLOT_OVERDUE = "slot overdue"
    SWEEP = "sweep has not run"
    PUBLISHER = "batch publisher has not run"
    WAITS = "process waits"
    BROKER_AWAY = "RabbitMQ is away"


@dataclass(frozen=True)
class Found:
    """Something that is wrong.

    Attributes:
        problem: what.
        since: since when (UTC); null: it has never been otherwise.
        words: all of it in a sentence; ids only.
    """

    problem: Problem
    since: dt.datetime | None
    words: str


def processes() -> list[Heartbeat]:
    """Return what is known of processes, by kind and start: those that live, have stopped, or are silent."""
    rows = Heartbeat.select().where(Heartbeat.kind.not_in(JOBS))
    return sorted(rows, key=lambda row: (list(Kind).index(Kind(row.kind)), row.since, row.id))


def last_run(job: Kind) -> dt.datetime | None:
    """Return when a job of the schedule last ran (UTC)."""
    row = Heartbeat.get_or_none(Heartbeat.process == job)
    return None if row is None else row.beat_at


def problems(now: dt.datetime) -> list[Found]:
    """Return what is wrong at `now` (UTC), the worst first."""
    rows = list(Heartbeat.select())
    found = [_nobody_works(rows, now), _broker_away(rows, now), _waits(rows, now)]
    found += [_slot_overdue(now), _sweep(rows, now), _publisher(rows, now)]
    return [problem for problem in found if problem is not None]


def _nobody_works(rows: Sequence[Heartbeat], now: dt.datetime) -> Found | None:
    workers = [row for row in rows if row.kind in WORKS]
    if any(row.lives(now, SILENCE) for row in workers):
        return None
    last = max((row.beat_at for row in workers), default=None)
    since = last or lives_since(rows, now)
    if since is not None and now - since < PASSES:
        return None
    when = "no worker has said anything yet" if last is None else f"no worker has said anything since {_clock(last)}"
    return Found(Problem.NOBODY_WORKS, since, f"nobody works: {when}")


def _broker_away(rows: Sequence[Heartbeat], now: dt.datetime) -> Found | None:
    waiting = [row for row in _waiting(rows, now) if row.waits_for == RABBITMQ]
    if not waiting:
        return None
    since = min(row.waits_since for row in waiting)
    return Found(Problem.BROKER_AWAY, since, f"RabbitMQ is away: {_kinds(waiting)} waiting since {_clock(since)}")


def _waits(rows: Sequence[Heartbeat], now: dt.datetime) -> Found | None:
    waiting = [row for row in _waiting(rows, now) if row.waits_for != RABBITMQ]
    if not waiting:
        return None
    first = min(waiting, key=lambda row: row.waits_since)
    because = f": {first.reason}" if first.reason else ""
    words = f"{_kinds(waiting)} waiting for {first.waits_for} since {_clock(first.waits_since)}{because}"
    return Found(Problem.WAITS, first.waits_since, words)


def overdue_slots(now: dt.datetime) -> tuple[int, dt.datetime | None]:
    """Return how many mails are overdue at `now` (UTC), and the time of the first one's slot."""
    late = Delivery.select(fn.COUNT(Delivery.id), fn.MIN(Delivery.send_at))
    ((number, first),) = late.where(RESERVED & (Delivery.send_at < now - OVERDUE)).tuples()
    return number, first


def _slot_overdue(now: dt.datetime) -> Found | None:
    number, first = overdue_slots(now)
    if first is None:
        return None
    words = "a mail is overdue: its slot was" if number == 1 else f"{number} mails are overdue: the first slot was"
    return Found(Problem.SLOT_OVERDUE, first, f"{words} at {_clock(first)}")


def _sweep(rows: Sequence[Heartbeat], now: dt.datetime) -> Found | None:
    last = _last(rows, Kind.SWEEP)
    schedulers = [row for row in rows if row.kind in SCHEDULES]
    began = min((row.since for row in schedulers if row.lives(now, SILENCE)), default=None)
    ended = _latest(*(row.beat_at for row in schedulers))
    since: dt.datetime | None
    if began is None and ended is not None and (last is None or last <= ended):
        since, patience = ended, SCHEDULE_ENDED
    else:
        since, patience = _latest(last, began) or lives_since(rows, now), SWEEP_MISSED
    if since is not None and now - since < patience:
        return None
    return Found(Problem.SWEEP, since, f"the schedule does not run: {_ran('sweep', last)}")


def _publisher(rows: Sequence[Heartbeat], now: dt.datetime) -> Found | None:
    if not SendingWindow.from_settings(settings()).contains(now):
        return None
    last = _last(rows, Kind.PUBLISHER)
    # It is missed only where it has had the time to come: since a scheduler began, or cron's first sweep.
    began = [row.since for row in rows if row.kind in SCHEDULES and row.lives(now, SILENCE)]
    began += [row.since for row in rows if row.kind == Kind.SWEEP]
    since = _latest(last, *began) or lives_since(rows, now)
    if since is not None and now - since < PUBLISHER_MISSED:
        return None
    return Found(Problem.PUBLISHER, since, f"the schedule does not run: {_ran('batch publisher', last)}")


def _latest(*times: dt.datetime | None) -> dt.datetime | None:
    return max((at for at in times if at is not None), default=None)


def lives_since(rows: Sequence[Heartbeat], now: dt.datetime) -> dt.datetime | None:
    """Return since when any of these processes has lived, and would have seen what has never been there."""
    return min((row.since for row in rows if row.kind not in JOBS and row.lives(now, SILENCE)), default=None)


def _waiting(rows: Sequence[Heartbeat], now: dt.datetime) -> Iterator[Heartbeat]:
    """Yield those that have waited for a while: a process that lives, or a job that has just been tried."""
    for row in rows:
        fresh = SWEEP_MISSED if row.kind in JOBS else SILENCE
        if row.waits_for is not None and row.lives(now, fresh) and now - row.waits_since >= PASSES:
            yield row


def _last(rows: Sequence[Heartbeat], job: Kind) -> dt.datetime | None:
    return max((row.beat_at for row in rows if row.kind == job), default=None)


def _ran(job: str, last: dt.datetime | None) -> str:
    return f"the {job} has never run" if last is None else f"the {job} ran last at {_clock(last)}"


def _kinds(rows: Sequence[Heartbeat]) -> str:
    """Return who, in words: "2 workers and the sweep are"."""
    counted = {kind: sum(row.kind == kind for row in rows) for kind in Kind}
    names = [_name(kind, number) for kind, number in counted.items() if number]
    return f"{' and '.join(names)} {'is' if len(rows) == 1 else 'are'}"


def _name(kind: Kind, number: int) -> str:
    if kind in JOBS:
        return "the sweep" if kind == Kind.SWEEP else "the batch publisher"
    what = "`slowpost run`" if kind == Kind.RUN else f"{kind} process" + ("es" if number > 1 else "")
    return f"{number} {what}"


def _clock(at: dt.datetime) -> str:
    return f"{at.astimezone(settings().mail_window_timezone):%a %H:%M:%S %Z}"
