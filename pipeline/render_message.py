"""Stage 3: a cleared delivery gets its words.

Reads: `cleared` deliveries with contact, website and template. Writes: the rendered parts (they are what is sent) and
`ready`, or `failed` with the template's line and a dead letter. Hands on: a trigger to *reserve slot*;
what has failed, to *record outcome*.
Trouble: an error in a template fails that delivery alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models import Contact, Delivery, EmailTemplate, Reason, State, Website, database
from models.dead_letter import file_deliveries
from models.delivery import by_id, move, of_ids

from . import logs, standing
from .failpoints import reach
from .flow import TRIGGER, Handoff, Stage, chunks, hand_on
from .template import Compiled, Parts, TemplateError, compile_template, render


def run(delivery_ids: Sequence[int]) -> list[Handoff]:
    """Render those of `delivery_ids` that are `cleared`; return a trigger if any is `ready` then, and what has failed
    to *record outcome*.
    """
    with database.transaction():
        rendered, errors = render_all(_with_what_it_needs(of_ids(delivery_ids) & (Delivery.state == State.CLEARED)))
        done = move(State.CLEARED, State.READY, of_ids(rendered), **columns(rendered)) if rendered else []
        _fail(errors)
        ready = list(Delivery.select(Delivery.id).where(of_ids(delivery_ids) & (Delivery.state == State.READY)))
        reach("render:wrote")
    logs.moved(Stage.RENDER, errors, State.FAILED, errors)
    logs.moved(Stage.RENDER, done, State.READY)
    return hand_on(Stage.RECORD, sorted(errors)) + ([TRIGGER] if ready else [])


def rerender(template_id: int) -> tuple[list[int], dict[int, str]]:
    """Render what is `ready` or `reserved` with a template anew; slots go back first. What can't be rendered keeps
    its words.

    Returns:
        The ids that have new words, and the problems of the others by id.
    """
    with database.transaction():
        standing.give_back(template_ids=[template_id])
        waiting = _with_what_it_needs((Delivery.template == template_id) & (Delivery.state == State.READY))
        rendered, errors = render_all(waiting)
        for chunk in chunks(sorted(rendered)):
            part = {i: rendered[i] for i in chunk}
            Delivery.update(**columns(part), updated_at=database.now()).where(
                of_ids(part) & (Delivery.state == State.READY)
            ).execute()
    return sorted(rendered), errors


def render_all(deliveries: Sequence[Delivery]) -> tuple[dict[int, Parts], dict[int, str]]:
    """Render deliveries; return what they became, and what is wrong with the others, by id."""
    compiled: dict[int, Compiled | str] = {}
    rendered: dict[int, Parts] = {}
    errors: dict[int, str] = {}
    for d in deliveries:
        if d.template_id not in compiled:
            try:
                compiled[d.template_id] = compile_template(d.template)
            except TemplateError as error:
                compiled[d.template_id] = str(error)
        template = compiled[d.template_id]
        if isinstance(template, str):
            errors[d.id] = template
            continue
        try:
            rendered[d.id] = render(template, d.contact, d.website)
        except TemplateError as error:
            errors[d.id] = str(error)
    return rendered, errors


def columns(rendered: dict[int, Parts]) -> dict[str, Any]:
    """Return the values of the columns in which rendered parts are stored, each delivery its own."""
    names = ("subject", "text", "html", "preheader")
    return {name: by_id({i: getattr(parts, name) for i, parts in rendered.items()}) for name in names}


def _with_what_it_needs(which: Any) -> list[Delivery]:
    query = (
        Delivery.select(Delivery, Contact, EmailTemplate, Website)
        .join(Contact)
        .switch(Delivery)
        .join(EmailTemplate)
        .switch(Delivery)
        .left_outer_join(Website, on=(Delivery.website == Website.id))
        .where(which)
    )
    return list(query)


def _fail(errors: dict[int, str]) -> None:
    if not errors:
        return
    failed = move(State.CLEARED, State.FAILED, of_ids(errors), reason=Reason.TEMPLATE_ERROR, detail=by_id(errors))
    file_deliveries({i: (Reason.TEMPLATE_ERROR, errors[i]) for i in failed}, database.now())
