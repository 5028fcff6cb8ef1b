"""Stages and handoffs: the words in which one stage says what comes next. Knows no broker."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

#: Ids that travel in one message.
MAX_IDS = 100


class Stage(StrEnum):
    """The six stages in route order, and beside the route what notes replies; the value is the name of its queue."""

    INTAKE = "intake"
    DEDUPE = "dedupe"
    RENDER = "render"
    RESERVE = "reserve"
    DELIVER = "deliver"
    RECORD = "record"
    REPLIED = "replied"


@dataclass(frozen=True)
class Handoff:
    """What comes next: `stage` is to take `ids`.

    Attributes:
        stage: who takes them.
        ids: delivery ids; none for a trigger of *reserve slot*.
        not_before: UTC time before which it need not arrive; None: at once.
        slot_token: for *deliver*: the token of these ids' slot.
        backoff: seconds in the retry queue of that length, instead of `not_before`.
    """

    stage: Stage
    ids: Sequence[int] = ()
    not_before: dt.datetime | None = None
    slot_token: str | None = None
    backoff: int | None = None


#: Asks *reserve slot* to look at the backlog.
TRIGGER = Handoff(Stage.RESERVE)


def hand_on(stage: Stage, ids: Sequence[int]) -> list[Handoff]:
    """Return handoffs of `ids` to `stage`, at most MAX_IDS in each; none for no ids."""
    return [Handoff(stage, chunk) for chunk in chunks(ids)]


def joined(handoffs: Iterable[Handoff]) -> list[Handoff]:
    """Return handoffs that ask for the same in fewer: ids for one stage and time together, of triggers one."""
    ids_of: dict[Handoff, list[int]] = {}
    for handoff in handoffs:
        ids_of.setdefault(replace(handoff, ids=()), []).extend(handoff.ids)
    return [replace(what, ids=chunk) for what, ids in ids_of.items() for chunk in (chunks(ids) if ids else [[]])]


def chunks(ids: Sequence[T], size: int = MAX_IDS) -> Iterator[list[T]]:
    """Yield `ids`, or other things, in lists of at most `size`."""
    rest = iter(ids)
    while chunk := list(islice(rest, size)):
        yield chunk
