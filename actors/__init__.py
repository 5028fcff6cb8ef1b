"""How the stages run on the broker: the broker first, then the actors. `dramatiq actors` starts here.

`entry` puts contacts and handoffs onto the route, `stages` are the six actors, `running` is how each of them runs and
`waiting` what it does while a server is away; `intake` is what may be put on a queue. The broker is `rabbitmq/` or,
inside one process, `memory`.
"""

import dramatiq

from actors.memory import MemoryBroker
from actors.rabbitmq.broker import QuorumBroker
from actors.running import WorkerState
from models import database
from pipeline.runtime.settings import settings


def make_broker() -> MemoryBroker | QuorumBroker:
    """Return the broker that the settings name, not yet connected."""
    # None of Dramatiq's own middleware: TimeLimit and ShutdownNotifications raise between the dot and its outcome,
    # Retries loses a message whose retry can't be published, AgeLimit drops.
    middleware: list[dramatiq.Middleware] = [WorkerState()]
    if settings().is_embedded:
        return MemoryBroker(middleware)
    return QuorumBroker(settings().broker_url, middleware=middleware)


if database.db.obj is None:
    database.connect(settings().database_url)
dramatiq.set_broker(make_broker())

from actors import stages  # noqa: E402  (an actor is registered with the broker that is set when it is made)

__all__ = ["stages"]
