"""What lies ready for a stage becomes one call of it: whole messages, with up to `flow.MAX_IDS` ids in all.

A worker's threads take from `Ready`. Who takes a message there gets with it what has come for the same stage by then,
as one `Group`; nobody waits for more. A group is closed when it is taken: a trigger that comes after that is another
call, which sees what this one has not seen. *deliver* is never gathered, and a message that RabbitMQ gives out again
runs alone: it may be what has ended the process before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import replace
from queue import PriorityQueue
from typing import Any

from dramatiq import MessageProxy

from pipeline.flow import MAX_IDS, Stage

#: Where a list costs about as much as an id.
GATHERS = frozenset({Stage.INTAKE, Stage.DEDUPE, Stage.RENDER, Stage.RESERVE, Stage.RECORD})
#: Messages that are fetched where they are gathered: one group is at work while the next lies ready.
PREFETCH = 2 * MAX_IDS


class Group(MessageProxy):
    """Whole messages as one: it reads like the first, and brings the `others` along for the actor.

    Attributes:
        parts: the messages as they came, each of which is acknowledged by itself.
    """

    def __init__(self, parts: Sequence[MessageProxy]) -> None:
        first: Any = parts[0]
        super().__init__(replace(first._message, kwargs=first.kwargs | {"others": list(parts[1:])}))
        self.parts = parts
        self.put_back = False

    def __str__(self) -> str:
        return f"{self.parts[0]} and {len(self.parts) - 1} more"


def parts_of(message: Any) -> Sequence[Any]:
    """Return the messages that a worker has taken as this one."""
    return message.parts if isinstance(message, Group) else [message]


class Ready(PriorityQueue[Any]):
    """The messages that a worker has fetched, for its threads to take: in the order in which they came, but each with
    what has come for the same stage since. (All actors have the same priority.)
    """

    def _init(self, _maxsize: int) -> None:
        self._lying: dict[Hashable, deque[Any]] = {}

    def _qsize(self) -> int:
        return len(self._lying)

    def _put(self, item: Any) -> None:
        self._lying.setdefault(_kind(item.message), deque()).append(item)

    def _get(self) -> Any:
        kind, lying = next(iter(self._lying.items()))
        del self._lying[kind]
        taken = [lying.popleft()]
        ids = _size(taken[0].message)
        while lying and (ids := ids + _size(lying[0].message)) <= MAX_IDS:
            taken.append(lying.popleft())
        if lying:
            # What there is for other stages is next.
            self._lying[kind] = lying
        if len(taken) == 1:
            return taken[0]
        # Whoever took them says once that they are done.
        self.unfinished_tasks -= len(taken) - 1
        return replace(taken[0], message=Group([item.message for item in taken]))


def _kind(message: Any) -> Hashable:
    """Return what messages that can be one call have in common: the stage, and what else is asked of it; on `intake`
    all but the source. One that runs alone has nothing in common with another.
    """
    if message.queue_name not in GATHERS or getattr(message, "redelivered", False):
        return object()
    return message.queue_name, frozenset(message.kwargs.items() - {("source", message.kwargs.get("source"))})


def _size(message: Any) -> int:
    # A trigger has no id, and is one thing to do.
    return max(1, len(message.args[0]))
