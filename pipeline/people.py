"""Forgetting a person: erased everywhere, and kept as a hash in the suppression list, so that nobody writes to them
again.
"""

from __future__ import annotations

from models import Attempt, Contact, DeadLetter, Delivery, Reason, State, Suppression, SuppressionKind, database
from models.control import record_action
from models.suppression import hashed, suppress

from .hold import NotThereError, cancel_where


class BeingSentError(Exception):
    """A mail to the person is being sent at this moment."""


def forget(contact_id: int, who: str, reason: str = "") -> None:
    """Erase a contact, in one transaction.

    Raises:
        NotThereError: there is no such contact, or it has been forgotten.
        BeingSentError: a mail to the person is on its way to the server; try again in a minute.
    """
    with database.transaction():
        contact = Contact.get_or_none((Contact.id == contact_id) & Contact.forgotten_at.is_null())
        if contact is None:
            raise NotThereError(f"there is no contact {contact_id}")
        now, of_contact = database.now(), Delivery.contact == contact_id
        cancel_where(of_contact, Reason.FORGOTTEN)
        if Delivery.select().where(of_contact & (Delivery.state == State.SENDING)).exists():
            raise BeingSentError(f"a mail to contact {contact_id} is being sent: try again in a minute")
        suppress(SuppressionKind.ADDRESS, [hashed(contact.address)], "forgotten", now)
        _erase(contact)
        record_action(who, "forget", f"contact {contact_id}", now, reason)


def _erase(contact: Contact) -> None:
    now, mark = database.now(), hashed(contact.address)
    mine = Delivery.select(Delivery.id).where(Delivery.contact == contact.id)
    Attempt.update(text="").where(Attempt.delivery.in_(mine)).execute()
    DeadLetter.update(detail="").where(DeadLetter.delivery.in_(mine)).execute()
    Suppression.delete().where(
        (Suppression.kind == SuppressionKind.ADDRESS) & (Suppression.value == contact.address)
    ).execute()
    Delivery.update(
        recipient="forgotten",
        address=mark,
        detail=None,
        subject=None,
        text=None,
        html=None,
        preheader=None,
        updated_at=now,
    ).where(Delivery.contact == contact.id).execute()
    Contact.update(
        email=f"forgotten-{contact.id}@forgotten.invalid",
        address=mark,
        address_valid=False,
        validated=False,
        name="",
        website=None,
        timezone=None,
        extra={},
        forgotten_at=now,
        updated_at=now,
    ).where(Contact.id == contact.id).execute()
