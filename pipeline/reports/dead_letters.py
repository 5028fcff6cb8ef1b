"""What was given up: messages nobody could process, and deliveries that failed. Reads only."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from models import DeadLetter, DeadLetterKind, Delivery, Resolution
from models.dead_letter import OPEN
from models.lookup import NotThereError


@dataclass(frozen=True)
class DeadLetterRow:
    """A message or a delivery that was given up.

    Attributes:
        id: the dead letter.
        kind: what was given up.
        queue: the queue that the message was in; null for a delivery, or if it is not known.
        delivery_id: the delivery; null for a message.
        contact_id: to whom that was.
        reason: what is wrong with the message, or the reason of the delivery.
        detail: what a server, the template or the program said.
        created_at: when it was given up (UTC).
        resolved_at: when somebody decided about it (UTC); null while it is open.
        resolution: what was decided.
    """

    id: int
    kind: DeadLetterKind
    queue: str | None
    delivery_id: int | None
    contact_id: int | None
    reason: str
    detail: str
    created_at: dt.datetime
    resolved_at: dt.datetime | None
    resolution: Resolution | None


@dataclass(frozen=True)
class DeadLetterDetails(DeadLetterRow):
    """A dead letter with its message.

    Attributes:
        message_id: the AMQP message id.
        body: the message; bytes that are not UTF-8 as `\\\\x…`.
    """

    message_id: str | None
    body: str | None


def dead_letters(*, with_resolved: bool = False, limit: int | None = None, after: int = 0) -> list[DeadLetterRow]:
    """Return dead letters, oldest first.

    Args:
        with_resolved: also those that somebody has decided about.
        limit: so many at most; None: all.
        after: those with a higher id.
    """
    query = _letters().where(DeadLetter.id > after).order_by(DeadLetter.id).limit(limit)
    return [DeadLetterRow(**_values(letter)) for letter in (query if with_resolved else query.where(OPEN))]


def dead_letter(letter_id: int) -> DeadLetterDetails:
    """Return one dead letter, open or not, with its message. Raises NotThereError."""
    letter = _letters().where(DeadLetter.id == letter_id).first()
    if letter is None:
        raise NotThereError(f"there is no dead letter {letter_id}")
    body = None if letter.body is None else bytes(letter.body).decode("utf-8", "backslashreplace")
    return DeadLetterDetails(**_values(letter), message_id=letter.message_id, body=body)


def _letters() -> Any:
    return DeadLetter.select(DeadLetter, Delivery).left_outer_join(Delivery)


def _values(letter: DeadLetter) -> dict[str, Any]:
    shown = ("id", "queue", "delivery_id", "reason", "detail", "created_at", "resolved_at")
    return {name: getattr(letter, name) for name in shown} | {
        "contact_id": None if letter.delivery_id is None else letter.delivery.contact_id,
        "kind": DeadLetterKind(letter.kind),
        "resolution": None if letter.resolution is None else Resolution(letter.resolution),
    }
