"""The queue `dead-letter`: a copy of each open dead letter, for the management page. The rows are the truth.

A copy's payload is the message that was given up (its first bytes), or the delivery's id; its headers say which row it
shows and why. `keep_in_step` compares queue and rows: it files what RabbitMQ itself has dead-lettered, adds copies
that are missing, and removes those whose row is not open any more. Trouble: RabbitMQ away raises, and the next sweep
does it; two at once: the second leaves it to the first.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection

from actors.intake import is_text
from actors.rabbitmq import topology
from actors.rabbitmq.confirms import Publication
from models import DeadLetter, DeadLetterKind, database
from models.dead_letter import OPEN, file_message
from pipeline.runtime.logs import log

#: Header of a copy: the id of its row.
ROW = "dead-letter"
#: Headers in which RabbitMQ says where and of what a message died first; under other names they can be published again.
DIED_IN, DIED_OF = "x-first-death-queue", "x-first-death-reason"
KEPT = {DIED_IN: "died-in", DIED_OF: "died-of"}
#: Held by the one process that compares.
LOCK = "dead-letter-comparison"
#: Bytes of a message that its copy shows; `slowpost dead show` has all of it.
MAX_SHOWN = 4096
#: Messages that are compared at once; what is beyond them is compared when these are decided.
MAX_COMPARED = 50_000
#: Seconds without another message after which there is none.
SILENCE = 5
#: A younger row without a copy has one on its way.
ON_ITS_WAY = dt.timedelta(seconds=10)


@dataclass(frozen=True)
class InStep:
    """What was done to bring the queue `dead-letter` in step with the rows.

    Attributes:
        filed: messages that RabbitMQ itself had put there, and that have become dead letters.
        added: copies that were missing.
        removed: copies of dead letters that are closed.
    """

    filed: int = 0
    added: int = 0
    removed: int = 0


def copy_of(letter: DeadLetter) -> Publication:
    """Return what shows a letter on the queue."""
    headers: dict[str, Any] = {ROW: letter.id, "reason": letter.reason, "since": f"{letter.created_at:%FT%TZ}"}
    if letter.kind == DeadLetterKind.DELIVERY:
        body = json.dumps({"delivery_id": letter.delivery_id}).encode()
    else:
        body = bytes(letter.body)
        headers |= {"queue": letter.queue, "bytes": len(body)}
    properties = topology.persistent(f"{ROW}-{letter.id}", headers)
    return Publication(topology.DEAD_EXCHANGE, "", body[:MAX_SHOWN], properties)


def keep_in_step(connection: BlockingConnection, *, thorough: bool = True) -> InStep:
    """Bring the queue to what the rows say.

    Args:
        connection: nobody else's; it ends afterwards, which gives back what stays in the queue.
        thorough: compare each message, not only how many there are.
    """
    channel = connection.channel()
    channel.confirm_delivery()
    there = channel.queue_declare(topology.DEAD_LETTER_QUEUE, passive=True).method.message_count
    if _old().count() <= there <= _open().count() and not (thorough and there):
        return InStep()
    if not topology.exclusive(channel, LOCK):
        log.info("another process compares the dead letters")
        return InStep()
    copies: dict[int, list[int]] = {}
    filed: list[DeadLetter] = []
    seen = 0
    for tag, properties, body in _messages(channel, min(there, MAX_COMPARED)):
        seen += 1
        row = _row_of(properties)
        if row is not None:
            copies.setdefault(row, []).append(tag)
        else:
            filed += _file(properties, body)
            channel.basic_ack(tag)
    # Read after the messages, so that no copy is older than what is known of its row.
    is_open = {row for (row,) in _open().select(DeadLetter.id).tuples()}
    superfluous = [tag for row, tags in copies.items() for tag in (tags[1:] if row in is_open else tags)]
    for tag in superfluous:
        channel.basic_ack(tag)
    missing = []
    # Only where all of it was seen: of a queue that is long, or slow to give, the rest may have any copy.
    if seen == there:
        shown = copies.keys() | {letter.id for letter in filed}
        missing = [letter for letter in _old().order_by(DeadLetter.id) if letter.id not in shown]
    for letter in (*filed, *missing):
        channel.basic_publish(*copy_of(letter), mandatory=True)
    return InStep(len(filed), len(filed) + len(missing), len(superfluous))


def _messages(channel: BlockingChannel, number: int) -> Iterator[tuple[int, pika.BasicProperties, bytes]]:
    """Yield the next `number` messages, or as many as there are."""
    if not number:
        return
    channel.basic_qos(prefetch_count=MAX_COMPARED)
    for method, properties, body in channel.consume(topology.DEAD_LETTER_QUEUE, inactivity_timeout=SILENCE):
        if method is None:
            return
        yield method.delivery_tag, properties, body
        number -= 1
        if not number:
            return


def _row_of(properties: pika.BasicProperties) -> int | None:
    """Return the id of the row that a message shows; None for a message that is no copy, or no copy any more: it has
    been on another queue, and died there.
    """
    headers = properties.headers or {}
    row = headers.get(ROW)
    is_copy = isinstance(row, int) and properties.message_id == f"{ROW}-{row}" and DIED_IN not in headers
    return row if is_copy else None


def _file(properties: pika.BasicProperties, body: bytes) -> list[DeadLetter]:
    """Keep a message that is no copy: RabbitMQ has put it there, or somebody by hand."""
    headers = properties.headers or {}
    queue, why = (headers.get(name) or headers.get(KEPT[name]) for name in KEPT)
    if not (is_text(queue) and is_text(why)):
        queue, reason = None, f"somebody put it on the queue {topology.DEAD_LETTER_QUEUE}"
    elif why == "delivery_limit":
        reason = (
            f"it came back to '{queue}' more often than RabbitMQ allows: each time a worker died over it, or went away"
        )
    else:
        reason = f"RabbitMQ took it off '{queue}': {why}"
    message_id = properties.message_id if is_text(properties.message_id) else None
    log.warning("dead letter of RabbitMQ's", queue=queue)
    return file_message(queue, body, reason, database.now(), message_id=message_id)


def _open() -> Any:
    return DeadLetter.select().where(OPEN)


def _old() -> Any:
    """Return the open rows whose copies are not on their way any more."""
    return _open().where(DeadLetter.created_at < database.now() - ON_ITS_WAY)
