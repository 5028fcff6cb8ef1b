"""What was done beside the route: by whom, when and why. Reads only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.control import Action


@dataclass(frozen=True)
class ActionRow:
    """What a person has done; or the program, where it lets an account rest, switches it off or pauses something.

    Attributes:
        id: its number.
        at: when (UTC).
        who: who did it, as the operating system or the operator's page knows them; `slowpost`: the program itself,
            `recipient`: whoever has a mail's link.
        verb: what was done.
        subject: to what.
        reason: why.
    """

    id: int
    at: dt.datetime
    who: str
    verb: str
    subject: str
    reason: str


def actions(limit: int, before: int | None = None) -> list[ActionRow]:
    """Return the last `limit` actions, the latest first; `before`: only those with a lower id."""
    return _latest(Action.select() if before is None else Action.select().where(Action.id < before), limit)


def about(subjects: Sequence[str], limit: int) -> list[ActionRow]:
    """Return the last `limit` actions on some subjects, such as `account 3`, the latest first."""
    return _latest(Action.select().where(Action.subject.in_(list(subjects))), limit)


def _latest(query: Any, limit: int) -> list[ActionRow]:
    return [
        ActionRow(action.id, action.at, action.who, action.verb, action.subject, action.reason)
        for action in query.order_by(Action.id.desc()).limit(limit)
    ]
