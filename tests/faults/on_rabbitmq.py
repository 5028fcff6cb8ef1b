"""What can be done to a RabbitMQ of a test's own."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import pika

from actors.rabbitmq import topology
from tests.servers import PrivateRabbitmq

#: Seconds between two sends of an account where messages are to wait in the ladder for a while.
LONG_INTERVAL = 2
#: Seconds in which a run has to come to rest: a worker that has waited for long looks again after 30 s
#: (`faults.LONGEST_WAIT`), and what is lost on the way to two stages needs two sweeps and a slot each.
SETTLES_WITHIN = 120
#: The delay ladder's queues.
LADDER = frozenset(topology.ladder(level) for level in range(topology.LEVELS))


def purge(url: str, queues: Collection[str]) -> int:
    """Empty queues; return how many messages that has cost."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        return sum(int(channel.queue_purge(name).method.message_count) for name in queues)


@contextmanager
def short_of_memory(node: PrivateRabbitmq) -> Iterator[None]:
    """Let a node take nothing more from publishers for the block."""
    before = node.evaluate("vm_memory_monitor:get_vm_memory_high_watermark().")
    set_to = "vm_memory_monitor:set_vm_memory_high_watermark({})".format
    alarms = node.evaluate(f"{set_to('{absolute, 1000000}')}, rabbit_alarm:get_alarms().")
    try:
        assert "memory" in alarms
        yield
    finally:
        node.evaluate(f"{set_to(before)}.")
