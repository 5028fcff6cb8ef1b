"""Finds the row that a person names: an account, a campaign, a contact, a list or a template by its id, a contact also
by its address, the others by their names. If there is none, `NotThereError` says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Any, cast

from models import Campaign, Contact, ContactList, EmailTemplate, SmtpAccount
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
    meant = contacts_of([text])[text]
    if isinstance(meant, NotThereError):
        raise meant
    return meant


def contacts_of(texts: Iterable[str]) -> dict[str, Contact | NotThereError]:
    """Return the contacts that a person means with each of some texts, or what `contact_of` would raise."""
    asked = {text: text.strip() for text in texts}
    ids = {int(text) for text in asked.values() if is_id(text)}
    forms_of = {text: forms(normalise(text)) for text in asked.values() if not is_id(text)}
    by_id = {contact.id: contact for contact in _known(Contact.id, ids)}
    by_form: dict[str, list[Contact]] = defaultdict(list)
    for contact in _known(Contact.address, set().union(*forms_of.values())):
        by_form[contact.address].append(contact)
    meant: dict[str, Contact | NotThereError] = {}
    for text, stripped in asked.items():
        if is_id(stripped):
            meant[text] = by_id.get(int(stripped)) or NotThereError(f"there is no contact {int(stripped)}")
        else:
            meant[text] = _one_of([c for form in sorted(forms_of[stripped]) for c in by_form[form]], stripped)
    return meant


def _known(column: Any, values: Collection[Any]) -> list[Contact]:
    which = column.in_(sorted(values)) & Contact.forgotten_at.is_null()
    return list(Contact.select().where(which).order_by(Contact.id)) if values else []


def _one_of(same: list[Contact], text: str) -> Contact | NotThereError:
    """Return the contact of several with the same address that is written like `text`, or the only one."""
    meant = [c for c in same if c.email.lower() == text.lower()] or same
    if not meant:
        return NotThereError(f"there is no contact with the address {text}")
    if len(meant) > 1:
        ids = ", ".join(str(i) for i in sorted(c.id for c in meant))
        return NotThereError(f"several contacts have the address {meant[0].address}: give one of the ids {ids}")
    return meant[0]


def is_id(text: str) -> bool:
    """Tell whether a text is an id and not a name or an address: it has digits alone."""
    return text.isascii() and text.isdecimal()


def contact_list(text: str) -> ContactList:
    """Return the list that a person means: by its id (digits), or by its name. Raises NotThereError."""
    return cast(ContactList, _named(ContactList, "list", text, lambda name: ContactList.key == key_of(name)))


def campaign(text: str) -> Campaign:
    """Return the campaign that a person means: by its id (digits), or by its name. Raises NotThereError."""
    return cast(Campaign, _named(Campaign, "campaign", text, lambda name: Campaign.key == key_of(name)))


def account_of(text: str) -> SmtpAccount:
    """Return the account that a person means, by its id (digits) or its name; not a removed one. Raises
    NotThereError.
    """
    there = SmtpAccount.removed_at.is_null()
    return cast(SmtpAccount, _named(SmtpAccount, "account", text, lambda name: SmtpAccount.name == name, there))


def template_of(text: str) -> EmailTemplate:
    """Return the template that a person means: by its id (digits), or by its name. Raises NotThereError."""
    return cast(EmailTemplate, _named(EmailTemplate, "template", text, lambda name: EmailTemplate.name == name))


def _named(model: Any, noun: str, text: str, by_name: Callable[[str], Any], *further: Any) -> Any:
    named = text.strip()
    # An id of more digits than both databases compare is nobody's.
    which = by_name(named) if not is_id(named) else model.id == (int(named) if len(named) < 19 else 0)
    found = model.get_or_none(which, *further)
    if found is None:
        raise NotThereError(f"there is no {noun} {named if is_id(named) else repr(named)}")
    return found


def template(template_id: int) -> EmailTemplate:
    """Return a template. Raises NotThereError."""
    found: EmailTemplate | None = EmailTemplate.get_or_none(EmailTemplate.id == template_id)
    if found is None:
        raise NotThereError(f"there is no template {template_id}")
    return found
