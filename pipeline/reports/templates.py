"""The templates, and the source of one. Reads only."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from models import EmailTemplate, lookup
from pipeline.content.files import AttachmentRow, warning
from pipeline.delivery.attachments import rows_of


@dataclass(frozen=True)
class TemplateRow:
    """A template.

    Attributes:
        id: the template.
        name: what you call it.
        subject: the source of the subject (Jinja2); empty: it is for mails that follow another, and have its subject.
        active: whether it can be picked where nobody names a template.
        times_used: mails with it that were sent.
        updated_at: when it was last changed (UTC).
        paused: whether it is paused.
    """

    id: int
    name: str
    subject: str
    active: bool
    times_used: int
    updated_at: dt.datetime
    paused: bool


@dataclass(frozen=True)
class TemplateDetails(TemplateRow):
    """A template with its source.

    Attributes:
        preheader: the source of the line that mail programs show after the subject.
        text: the source of the text body.
        html: the source of the HTML body.
        created_at: when it was added (UTC).
        attachments: what goes with each of its mails, in this order.
        warning: what attachments do to a mail; null without one.
    """

    preheader: str | None
    text: str
    html: str | None
    created_at: dt.datetime
    attachments: tuple[AttachmentRow, ...]
    warning: str | None


def templates() -> list[TemplateRow]:
    """Return all templates, by id."""
    return [TemplateRow(**_values(template)) for template in EmailTemplate.select().order_by(EmailTemplate.id)]


def template(template_id: int) -> TemplateDetails:
    """Return one template with its source. Raises NotThereError."""
    found = lookup.template(template_id)
    attachments = rows_of(template_id)
    return TemplateDetails(
        **_values(found),
        preheader=found.preheader,
        text=found.text,
        html=found.html,
        created_at=found.created_at,
        attachments=attachments,
        warning=warning(attachments),
    )


def _values(template: EmailTemplate) -> dict[str, Any]:
    shown = ("id", "name", "subject", "active", "times_used", "updated_at")
    return {name: getattr(template, name) for name in shown} | {"paused": template.paused_at is not None}
