"""Cancel what waits for a contact or of a template, and stop the contact's sequences; what is claimed goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models import (
    Cause,
    Contact,
    Delivery,
    Enrolment,
    EnrolmentState,
    Reason,
    State,
    database,
    lookup,
    transition,
)
from models.control import record_action
from models.delivery import in_states
from models.enrolment import ends
from models.states import NOT_CLAIMED
from pipeline.flow import TRIGGER
from pipeline.operations.done import Done


@dataclass(frozen=True)
class Cancelled(Done):
    """Deliveries that were cancelled. Their slots are free for others.

    Attributes:
        cancelled: their ids.
        ended: the contact's enrolments that went on until now.
    """

    cancelled: tuple[int, ...]
    ended: tuple[int, ...] = ()


def cancel(
    who: str, *, contact: int | str | None = None, template_id: int | None = None, reason: str = ""
) -> Cancelled:
    """Cancel what waits for a contact or of a template, and end the contact's enrolments, or those whose step is
    cancelled with the template. What is claimed goes on.

    Args:
        who: who does it; kept with the action.
        contact: the contact's id or address.
        template_id: the template, where no contact is given.
        reason: why; kept with the action.

    Raises:
        NotThereError: there is no such contact or template.
    """
    with database.transaction():
        if contact is not None:
            contact_id = lookup.contact_of(str(contact)).id
            database.lock_rows(Contact, Contact.id == contact_id)
            which, subject = Delivery.contact == contact_id, f"contact {contact_id}"
            enrolled = Enrolment.contact == contact_id
        else:
            assert template_id is not None, "either a contact or a template is cancelled"
            which, subject = Delivery.template == lookup.template(template_id).id, f"template {template_id}"
            enrolled = Enrolment.delivery_id.in_(Delivery.select(Delivery.id).where(which & in_states(*NOT_CLAIMED)))
        lock_waiting(which)
        # Before what waits is cancelled, so that all of them are told.
        ended = ends(enrolled, EnrolmentState.STOPPED, database.now(), Reason.CANCELLED)
        cancelled = cancel_where(which, Cause.CANCEL, Reason.CANCELLED)
        record_action(who, "cancel", subject, database.now(), reason)
    return Cancelled(tuple(cancelled), tuple(ended), handoffs=(TRIGGER,) if cancelled else ())


def cancel_where(which: Any, cause: Cause, reason: Reason) -> list[int]:
    """Cancel what can be cancelled; in the caller's transaction."""
    return end_waiting(which, State.CANCELLED, cause, reason)


def end_waiting(which: Any, state: State, cause: Cause, reason: Reason) -> list[int]:
    """Give a final state to those that are not claimed; in the caller's transaction. Return their ids."""
    lock_waiting(which)
    return [i for origin in NOT_CLAIMED for i in transition(origin, state, which, cause=cause, reason=reason)]


def lock_waiting(which: Any) -> None:
    """Lock what can be cancelled, until the caller's transaction ends: it is not claimed any more."""
    database.lock_throttle()
    database.lock_rows(Delivery, which & in_states(*NOT_CLAIMED))
