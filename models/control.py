"""The one row that is about the whole program: whether everything is paused, and when the throttle has to look next."""

from __future__ import annotations

import datetime as dt
from typing import Any, cast

import peewee

from models.base import Base
from models.compiled import Question, compiled
from models.utc import UTCDateTimeField

ONLY = 1
#: Who acts if no person does: the program itself.
PROGRAM = "slowpost"


class Control(Base):
    """One row, made by the first migration.

    `wake_at` is the next moment at which something deferred can go on; `advanced_at` the last time slots were
    advanced.
    """

    paused_at = UTCDateTimeField(null=True)
    wake_at = UTCDateTimeField(null=True)
    advanced_at = UTCDateTimeField(null=True, column_name="replanned_at")


def control() -> Control:
    """Return the row."""
    (found,) = _the_row().rows()
    return cast(Control, found)


def question() -> Question:
    """Return what `control` asks."""
    return _the_row().asks()


@compiled
def _the_row() -> Any:
    return Control.select().where(Control.id == ONLY)


def wake_by(at: dt.datetime) -> bool:
    """Set `wake_at` to `at` (UTC) unless it is sooner already; tell whether it was changed."""
    return bool(
        Control.update(wake_at=at)
        .where((Control.id == ONLY) & (Control.wake_at.is_null() | (Control.wake_at > at)))
        .execute()
    )


class Action(Base):
    """What was done to a delivery, a dead letter, an account … beside the route: by whom, when, and why. By whom: a
    person, or the program (`PROGRAM`), which lets an account rest, limits it or switches it off.
    """

    at = UTCDateTimeField(index=True)
    who = peewee.TextField()
    verb = peewee.TextField()
    subject = peewee.TextField()
    reason = peewee.TextField(default="")


Action.add_index(peewee.SQL("CREATE INDEX action_subject ON action (subject, id)"))


def record_action(who: str, verb: str, subject: str, at: dt.datetime, reason: str = "") -> None:
    """Record what was done beside the route. To be called in the transaction that does it."""
    Action.insert(at=at, who=who, verb=verb, subject=subject, reason=reason).execute()
