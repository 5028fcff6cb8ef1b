"""Which processes live, what each of them waits for, and when the schedule's jobs last ran."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum

import peewee

from models.base import Base
from models.utc import UTCDateTimeField


class Kind(StrEnum):
    """What lives: a process, or a job of the schedule, which lives as long as it runs again and again."""

    WORKER = "worker"
    RUN = "run"
    SCHEDULER = "scheduler"
    WEB = "web"
    SWEEP = "sweep"
    PUBLISHER = "publisher"


#: Those that do the work of the route, and those that run the schedule.
WORKS, SCHEDULES = (Kind.WORKER, Kind.RUN), (Kind.SCHEDULER, Kind.RUN)
#: Jobs: one row each, whoever runs it. All others have a row for each process.
JOBS = (Kind.SWEEP, Kind.PUBLISHER)


class Heartbeat(Base):
    """A process, or a job. All times are the database's.

    `process` is an id that says nothing to the program (for a person: host and number); of a job it is its kind.
    `since`: when the process began, or the job ran first; `beat_at`: when it last said that it lives, or last ran.
    `waits_for`: what is away, in a word or two, since `waits_since`; `reason`: why, where a person has to do something.
    `stopped_at`: the process has ended as it was told to.
    """

    process = peewee.TextField(unique=True)
    kind = peewee.TextField()
    since = UTCDateTimeField()
    beat_at = UTCDateTimeField()
    waits_for = peewee.TextField(null=True)
    waits_since = UTCDateTimeField(null=True)
    reason = peewee.TextField(null=True)
    stopped_at = UTCDateTimeField(null=True)

    def lives(self, now: dt.datetime, silence: dt.timedelta) -> bool:
        """Tell whether it has neither stopped nor been silent for `silence`."""
        return self.stopped_at is None and bool(now - self.beat_at < silence)


class OpenAlert(Base):
    """Something is wrong with the running of the program, and somebody has been told; the row goes when it is mended.

    `what` is the problem's name, `since` when it began, `told_at` when the alert was given.
    """

    what = peewee.TextField(unique=True)
    since = UTCDateTimeField()
    told_at = UTCDateTimeField()
