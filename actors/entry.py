"""How contacts, triggers and handoffs get onto the route from outside a stage.

With RabbitMQ, and in the process that works, they are published. Another process beside an embedded `slowpost run`
has no way to its queues: it does stage 1 itself and commits, and sets `wake_at`, at which `run` looks every second.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import dramatiq

from models import database
from models.control import wake_by
from pipeline import select_contacts
from pipeline.flow import MAX_IDS, TRIGGER, Handoff, Stage, chunks

from . import running
from .broker import MemoryBroker
from .intake import UnacceptableError, decode, encode


def enter(contact_ids: Sequence[int], *, template_id: int | None = None, priority: int | None = None) -> list[str]:
    """Put contacts onto the route; return the source ids of the messages.

    Args:
        contact_ids: whom to write to.
        template_id: what to write; None: the active template with the lowest id.
        priority: 0 to 9; None: each contact's own.
    """
    options = {k: v for k, v in {"template_id": template_id, "priority": priority}.items() if v is not None}
    sources = []
    for chunk in chunks(contact_ids, MAX_IDS):
        source = str(uuid.uuid4())
        if _beside_embedded():
            with database.connection():
                select_contacts.run(chunk, source=source, template_id=template_id, priority=priority)
        else:
            message = encode(Stage.INTAKE, chunk, source, **options)
            broker: Any = dramatiq.get_broker()
            broker.send(message)
        sources.append(source)
    if sources and _beside_embedded():
        hand_over([TRIGGER])
    return sources


def put_back(queue: str, body: bytes) -> None:
    """Put a dead letter's message back on its queue, as a new message.

    Raises:
        UnacceptableError: it is as bad as it was.
    """
    decoded = decode(queue, body, None)
    if decoded.message is None:
        raise UnacceptableError(decoded.refused[0].reason)
    if not _beside_embedded():
        broker: Any = dramatiq.get_broker()
        broker.send(decoded.message)
        return
    with database.connection():
        select_contacts.run(decoded.message.args[0], **decoded.message.kwargs)
    hand_over([TRIGGER])


def hand_over(handoffs: Iterable[Handoff]) -> None:
    """Publish handoffs; beside an embedded `run`, wake it: it finds in the database what they say."""
    handoffs = list(handoffs)
    if not handoffs:
        return
    if _beside_embedded():
        with database.connection():
            wake_by(database.now())
    else:
        running.publish(handoffs)


def declare_topology() -> None:
    """Declare all queues and exchanges on the server. Raises ConnectionClosed."""
    broker: Any = dramatiq.get_broker()
    broker.declare_topology()
    broker.close()


def queue_counts() -> dict[str, int]:
    """Return how many messages are ready in each queue; nothing with the embedded broker."""
    broker: Any = dramatiq.get_broker()
    try:
        return dict(broker.counts())
    finally:
        broker.close()


def _beside_embedded() -> bool:
    return isinstance(dramatiq.get_broker(), MemoryBroker) and not running.works_here()
