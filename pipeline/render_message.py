"""Stage 3: a cleared delivery gets its words.

Reads: `cleared` deliveries with contact, website and template, and the mails that they follow. Writes: the rendered
parts (they are what is sent) and `ready`, or `failed` with the template's line and a dead letter. Hands on: a trigger
to *reserve slot*; what has failed, to *record outcome*.
Trouble: an error in a template fails that delivery alone, and so does a limit that stops it; the third in a row that is
stopped pauses the template. What a paused template has stays `cleared`, until it is resumed. What follows a mail that
was not sent fails: it would come out of the blue. No transaction is open and nothing is locked while it renders,
however long that takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from models import Cause, Contact, Delivery, EmailTemplate, Reason, State, Website, database, transition
from models.dead_letter import file_deliveries
from models.delivery import by_id, of_ids
from pipeline.accounts import consent, template_limits
from pipeline.capacity.statement import paused_templates
from pipeline.content import template as templates
from pipeline.content.template import Before, Footer, NothingToFollowError, Parts, TemplateError, TemplateLimitError
from pipeline.delivery.conversation import before_each
from pipeline.flow import TRIGGER, Handoff, Stage, hand_on
from pipeline.runtime.failpoints import failpoint
from pipeline.runtime.settings import settings

#: What a template has, and a delivery that is rendered.
_PARTS = tuple(field.name for field in fields(Parts))
#: Characters that are rendered before they are stored, or a little more: a list of large mails is not held as a whole.
_AT_ONCE = 4_000_000


def render(delivery_ids: Sequence[int]) -> list[Handoff]:
    """Render those of `delivery_ids` that are `cleared`; return a trigger if any of them is `ready` then, and handoffs
    to *record outcome* of those that failed.

    Nothing is open or locked while it renders. What was cancelled or forgotten meanwhile is left alone; what was
    rendered with words that have been edited meanwhile is rendered again.
    """
    failed: list[int] = []
    here = of_ids(delivery_ids) & (Delivery.state == State.CLEARED) & Delivery.template.not_in(paused_templates())
    while cleared := with_what_it_needs(here):
        token_of = tokens_of(cleared)
        rendered, errors = render_all(cleared, token_of)
        with database.transaction():
            current = unedited(cleared)
            database.lock_rows(Delivery, of_ids(current))
            if done := {i: parts for i, parts in rendered.items() if i in current}:
                transition(State.CLEARED, State.READY, of_ids(done), cause=Cause.RENDER, **columns(done, token_of))
            failed += _fail({i: error for i, error in errors.items() if i in current})
            failpoint("render:wrote")
        template_limits.check({d.template_id for d in cleared if isinstance(errors.get(d.id), TemplateLimitError)})
    ready = Delivery.select(Delivery.id).where(of_ids(delivery_ids) & (Delivery.state == State.READY)).exists()
    return hand_on(Stage.RECORD, sorted(failed)) + ([TRIGGER] if ready else [])


def render_all(
    deliveries: Sequence[Delivery], token_of: Mapping[int, str]
) -> tuple[dict[int, Parts], dict[int, TemplateError]]:
    """Render deliveries, with the tokens of their links; return what they became, and what is wrong with the others, by
    id.

    It ends early, and at least one is done then, when one was stopped by a limit, or when there is much to be stored.
    """
    rendered: dict[int, Parts] = {}
    errors: dict[int, TemplateError] = {}
    size = 0
    before = before_each(deliveries)
    # One template after another: each is compiled once.
    for d in sorted(deliveries, key=lambda d: (d.template_id, d.id)):
        try:
            footer = Footer.from_settings(settings(), token_of.get(d.id))
            rendered[d.id] = templates.render(d.template, d.contact, d.website, footer, _what_it_follows(d, before))
        except TemplateError as error:
            errors[d.id] = error
            if isinstance(error, TemplateLimitError):
                break
        else:
            size += sum(len(part or "") for part in words(rendered[d.id]))
            if size > _AT_ONCE:
                break
    return rendered, errors


def _what_it_follows(delivery: Delivery, before: Mapping[int, Before]) -> Before | None:
    if delivery.follows_id is not None and delivery.id not in before:
        raise NothingToFollowError(f"delivery {delivery.follows_id}, which it follows, was not sent to this contact")
    return before.get(delivery.id)


def unedited(deliveries: Sequence[Delivery]) -> set[int]:
    """Return the ids of those deliveries whose template still has the words that it was read with; in the caller's
    transaction; an edit waits until its end.
    """
    ids = {d.template_id for d in deliveries}
    query = EmailTemplate.select().where(EmailTemplate.id.in_(ids)).order_by(EmailTemplate.id)
    words_of = {template.id: words(template) for template in database.for_update(query)}
    return {d.id for d in deliveries if words(d.template) == words_of[d.template_id]}


def words(of: EmailTemplate | Delivery | Parts) -> tuple[str | None, ...]:
    """Return subject, text, HTML and preheader of a template, of what it became, or of what is stored."""
    return tuple(getattr(of, name) for name in _PARTS)


def tokens_of(deliveries: Iterable[Delivery]) -> dict[int, str]:
    """Return the token of each delivery's link to unsubscribe, by id; none where MAIL_PUBLIC_URL is not set. Raises
    KeyLockedError, NoKeyError.
    """
    tokens = consent.tokens()
    return {} if tokens is None else {d.id: tokens.of(d.id) for d in deliveries}


def columns(rendered: dict[int, Parts], token_of: Mapping[int, str]) -> dict[str, Any]:
    """Return the values of the columns in which rendered parts and tokens are stored, each delivery its own."""
    parts_of = {name: by_id({i: getattr(parts, name) for i, parts in rendered.items()}) for name in _PARTS}
    return parts_of | {"unsubscribe": by_id({i: token_of.get(i) for i in rendered}) if token_of else None}


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


def _fail(errors: dict[int, TemplateError]) -> list[int]:
    if not errors:
        return []
    details = {i: str(error) for i, error in errors.items()}
    reasons = {i: _reason(error) for i, error in errors.items()}
    failed = transition(
        State.CLEARED, State.FAILED, of_ids(errors), cause=Cause.RENDER, reason=reasons, detail=by_id(details)
    )
    file_deliveries({i: (reasons[i], details[i]) for i in failed}, database.now())
    return failed


def _reason(error: TemplateError) -> Reason:
    match error:
        case TemplateLimitError():
            return Reason.TEMPLATE_LIMIT
        case NothingToFollowError():
            return Reason.NOTHING_TO_FOLLOW
    return Reason.TEMPLATE_ERROR
