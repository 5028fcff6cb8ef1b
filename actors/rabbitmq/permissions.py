"""What a RabbitMQ user may do who runs Slowpost: its own queues and exchanges, and nothing else.

RabbitMQ asks for the name of what is declared or deleted (configure), published or bound to (write), and consumed or
bound from (read); each is a pattern (rabbitmq.com/docs/access-control#authorisation). `rabbitmq/rabbitmq.conf` gives
its user the same, and a test holds the two together.
"""

from __future__ import annotations

from typing import Any

from actors.rabbitmq import dead_letters, migration, topology
from pipeline.flow import Stage

_NAMES = (
    *Stage,
    topology.DUE_EXCHANGE,
    topology.DEAD_EXCHANGE,
    topology.DEAD_LETTER_QUEUE,
    # Their numbers are those of the ladder and of MAIL_RETRY_BACKOFF.
    "delay-[0-9]+",
    "retry-[0-9]+s",
)
_OTHERS = (migration.MOVING_EXCHANGE, migration.LOCK, dead_letters.LOCK, r"amq\.default")
#: One pattern for all three: RabbitMQ 3.10 takes `default_permissions.read` for write, and write for read.
#: `amq.default` is the exchange without a name, by which each queue is published to.
PATTERN = f"^(({'|'.join(_NAMES)})(-moving)?|{'|'.join(_OTHERS)})$"


def of(user: str, vhost: str) -> dict[str, Any]:
    """Return the permissions of a user, in the form of RabbitMQ's definitions."""
    return {"user": user, "vhost": vhost, "configure": PATTERN, "write": PATTERN, "read": PATTERN}
