"""What was given up, and what a person did about it. Rows never expire."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import peewee

from models.base import Base
from models.delivery import Delivery
from models.utc import UTCDateTimeField


class DeadLetterKind(StrEnum):
    """What was given up."""

    MESSAGE = "message"
    DELIVERY = "delivery"


class Resolution(StrEnum):
    """What a person decided."""

    REPLAYED = "replayed"
    DISCARDED = "discarded"


class DeadLetter(Base):
    """A message nobody could process (`body`, from `queue`), or a delivery given up. Open until `resolved_at`."""

    kind = peewee.TextField()
    queue = peewee.TextField(null=True)
    body = peewee.BlobField(null=True)
    message_id = peewee.TextField(null=True)
    delivery = peewee.ForeignKeyField(Delivery, null=True, backref="dead_letters")
    reason = peewee.TextField()
    detail = peewee.TextField(default="")
    created_at = UTCDateTimeField()
    resolved_at = UTCDateTimeField(null=True)
    resolution = peewee.TextField(null=True)


#: Nobody has decided about it yet.
OPEN = DeadLetter.resolved_at.is_null()

DeadLetter.add_index(peewee.SQL("CREATE INDEX dead_letter_open ON dead_letter (kind) WHERE resolved_at IS NULL"))

# One open dead letter for a delivery, and one for a message that comes again because its acknowledgement was lost.
DeadLetter.add_index(
    peewee.SQL(
        "CREATE UNIQUE INDEX dead_letter_open_delivery ON dead_letter (delivery_id) "
        "WHERE delivery_id IS NOT NULL AND resolved_at IS NULL"
    )
)
DeadLetter.add_index(
    peewee.SQL(
        "CREATE UNIQUE INDEX dead_letter_open_message ON dead_letter (queue, message_id, reason, detail) "
        "WHERE message_id IS NOT NULL AND resolved_at IS NULL"
    )
)


def file_message(
    queue: str | None, body: bytes, reason: str, at: dt.datetime, *, message_id: str | None = None
) -> list[DeadLetter]:
    """Keep a message that can't be processed; see `file_messages`."""
    return file_messages(queue, {reason: body}, at, message_id=message_id)


def file_messages(
    queue: str | None, bodies: Mapping[str, bytes], at: dt.datetime, *, message_id: str | None = None
) -> list[DeadLetter]:
    """Keep messages, or parts of one, that can't be processed, and return those that were not kept already.

    A message that comes again is kept once. Another one with the same id is kept, too, with a detail that says so.

    Args:
        queue: where they were; a replay puts them back there. None: nobody knows.
        bodies: what is wrong with each, for a person → the body that asks for that part alone.
        at: UTC time.
        message_id: the AMQP message id, by which a redelivery is told from a second message.
    """
    common = {"kind": DeadLetterKind.MESSAGE, "queue": queue, "message_id": message_id, "created_at": at}
    rows = [common | {"body": body, "reason": reason} for reason, body in bodies.items()]
    filed = _file(rows)
    if message_id is None or len(filed) == len(rows):
        return filed
    kept = {letter.reason for letter in filed} | _kept(queue, message_id, bodies)
    others = {reason: body for reason, body in bodies.items() if reason not in kept}
    return filed + _file(
        [common | {"body": body, "reason": reason, "detail": _second(body)} for reason, body in others.items()]
    )


def _kept(queue: str | None, message_id: str, bodies: Mapping[str, bytes]) -> set[str]:
    """Return the reasons for which an open dead letter has the same message."""
    same = (DeadLetter.queue == queue) & (DeadLetter.message_id == message_id) & DeadLetter.reason.in_(list(bodies))
    there = DeadLetter.select(DeadLetter.reason, DeadLetter.body).where(same & (DeadLetter.detail == "") & OPEN)
    return {reason for reason, body in there.tuples() if bytes(body) == bodies[reason]}


def _second(body: bytes) -> str:
    return f"another message had the same message id (sha256 of this one: {hashlib.sha256(body).hexdigest()[:16]}…)"


def file_deliveries(reasons: dict[int, tuple[str, str]], at: dt.datetime) -> None:
    """Keep deliveries that were given up: id → (reason, detail). To be called in the transaction that gives up."""
    common = {"kind": DeadLetterKind.DELIVERY, "created_at": at}
    _file([common | {"delivery": i, "reason": reason, "detail": detail} for i, (reason, detail) in reasons.items()])


def _file(rows: list[dict[str, Any]]) -> list[DeadLetter]:
    if not rows:
        return []
    return list(DeadLetter.insert_many(rows).on_conflict(action="nothing").returning(DeadLetter).execute())
