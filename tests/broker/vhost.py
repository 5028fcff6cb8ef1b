"""A vhost for one test after the other: emptied of queues, or only of messages where the queues can stay.

To declare Slowpost's two dozen quorum queues and to delete them takes half a second of CPU; to purge them, a twentieth.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from actors.rabbitmq import migration, topology

#: What of a channel changes queues, exchanges, and how they are bound.
CHANGES = [f"{kind}_{change}" for kind in ("queue", "exchange") for change in ("declare", "delete", "bind", "unbind")]
AT_WORK = ""
#: Seconds for the consumers of the last test to be gone.
PATIENCE = 10


@dataclass
class _Contents:
    """What there is: who has left the queues, or AT_WORK, and the names of all that may be there."""

    owner: str
    names: frozenset[str]


#: By URL, what is in a vhost that has been emptied.
_used: dict[str, _Contents] = {}


def all_queues() -> frozenset[str]:
    """Return the names of all queues that Slowpost declares; they are the same on each version of RabbitMQ."""
    return frozenset(queue.name for queue in topology.topology((3, 10)).queues)


def wipe(url: str) -> None:
    """Delete all queues and exchanges of Slowpost."""
    known = _used.pop(url).names if url in _used else frozenset()
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        for name in known | all_queues():
            channel.queue_delete(name)
            channel.queue_delete(f"{name}-moving")
        for exchange in (*topology.topology((3, 10)).exchanges, migration.MOVING_EXCHANGE):
            channel.exchange_delete(exchange)


def wipe_if_used(url: str) -> None:
    """Leave nothing of those who have emptied it for themselves."""
    if url in _used:
        wipe(url)


def empty(url: str, owner: str) -> None:
    """Leave no message; and no queue, unless `owner` has left them all, as the settings have them, and nobody consumes
    any more.
    """
    if _used.get(url) != _Contents(owner, all_queues()) or not _is_purged(url, all_queues()):
        wipe(url)
    _used[url] = _Contents(AT_WORK, all_queues())


def leave(url: str, owner: str) -> None:
    """Note that all that is there is as `owner` declares it: its next test finds the queues, without messages."""
    _used[url] = _Contents(owner, _used[url].names | all_queues())


def changes(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return a set to which all that this process does with queues, exchanges and bindings is added."""
    done: set[str] = set()

    def noted(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def note(channel: BlockingChannel, *args: Any, **options: Any) -> Any:
            # A look changes nothing, and an exclusive queue is gone with its connection.
            if not (options.get("passive") or options.get("exclusive")):
                done.add(f"{name} {args} {sorted(options.items())}")
            return method(channel, *args, **options)

        return note

    for name in CHANGES:
        monkeypatch.setattr(BlockingChannel, name, noted(name, getattr(BlockingChannel, name)))
    return done


def _is_purged(url: str, names: Collection[str]) -> bool:
    deadline = time.monotonic() + PATIENCE
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
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
