"""Two stages on our broker and on Dramatiq's own: the first only hands on to the second."""

from __future__ import annotations

import dramatiq
import pytest
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from actors import waiting
from actors.rabbitmq.broker import QuorumBroker
from actors.running import WorkerState, stage_actor
from pipeline.flow import Handoff, Stage
from tests.broker.conftest import UNIT_MS

#: Dramatiq's own queues have the same names as ours; a name that is deleted and declared again at once can break it
#: (docs/dependencies.md), so each has a vhost of its own.
VHOST, STOCK_VHOST = "slowpost_test", "stock"


def ours(url: str) -> dramatiq.Broker:
    """A broker whose *check duplicates* only hands on to *render*."""
    broker = QuorumBroker(url, middleware=[WorkerState()], unit_ms=UNIT_MS)
    dramatiq.set_broker(broker)

    def check_duplicates(ids: list[int]) -> list[Handoff]:
        return [Handoff(Stage.RENDER, ids)]

    stage_actor(Stage.DEDUPE, lambda _i, _e: pytest.fail("given up"))(check_duplicates).declare(broker)
    # As a worker does: a node that has just started may still refuse.
    waiting.until_available(broker.declare_topology)
    return broker


def stock(url: str) -> dramatiq.Broker:
    """Dramatiq's own broker with its own middleware, and the same two stages."""
    broker = RabbitmqBroker(url=url.replace(f"/{VHOST}", f"/{STOCK_VHOST}"), confirm_delivery=True)
    render = dramatiq.actor(lambda _ids: None, broker=broker, actor_name="render_message", queue_name="render")

    def check_duplicates(ids: list[int]) -> None:
        render.send(ids)

    dramatiq.actor(check_duplicates, broker=broker, queue_name="dedupe")
    for queue in ("dedupe", "render"):
        broker.declare_queue(queue, ensure=True)
    return broker
