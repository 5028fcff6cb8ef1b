"""Finds the row that a person names: an account, a contact, a list or a template by its id, a contact also by its
address, a list by its name. If there is none, `NotThereError` says so.
"""

from __future__ import annotations

from models import Contact, ContactList, EmailTemplate, SmtpAccount
from models.address import forms, normalise
from models.contact_list import key_of
from models.errors import SlowpostError


class NotThereError(SlowpostError, LookupError):
    """There is no such row, or no single one; the message says which."""


def account(account_id: int) -> SmtpAccount:
    """Return an account that has not been removed. Raises NotThereError."""
    which = (SmtpAccount.id == account_id) & SmtpAccount.removed_at.is_null()
    found: SmtpAccount | None = SmtpAccount.get_or_none(which)
    if found is None:
        raise NotThereError(f"there is no account {account_id}")
    return found


def contact(contact_id: int) -> Contact:
    """Return a contact that has not been forgotten. Raises NotThereError."""
    found: Contact | None = Contact.get_or_none((Contact.id == contact_id) & Contact.forgotten_at.is_null())
    if found is None:
        raise NotThereError(f"there is no contact {contact_id}")
    return found


def contact_of(text: str) -> Contact:
    """Return the contact that a person means: by its id, or by its address.

    Args:
        text: digits, or an address in any spelling. Where several contacts have the same normalised address, the one
            whose e-mail is written like that is meant.

    Raises:
        NotThereError: there is none, it has been forgotten, or there are several and none is written like that.
    """
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return contact(int(text))
    same: list[Contact] = list(Contact.select().where(Contact.address.in_(forms(normalise(text)))).order_by(Contact.id))
    meant = [c for c in same if c.email.lower() == text.lower()] or same
    if not meant:
        raise NotThereError(f"there is no contact with the address {text}")
    if len(meant) > 1:
        ids = ", ".join(str(c.id) for c in meant)
        raise NotThereError(f"several contacts have the address {meant[0].address}: give one of the ids {ids}")
    return meant[0]


def contact_list(text: str) -> ContactList:
    """Return the list that a person means: by its id (digits), or by its name. Raises NotThereError."""
    text = text.strip()
    is_id = text.isascii() and text.isdecimal()
    which = ContactList.id == int(text) if is_id else ContactList.key == key_of(text)
    found: ContactList | None = ContactList.get_or_none(which)
    if found is None:
        raise NotThereError(f"there is no list {text if is_id else repr(text)}")
    return found


def template(template_id: int) -> EmailTemplate:
    """Return a template. Raises NotThereError."""
    found: EmailTemplate | None = EmailTemplate.get_or_none(EmailTemplate.id == template_id)
    if found is None:
        raise NotThereError(f"there is no template {template_id}")
    return found
