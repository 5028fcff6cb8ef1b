"""What a person puts onto the route: asked for here, before anything is published. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from models import EmailTemplate, lookup
from pipeline.operations.done import OperationRefusedError


@dataclass(frozen=True)
class Entered:
    """A contact that was put onto the route.

    Attributes:
        contact_id: the contact.
        source: the id of this request; the delivery that is made for it keeps it.
    """

    contact_id: int
    source: str


def contact_to_send(contact: int | str, template_id: int | None) -> int:
    """Return the id of a contact that can be put onto the route; the stages decide whether it may be written to.

    Args:
        contact: its id or address.
        template_id: what to write; None: the active template with the lowest id.

    Raises:
        NotThereError: there is no such contact, or no such template.
        OperationRefusedError: no template is named, and none is active; or the one that is named is a follow-up's.
    """
    found = lookup.contact_of(str(contact))
    if template_id is not None:
        template_to_begin_with(template_id)
    elif not EmailTemplate.select().where(EmailTemplate.active).exists():
        raise OperationRefusedError("there is no active template")
    return int(found.id)


def template_to_begin_with(template_id: int) -> EmailTemplate:
    """Return a template with which a conversation can begin. Raises NotThereError, OperationRefusedError."""
    template = lookup.template(template_id)
    if template.is_follow_up:
        raise OperationRefusedError(f"template {template_id} has no subject: it is for mails that follow another")
    return template
