"""What a person does to a template: written, changed, made active or not, removed.

Writes: the template, and the action with its reason. A delivery that is rendered keeps its words whatever is done
here: `rerender` alone changes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import peewee

from models import Campaign, Delivery, EmailTemplate, Step, Variant, database, lookup
from models.attachment import detach_all
from models.base import insert_new
from models.control import record_action
from models.delivery import in_states
from models.states import State
from pipeline.content.template import check_syntax
from pipeline.operations import fields
from pipeline.operations.done import Done, OperationRefusedError

#: What is written in a template; HTML and preheader can be absent (None).
PARTS = ("subject", "text", "html", "preheader")


@dataclass(frozen=True)
class TemplateDone(Done):
    """A template that something was done to.

    Attributes:
        id: the template.
        name: what you call it; a removed one: what you called it.
        active: whether it can be picked where none is named; a removed one: whether it could.
        changed: false if it was like that already.
        keep_their_words: how many waiting deliveries keep what was rendered before a change of its words; else 0.
    """

    id: int
    name: str
    active: bool
    changed: bool
    keep_their_words: int = 0


def add(
    name: str,
    who: str,
    words: Mapping[str, str | None],
    *,
    active: bool | None = None,
    replace: bool = False,
    reason: str = "",
) -> TemplateDone:
    """Write a template, or with `replace` those parts of one with this name that are given.

    Args:
        name: by which it is found again.
        who: who does it; kept with the action.
        words: by part (PARTS); a new one needs `subject` and `text`. A subject None: it is that of follow-ups, which
            have the subject of the mail before.
        active: can it be picked where no template is named? None: a new one with a subject can, another stays as it is.
        replace: one with this name may be there.
        reason: why; kept with the action.

    Raises:
        FieldError: a name or a part is not allowed, or missing.
        TemplateError: a mistake in its syntax.
        OperationRefusedError: one with this name is there, and `replace` is not given.
    """
    name = fields.name(name)
    words = checked(words)
    with database.transaction():
        now = database.now()
        there = database.for_update(EmailTemplate.select().where(EmailTemplate.name == name)).first()
        if there is not None:
            if not replace:
                raise _name_taken(name)
            return _change(there, who, words, active=active, reason=reason)
        _demand_both(words)
        is_active = _is_active(words["subject"], active, otherwise=True)
        values = dict.fromkeys(PARTS) | dict(words) | {"active": is_active}
        added = insert_new(EmailTemplate, name=name, created_at=now, updated_at=now, **values)
        if added is None:
            raise _name_taken(name)
        record_action(who, "write", f"template {added}", now, reason)
    return TemplateDone(added, name, is_active, changed=True)


def change(
    template_id: int, who: str, words: Mapping[str, str | None], *, name: str | None = None, reason: str = ""
) -> TemplateDone:
    """Change a template's parts, or its name, each on its own; what is not given stays.

    Args:
        template_id: the template.
        who: who does it; kept with the action.
        words: by part (PARTS); None takes HTML, preheader or subject away. One without a subject is that of follow-ups,
            and not active any more.
        name: another name.
        reason: why; kept with the action.

    Raises:
        NotThereError: there is no such template.
        FieldError: a name or a part is not allowed.
        TemplateError: a mistake in its syntax.
        OperationRefusedError: another template has this name.
    """
    changes = checked(words)
    if name is not None:
        changes["name"] = fields.name(name)
    try:
        with database.transaction():
            return _change(locked(template_id), who, changes, reason=reason)
    except peewee.IntegrityError:
        raise _name_taken(str(changes.get("name"))) from None


def set_active(template_id: int, who: str, *, active: bool, reason: str = "") -> TemplateDone:
    """Let a template be picked where none is named, or no longer. Deliveries with it go on. Raises NotThereError,
    FieldError: it has no subject.
    """
    with database.transaction():
        template = locked(template_id)
        changed = template.active != _is_active(template.subject, active, otherwise=template.active)
        if changed:
            now = database.now()
            EmailTemplate.update(active=active, updated_at=now).where(EmailTemplate.id == template_id).execute()
            record_action(who, "activate" if active else "deactivate", f"template {template_id}", now, reason)
    return TemplateDone(template_id, template.name, active, changed)


def remove(template_id: int, who: str, reason: str = "") -> TemplateDone:
    """Remove a template that no delivery was ever made with, and that is in no campaign, and its attachments.

    Raises:
        NotThereError: there is no such template.
        OperationRefusedError: a delivery or a campaign refers to it.
    """
    refusal = OperationRefusedError(
        f"template {template_id} has deliveries, which keep it: deactivate it with "
        f"`slowpost templates deactivate {template_id}`"
    )
    try:
        with database.transaction():
            template = locked(template_id)
            if Delivery.select().where(Delivery.template == template_id).exists():
                raise refusal
            if (name := _campaign_with(template_id)) is not None:
                raise OperationRefusedError(f"template {template_id} is in the campaign {name!r}")
            detach_all(template_id)
            EmailTemplate.delete().where(EmailTemplate.id == template_id).execute()
            record_action(who, "remove", f"template {template_id}", database.now(), reason)
    except peewee.IntegrityError:  # somebody was faster to use it
        raise refusal from None
    return TemplateDone(template_id, template.name, template.active, changed=True)


def _campaign_with(template_id: int) -> str | None:
    """Return the name of a campaign that a template is in."""
    query = Campaign.select(Campaign.name).join(Step).join(Variant).where(Variant.template == template_id)
    return next((campaign.name for campaign in query.order_by(Campaign.id)), None)


def _change(
    template: EmailTemplate,
    who: str,
    changes: Mapping[str, str | None],
    *,
    active: bool | None = None,
    reason: str,
) -> TemplateDone:
    """Change a locked template; in the caller's transaction."""
    subject = changes.get("subject", template.subject)
    values = dict(changes) | {"active": _is_active(subject, active, otherwise=template.active)}
    becomes = template.__data__ | values
    now = database.now()
    changed = becomes != template.__data__
    if changed:
        EmailTemplate.update(**values, updated_at=now).where(EmailTemplate.id == template.id).execute()
        record_action(who, "write", f"template {template.id}", now, reason)
    rendered = (Delivery.template == template.id) & in_states(State.READY, State.RESERVED)
    waiting = Delivery.select().where(rendered).count()
    return TemplateDone(template.id, str(becomes["name"]), bool(becomes["active"]), changed, waiting)


def locked(template_id: int) -> EmailTemplate:
    """Return a template, its row locked until the transaction ends. Raises NotThereError."""
    query = database.for_update(EmailTemplate.select().where(EmailTemplate.id == template_id))
    return query.first() or lookup.template(template_id)


def checked(words: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the parts that are given, an empty subject if it is taken away.

    Raises:
        FieldError: a part that must not be empty is, or is not allowed.
        TemplateError: a mistake in its syntax.
    """
    parts = dict(words)
    if "subject" in parts:
        parts["subject"] = "" if parts["subject"] is None else _subject(parts["subject"])
    if "text" in parts and not (parts["text"] or "").strip():
        raise fields.FieldError("text: it is empty")
    check_syntax(EmailTemplate(**parts))
    return parts


def _subject(text: str) -> str:
    subject = fields.one_line(text)
    if not subject:
        raise fields.FieldError("subject: it is empty (--follow-up: that of the mail before)")
    return subject


def _is_active(subject: str | None, wanted: bool | None, *, otherwise: bool) -> bool:
    """Tell whether a template with this subject is active, if that is wanted. Raises FieldError."""
    if subject != "":
        return otherwise if wanted is None else wanted
    if wanted:
        raise fields.FieldError("a template without a subject is that of follow-ups, and can't be active")
    return False


def _demand_both(words: Mapping[str, str | None]) -> None:
    for part in ("subject", "text"):
        if words.get(part) is None:
            raise fields.FieldError(f"{part}: a new template needs one")


def _name_taken(name: str) -> OperationRefusedError:
    return OperationRefusedError(f"there is a template {name!r} already (--replace writes over its words)")
