"""How contacts, triggers and handoffs get onto the route from outside a stage.

With RabbitMQ, and in the process that works, they are published. Another process beside an embedded `slowpost run`
has no way to its queues: it does stage 1 itself and commits, and sets `wake_at`, at which `run` looks every second.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dramatiq.errors import BrokerConnectionError

import actors
from actors import running
from actors.intake import UnacceptableError, decode, encode
from actors.memory import MemoryBroker
from actors.outgoing import Outgoing
from actors.rabbitmq import migration, permissions, topology
from actors.rabbitmq.broker import QuorumBroker
from actors.rabbitmq.dead_letters import InStep
from actors.rabbitmq.migration import Moving
from actors.rabbitmq.migration import Step as Step
from models import database
from models.control import wake_by
from pipeline import select_contacts
from pipeline.flow import MAX_IDS, TRIGGER, Handoff, Stage, chunks
from pipeline.operations import stops
from pipeline.runtime.printable import one_line

#: The queues that workers take from, in route order.
QUEUES = tuple(stage.value for stage in Stage)
#: What is raised where RabbitMQ is away.
AWAY = BrokerConnectionError
#: What is raised where its queues are not those of this version.
MISMATCH = topology.MismatchError

#: Whom the definitions are for where no server is named: docker-compose.yml's.
SERVER_VERSION, VHOST = (4, 0), "/slowpost"


def enter(contact_ids: Sequence[int], *, template_id: int | None = None, priority: int | None = None) -> list[str]:
    """Put contacts onto the route; return the source ids of the messages.

    Args:
        contact_ids: whom to write to.
        template_id: what to write; None: the active template with the lowest id.
        priority: 0 to 9; None: each contact's own.
    """
    options = {k: v for k, v in {"template_id": template_id, "priority": priority}.items() if v is not None}
    ids_of = {str(uuid.uuid4()): chunk for chunk in chunks(contact_ids, MAX_IDS)}
    if not _beside_embedded():
        _broker().send_all([Outgoing(encode(Stage.INTAKE, ids, source, **options)) for source, ids in ids_of.items()])
        return list(ids_of)
    for source, ids in ids_of.items():
        with database.connection():
            select_contacts.select(select_contacts.asked(source, ids), template_id=template_id, priority=priority)
    if ids_of:
        publish([TRIGGER])
    return list(ids_of)


def put_back(queue: str | None, body: bytes, source: str) -> None:
    """Put a dead letter's message back on its queue.

    Args:
        queue: where it was.
        body: what it was.
        source: the source id it gets: the same for the same dead letter, so that a replay that is cut off and done
            again makes nothing twice.

    Raises:
        UnacceptableError: it is as bad as it was, or no stage took it.
    """
    if queue not in tuple(Stage):
        raise UnacceptableError("nobody knows which stage it was for; discard it, or publish it anew onto intake")
    decoded = decode(queue, body, source)
    if decoded.message is None:
        raise UnacceptableError(decoded.refused[0].reason)
    if not _beside_embedded():
        _broker().send_all([Outgoing(decoded.message)])
        return
    if queue == Stage.INTAKE:
        with database.connection():
            pairs, options = running.as_taken(Stage.INTAKE, decoded.message.args[0], decoded.message.kwargs)
            select_contacts.select(pairs, **options)
    elif queue == Stage.REPLIED:
        with database.connection():
            stops.note_replies(decoded.message.args[0], **decoded.message.kwargs)
    # What another stage is asked for stands in the database; `run` sweeps it up.
    publish([TRIGGER])


def publish(handoffs: Iterable[Handoff]) -> None:
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
    """Declare all queues and exchanges on the server. Raises ConnectionClosed, MismatchError."""
    broker = _broker()
    broker.declare_topology()
    broker.close()


def definitions(
    server_version: tuple[int, ...] | None = None, vhost: str | None = None, user: str | None = None
) -> dict[str, Any]:
    """Return all queues and exchanges as RabbitMQ's definitions.

    Args:
        server_version: e.g. (4, 1); None: what the server of BROKER_URL says, with memory:// SERVER_VERSION.
        vhost: None: that of BROKER_URL, with memory:// VHOST.
        user: who is to get the permissions that Slowpost needs; the server has to know that user. None: nobody.

    Raises:
        ConnectionClosed: the server is to be asked, and is away.
    """
    broker = _broker()
    if isinstance(broker, QuorumBroker):
        vhost = broker.vhost if vhost is None else vhost
        if server_version is None:
            with broker.own_connection() as connection:
                server_version = topology.version_of(connection)
    vhost = VHOST if vhost is None else vhost
    found = topology.definitions(server_version or SERVER_VERSION, vhost)
    return found | ({"permissions": [permissions.of(user, vhost)]} if user else {})


def differences() -> list[str]:
    """Return what is different on the server from this version's topology. Raises ConnectionClosed."""
    broker = _broker()
    assert isinstance(broker, QuorumBroker)
    with broker.own_connection() as connection:
        return migration.differences(connection, broker.unit_ms)


def migrate(moving: Moving) -> Iterator[Step]:
    """Bring the server's queues to this version's topology, and yield each step; see `rabbitmq.migration`.

    Raises:
        MigrationRefusedError: it can't be done now.
        ConnectionClosed: RabbitMQ is away; run it again.
    """
    broker = _broker()
    assert isinstance(broker, QuorumBroker)
    with broker.own_connection() as connection:
        yield from migration.migrate(connection, broker.unit_ms, moving)


def keep_in_step(*, thorough: bool = True) -> InStep:
    """Bring the queue of dead letters to what their rows say. Raises ConnectionClosed."""
    return _broker().keep_in_step(thorough=thorough)


def queue_depths() -> tuple[dict[str, int], str | None]:
    """Return how many messages are ready in each queue (nothing with the embedded broker), and why RabbitMQ can't be
    asked; None: it can, or the broker is the embedded one.
    """
    broker = _broker()
    if isinstance(broker, MemoryBroker):
        return {}, None
    try:
        # Not those of the broker's threads: they may be at work.
        with broker.own_connection() as connection:
            return topology.counts(connection.channel()), None
    except AWAY as error:
        return {}, one_line(error)


def broker_away() -> str | None:
    """Return why RabbitMQ can't be reached now; None: it can, or the broker is the embedded one."""
    broker = _broker()
    if isinstance(broker, MemoryBroker):
        return None
    try:
        with broker.own_connection():
            return None
    except AWAY as error:
        return one_line(error)


def _broker() -> MemoryBroker | QuorumBroker:
    return actors.start()


def _beside_embedded() -> bool:
    return isinstance(_broker(), MemoryBroker) and not running.works_here()
