"""A vhost for one test after the other: emptied of queues, or only of messages where the queues can stay.

To declare Slowpost's two dozen quorum queues and to delete them takes half a second of CPU; to purge them, a twentieth.
"""

from __future__ import annotations

import time

import pika
from pika.adapters.blocking_connection import BlockingChannel

from actors.rabbitmq import migration, topology

#: By URL: who has left its queues there, or AT_WORK since it was wiped.
_left: dict[str, str] = {}
AT_WORK = ""
#: Seconds for the consumers of the last test to be gone.
PATIENCE = 10


def wipe(url: str) -> None:
    """Delete all queues and exchanges of Slowpost."""
    _left.pop(url, None)
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        everything = topology.topology(topology.version_of(connection))
        for queue in everything.queues:
            channel.queue_delete(queue.name)
            channel.queue_delete(f"{queue.name}-moving")
        for exchange in (*everything.exchanges, migration.MOVING_EXCHANGE):
            channel.exchange_delete(exchange)


def wipe_if_used(url: str) -> None:
    """Leave nothing of those who have emptied it for themselves."""
    if url in _left:
        wipe(url)


def empty(url: str, owner: str) -> None:
    """Leave no message; and no queue, unless `owner` has left them all and nobody consumes any more."""
    if _left.get(url) != owner or not _is_purged(url):
        wipe(url)
    _left[url] = AT_WORK


def leave(url: str, owner: str) -> None:
    """Note that all that is there is as `owner` declares it: its next test finds the queues, without messages."""
    _left[url] = owner


def _is_purged(url: str) -> bool:
    deadline = time.monotonic() + PATIENCE
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        names = [queue.name for queue in topology.topology(topology.version_of(connection)).queues]
        try:
            # A message that a consumer held is there again when its consumer is gone.
            while any(_consumers(channel, name) for name in names):
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.02)
            # What was on its way down the ladder can have passed by.
            while sum(channel.queue_purge(name).method.message_count for name in names):
                pass
        except pika.exceptions.ChannelClosedByBroker:
            return False
    return True


def _consumers(channel: BlockingChannel, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).method.consumer_count)
