"""Stage 3: a cleared delivery gets its words.

Reads: `cleared` deliveries with contact, website and template. Writes: the rendered parts (they are what is sent) and
`ready`, or `failed` with the template's line and a dead letter. Hands on: a trigger to *reserve slot*;
what has failed, to *record outcome*.
Trouble: an error in a template fails that delivery alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models import Cause, Contact, Delivery, EmailTemplate, Reason, State, Website, database, transition
from models.dead_letter import file_deliveries
from models.delivery import by_id, of_ids
from pipeline.content import template as templates
from pipeline.content.template import Compiled, Footer, Parts, TemplateError, compile_template
from pipeline.flow import TRIGGER, Handoff, Stage, hand_on
from pipeline.runtime.failpoints import failpoint
from pipeline.runtime.settings import settings


def render(delivery_ids: Sequence[int]) -> list[Handoff]:
    """Render those of `delivery_ids` that are `cleared`; return a trigger if any of them is `ready` then, and handoffs
    to *record outcome* of those that failed.
    """
    with database.transaction():
        rendered, errors = render_all(with_what_it_needs(of_ids(delivery_ids) & (Delivery.state == State.CLEARED)))
        if rendered:
            transition(State.CLEARED, State.READY, of_ids(rendered), cause=Cause.RENDER, **columns(rendered))
        _fail(errors)
        ready = list(Delivery.select(Delivery.id).where(of_ids(delivery_ids) & (Delivery.state == State.READY)))
        failpoint("render:wrote")
    return hand_on(Stage.RECORD, sorted(errors)) + ([TRIGGER] if ready else [])


def render_all(deliveries: Sequence[Delivery]) -> tuple[dict[int, Parts], dict[int, str]]:
    """Render deliveries; return what they became, and what is wrong with the others, by id."""
    compiled: dict[int, Compiled | str] = {}
    rendered: dict[int, Parts] = {}
    errors: dict[int, str] = {}
    footer = Footer.from_settings(settings())
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
            rendered[d.id] = templates.render(template, d.contact, d.website, footer)
        except TemplateError as error:
            errors[d.id] = str(error)
    return rendered, errors


def columns(rendered: dict[int, Parts]) -> dict[str, Any]:
    """Return the values of the columns in which rendered parts are stored, each delivery its own."""
    names = ("subject", "text", "html", "preheader")
    return {name: by_id({i: getattr(parts, name) for i, parts in rendered.items()}) for name in names}


def with_what_it_needs(which: Any) -> list[Delivery]:
    """Return the deliveries of a condition, each with its contact, template and website."""
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
    failed = transition(
        State.CLEARED,
        State.FAILED,
        of_ids(errors),
        cause=Cause.RENDER,
        reason=Reason.TEMPLATE_ERROR,
        detail=by_id(errors),
    )
    file_deliveries({i: (Reason.TEMPLATE_ERROR, errors[i]) for i in failed}, database.now())
