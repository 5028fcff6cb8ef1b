"""Every minute: put back on the route what the broker lost, mark what is in doubt, keep the dead letters' copies."""

from __future__ import annotations

from dataclasses import dataclass

from actors import entry
from actors.rabbitmq.dead_letters import InStep
from models import database
from pipeline import sweep as lost_and_found
from pipeline.flow import Handoff


@dataclass(frozen=True)
class Swept:
    """What was put back on the route, and which copies of dead letters RabbitMQ got or lost."""

    handoffs: list[Handoff]
    dead_letters: InStep


def sweep() -> Swept:
    """Sweep once; on the hour, compare each dead letter and not only how many there are."""
    handoffs = lost_and_found.sweep()
    entry.publish_handoffs(handoffs)
    return Swept(handoffs, entry.keep_in_step(thorough=database.now().minute == 0))
