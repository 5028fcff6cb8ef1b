"""Pause and resume: everything, an account or a template. Paused is not failed: nothing is used up, nothing expires.

Writes: the pause, slots given back in the same transaction, and the action with its reason. A pause triggers nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from models import Delivery, State, database, lookup
from models.control import record_action
from models.delivery import in_states
from pipeline.capacity import pausing
from pipeline.capacity.pausing import Target as Target
from pipeline.flow import TRIGGER, Handoff, Stage, hand_on
from pipeline.operations.done import Done


@dataclass(frozen=True)
class PauseDone(Done):
    """A pause or its end.

    Attributes:
        target: what is paused or resumed; all of its keys null: everything.
        changed: false if it was paused, or running, already.
    """

    target: Target
    changed: bool


def pause(target: Target, who: str, reason: str = "") -> PauseDone:
    """Pause `target` and give its slots back. Raises NotThereError."""
    _demand(target)
    with database.transaction():
        changed = pausing.pause(target)
        if changed:
            record_action(who, "pause", str(target), database.now(), reason)
    return PauseDone(target, changed)


def resume(target: Target, who: str, reason: str = "") -> PauseDone:
    """Resume `target`; if it was paused, hands on what a template has that is not rendered, and a trigger. Raises
    NotThereError.
    """
    _demand(target)
    with database.transaction():
        if not pausing.resume(target):
            return PauseDone(target, changed=False)
        record_action(who, "resume", str(target), database.now(), reason)
        handoffs = (*_unrendered(target), TRIGGER)
    return PauseDone(target, changed=True, handoffs=handoffs)


def _unrendered(target: Target) -> list[Handoff]:
    if target.template_id is None:
        return []
    waiting = (Delivery.template == target.template_id) & in_states(State.CLEARED)
    query = Delivery.select(Delivery.id).where(waiting).order_by(Delivery.id)
    return hand_on(Stage.RENDER, [i for (i,) in query.tuples()])


def _demand(target: Target) -> None:
    if target.account_id is not None:
        lookup.account(target.account_id)
    if target.template_id is not None:
        lookup.template(target.template_id)
