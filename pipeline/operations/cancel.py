"""Cancel what waits for a contact or of a template; what is claimed goes on."""

from __future__ import annotations

from typing import Any

from models import Cause, Delivery, Reason, State, database, transition
from models.control import record_action
from models.states import NOT_CLAIMED


def cancel(who: str, *, contact_id: int | None = None, template_id: int | None = None, reason: str = "") -> list[int]:
    """Cancel what waits for a contact or of a template; return the ids of the deliveries. What is claimed goes on."""
    which = Delivery.contact == contact_id if contact_id is not None else Delivery.template == template_id
    subject = f"contact {contact_id}" if contact_id is not None else f"template {template_id}"
    with database.transaction():
        cancelled = cancel_where(which, Cause.CANCEL, Reason.CANCELLED)
        record_action(who, "cancel", subject, database.now(), reason)
    return cancelled


def cancel_where(which: Any, cause: Cause, reason: Reason) -> list[int]:
    """Cancel what can be cancelled; in the caller's transaction."""
    database.lock_throttle()
    return [i for origin in NOT_CLAIMED for i in transition(origin, State.CANCELLED, which, cause=cause, reason=reason)]
