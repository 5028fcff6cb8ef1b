"""Render what waits of a template anew, after an edit. Slots go back first: what is planned is planned anew."""

from __future__ import annotations

from models import Cause, Delivery, State, database
from models.delivery import of_ids
from pipeline.capacity import slots
from pipeline.flow import chunks
from pipeline.render_message import columns, render_all, with_what_it_needs


def rerender(template_id: int) -> tuple[list[int], dict[int, str]]:
    """Render what is `ready` or `reserved` with a template anew; slots go back first. What can't be rendered keeps
    its words.

    Returns:
        The ids that have new words, and the problems of the others by id.
    """
    with database.transaction():
        slots.give_back(Cause.RERENDER, template_ids=[template_id])
        waiting = with_what_it_needs((Delivery.template == template_id) & (Delivery.state == State.READY))
        rendered, errors = render_all(waiting)
        for chunk in chunks(sorted(rendered)):
            part = {i: rendered[i] for i in chunk}
            Delivery.update(**columns(part), updated_at=database.now()).where(
                of_ids(part) & (Delivery.state == State.READY)
            ).execute()
    return sorted(rendered), errors
