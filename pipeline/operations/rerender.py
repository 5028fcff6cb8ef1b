"""Render what waits of a template anew, after an edit. Slots go back first: what is planned is planned anew."""

from __future__ import annotations

from dataclasses import dataclass

from models import Cause, Delivery, State, database, lookup
from models.control import record_action
from models.delivery import of_ids
from pipeline.capacity import slots
from pipeline.flow import TRIGGER, chunks
from pipeline.operations.done import Done
from pipeline.render_message import columns, render_all, with_what_it_needs


@dataclass(frozen=True)
class Problem:
    """Why a delivery can't be rendered; it keeps the words it has."""

    delivery_id: int
    problem: str


@dataclass(frozen=True)
class Rerendered(Done):
    """The deliveries that have new words, and those that keep theirs."""

    rerendered: tuple[int, ...]
    errors: tuple[Problem, ...]


def rerender(template_id: int, who: str, reason: str = "") -> Rerendered:
    """Render what is `ready` or `reserved` with a template anew; slots go back first. What can't be rendered keeps
    its words. Raises NotThereError, TemplateError.
    """
    with database.transaction():
        lookup.template(template_id)
        slots.give_back(Cause.RERENDER, template_ids=[template_id])
        waiting = with_what_it_needs((Delivery.template == template_id) & (Delivery.state == State.READY))
        rendered, errors = render_all(waiting)
        for chunk in chunks(sorted(rendered)):
            part = {i: rendered[i] for i in chunk}
            Delivery.update(**columns(part), updated_at=database.now()).where(
                of_ids(part) & (Delivery.state == State.READY)
            ).execute()
        record_action(who, "rerender", f"template {template_id}", database.now(), reason)
    problems = tuple(Problem(i, problem) for i, problem in errors.items())
    return Rerendered(tuple(sorted(rendered)), problems, handoffs=(TRIGGER,))
