"""Rows by the id that a person gives: an account, a contact, a template; or a refusal that says which is not there."""

from __future__ import annotations

from models import Contact, EmailTemplate, SmtpAccount


class NotThereError(LookupError):
    """There is no such row; the message says which."""


def account(account_id: int) -> SmtpAccount:
    """Return an account that has not been removed. Raises NotThereError."""
    found = SmtpAccount.get_or_none((SmtpAccount.id == account_id) & SmtpAccount.removed_at.is_null())
    if found is None:
        raise NotThereError(f"there is no account {account_id}")
    return found


def contact(contact_id: int) -> Contact:
    """Return a contact that has not been forgotten. Raises NotThereError."""
    found = Contact.get_or_none((Contact.id == contact_id) & Contact.forgotten_at.is_null())
    if found is None:
        raise NotThereError(f"there is no contact {contact_id}")
    return found


def template(template_id: int) -> EmailTemplate:
    """Return a template. Raises NotThereError."""
    found = EmailTemplate.get_or_none(EmailTemplate.id == template_id)
    if found is None:
        raise NotThereError(f"there is no template {template_id}")
    return found
