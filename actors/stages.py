"""The six actors in route order, and beside the route the one that notes replies. Each takes ids from its queue and
publishes what its stage hands on.

Their names, queues and options are part of the messages: they don't change.
"""

from __future__ import annotations

from collections.abc import Sequence

from actors.running import show_dead_letters, stage_actor
from models import DeadLetter, database
from pipeline.check_duplicates import clear
from pipeline.deliver_message import deliver
from pipeline.flow import Handoff, Stage
from pipeline.operations.stops import give_up_reply, note_replies
from pipeline.record_outcome import record
from pipeline.render_message import render
from pipeline.reserve_slot import reserve
from pipeline.runtime.faults import give_up_delivery, give_up_trigger
from pipeline.select_contacts import Asked, give_up_contact, select


@stage_actor(Stage.INTAKE, give_up_contact)
def select_contacts(pairs: Sequence[Asked], **asked_for: int | None) -> list[Handoff]:
    """Contact ids, each with the message that it came in, become deliveries, or are enrolled."""
    since = database.now()
    handoffs = select(pairs, **asked_for)
    sources = {source for source, _ in pairs}
    show_dead_letters(DeadLetter.message_id.in_(sources) & (DeadLetter.created_at >= since))
    return handoffs


@stage_actor(Stage.DEDUPE, give_up_delivery)
def check_duplicates(delivery_ids: Sequence[int]) -> list[Handoff]:
    """Nobody is written to twice."""
    return clear(delivery_ids)


@stage_actor(Stage.RENDER, give_up_delivery)
def render_message(delivery_ids: Sequence[int]) -> list[Handoff]:
    """A delivery gets its words."""
    return render(delivery_ids)


@stage_actor(Stage.RESERVE, give_up_trigger)
def reserve_slot(_ids: Sequence[int]) -> list[Handoff]:
    """The head of the backlog gets an account and a minute, whoever sent the trigger."""
    return reserve()


@stage_actor(Stage.DELIVER, give_up_delivery)
def deliver_message(delivery_ids: Sequence[int], *, slot_token: str) -> list[Handoff]:
    """The mail is sent, by the right of a claim."""
    return deliver(delivery_ids, slot_token)


@stage_actor(Stage.RECORD, give_up_delivery)
def record_outcome(delivery_ids: Sequence[int]) -> list[Handoff]:
    """The outcome is counted, and the next reservation triggered."""
    handoffs = record(delivery_ids)
    show_dead_letters(DeadLetter.delivery.in_(delivery_ids))
    return handoffs


@stage_actor(Stage.REPLIED, give_up_reply)
def take_replies(contact_ids: Sequence[int], *, source: str) -> list[Handoff]:
    """Whoever has replied is not written to any more."""
    since = database.now()
    handoffs = note_replies(contact_ids, source=source)
    show_dead_letters((DeadLetter.message_id == source) & (DeadLetter.created_at >= since))
    return handoffs


#: All of them, in route order; the last stands beside it.
ROUTE = (
    select_contacts,
    check_duplicates,
    render_message,
    reserve_slot,
    deliver_message,
    record_outcome,
    take_replies,
)
