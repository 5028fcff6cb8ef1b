"""What an action has left to do goes onto the route: from the command line, and from the operator's pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.operations.done import OperationRefusedError
from pipeline.runtime.printable import one_line


def hand_on(handoffs: Sequence[Any], *, remove_copies: bool = False) -> list[str]:
    """Put handoffs onto the route, or wake an embedded `run`; return a warning if that can't be done now.

    If RabbitMQ is away, that is a warning and not a failure: what has to be done next is in the database, and the next
    sweep finds it there.

    Args:
        handoffs: of an action that is committed.
        remove_copies: also take the copies of closed dead letters off RabbitMQ's queue `dead-letter`.
    """
    if not handoffs and not remove_copies:
        return []
    from actors import entry

    try:
        entry.publish(handoffs)
        if remove_copies:
            entry.keep_in_step()
    except entry.AWAY as error:
        return [f"RabbitMQ is away ({one_line(error)}): the next sweep goes on with it"]
    except entry.MISMATCH as error:
        return [f"{error}; the first sweep after that goes on with it"]
    return []


def put_back(queue: str | None, body: bytes, source: str) -> None:
    """Put a dead letter's message back on its queue.

    Args:
        queue: where it was.
        body: what it was.
        source: the source id that it gets.

    Raises:
        OperationRefusedError: RabbitMQ is away, or its queues are not those of this version.
        UnacceptableError: the message is as bad as it was.
    """
    from actors import entry

    try:
        entry.put_back(queue, body, source)
    except entry.AWAY as error:
        raise OperationRefusedError(f"RabbitMQ is away ({one_line(error)})") from None
    except entry.MISMATCH as error:
        raise OperationRefusedError(str(error)) from None
