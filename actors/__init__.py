"""How the stages run on the broker. Importing this reads nothing and connects to nothing: `start` does.

`entry` puts contacts and handoffs onto the route, `stages` are the six actors, `running` is how each of them runs and
`waiting` what it does while a server is away; `intake` is what may be put on a queue. The broker is `rabbitmq/` or,
inside one process, `memory`.
"""

from __future__ import annotations

import dramatiq
import dramatiq.broker

from actors.memory import MemoryBroker
from actors.rabbitmq.broker import QuorumBroker
from actors.running import WorkerState
from models import database
from pipeline.runtime.settings import settings

Broker = MemoryBroker | QuorumBroker


def start() -> Broker:
    """Bind the database, and return the broker that the settings name with its six actors, not yet connected.

    A process has one broker: a second call returns the same. Dramatiq's command calls this, too (`dramatiq
    actors:start`).
    """
    started = dramatiq.broker.global_broker
    if isinstance(started, MemoryBroker | QuorumBroker):
        return started
    if database.db.obj is None:
        database.connect(settings().database_url)
    broker = make_broker()
    dramatiq.set_broker(broker)
    from actors import stages  # here, since stages need what this package makes

    for actor in stages.ROUTE:
        actor.declare(broker)
    return broker


def make_broker() -> Broker:
    """Return the broker that the settings name, not yet connected."""
    # None of Dramatiq's own middleware: TimeLimit and ShutdownNotifications raise between the dot and its outcome,
    # Retries loses a message whose retry can't be published, AgeLimit drops.
    middleware: list[dramatiq.Middleware] = [WorkerState()]
    if settings().is_embedded:
        return MemoryBroker(middleware)
    return QuorumBroker(settings().broker_url, middleware=middleware)
