"""The six actors in route order. Each takes ids from its queue and publishes what its stage hands on."""

from __future__ import annotations

from collections.abc import Sequence

from actors.running import show_dead_letters, stage_actor
from models import DeadLetter, database
from pipeline import check_duplicates as stage_2
from pipeline import deliver_message as stage_5
from pipeline import record_outcome as stage_6
from pipeline import render_message as stage_3
from pipeline import reserve_slot as stage_4
from pipeline import select_contacts as stage_1
from pipeline.flow import Handoff, Stage
from pipeline.runtime.faults import give_up_delivery, give_up_trigger


@stage_actor(Stage.INTAKE, stage_1.give_up)
def select_contacts(
    contact_ids: Sequence[int], *, source: str, template_id: int | None = None, priority: int | None = None
) -> list[Handoff]:
    """Contact ids become deliveries."""
    since = database.now()
    handoffs = stage_1.select(contact_ids, source=source, template_id=template_id, priority=priority)
    show_dead_letters((DeadLetter.message_id == source) & (DeadLetter.created_at >= since))
    return handoffs


@stage_actor(Stage.DEDUPE, give_up_delivery)
def check_duplicates(delivery_ids: Sequence[int]) -> list[Handoff]:
    """Nobody is written twice."""
    return stage_2.clear(delivery_ids)


@stage_actor(Stage.RENDER, give_up_delivery)
def render_message(delivery_ids: Sequence[int]) -> list[Handoff]:
    """A delivery gets its words."""
    return stage_3.render(delivery_ids)


@stage_actor(Stage.RESERVE, give_up_trigger)
def reserve_slot(_ids: Sequence[int]) -> list[Handoff]:
    """The head of the backlog gets an account and a minute, whoever sent the trigger."""
    return stage_4.reserve()


@stage_actor(Stage.DELIVER, give_up_delivery)
def deliver_message(delivery_ids: Sequence[int], *, slot_token: str) -> list[Handoff]:
    """The mail is sent, by the right of a claim."""
    return stage_5.deliver(delivery_ids, slot_token)


@stage_actor(Stage.RECORD, give_up_delivery)
def record_outcome(delivery_ids: Sequence[int]) -> list[Handoff]:
    """What came of it is counted, and the next reservation triggered."""
    handoffs = stage_6.record(delivery_ids)
    show_dead_letters(DeadLetter.delivery.in_(delivery_ids))
    return handoffs
