"""What a person puts onto the route: asked for here, before anything is published. Writes nothing."""

from __future__ import annotations

from models import EmailTemplate, lookup
from pipeline.operations.done import OperationRefusedError


def contact_to_send(contact: int | str, template_id: int | None) -> int:
    """Return the id of a contact that can be put onto the route; whether it may be written to, the stages say.

    Args:
        contact: its id or address.
        template_id: what to write; None: the active template with the lowest id.

    Raises:
        NotThereError: there is no such contact, or no such template.
        OperationRefusedError: no template is named, and none is active.
    """
    found = lookup.contact_of(str(contact))
    if template_id is not None:
        lookup.template(template_id)
    elif not EmailTemplate.select().where(EmailTemplate.active).exists():
        raise OperationRefusedError("there is no active template")
    return int(found.id)
