"""The contacts: listed, found, and all that is known of one. Reads only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models import Choice, Contact, ContactList, ListMember, OptOut, Way, Website, lookup
from models.address import forms, normalise
from models.contact_list import members_of
from pipeline.reports import deliveries, inbound, suppressions
from pipeline.reports.deliveries import DeliveryRow
from pipeline.reports.inbound import InboundRow
from pipeline.reports.suppressions import SuppressionRow

#: Contacts that are looked through at once for a part of a name: no index finds that.
LOOKED_AT = 20_000


@dataclass(frozen=True)
class ContactRow:
    """A contact.

    Attributes:
        id: the contact.
        email: the address that is written to.
        name: the person's name.
        priority: 0 to 9, higher first.
        timezone: its own time zone (IANA name).
        validated: whether somebody has checked the address.
        address_valid: whether mail can be sent to the address at all.
        extra: the other columns of the import, as a template sees them.
        last_contacted_at: when it was last written to (UTC).
        website: the domain of its website.
    """

    id: int
    email: str
    name: str
    priority: int
    timezone: str | None
    validated: bool
    address_valid: bool
    extra: Mapping[str, Any]
    last_contacted_at: dt.datetime | None
    website: str | None


@dataclass(frozen=True)
class WebsiteDetails:
    """A website that contacts belong to.

    Attributes:
        id: the website.
        domain: its domain.
        title: its title.
        meets_requirements: whether its contacts may be written to.
        extra: the other columns of the import, as a template sees them.
        last_contacted_at: when one of its contacts was last written to (UTC).
    """

    id: int
    domain: str
    title: str
    meets_requirements: bool
    extra: Mapping[str, Any]
    last_contacted_at: dt.datetime | None


@dataclass(frozen=True)
class OnList:
    """A list that a contact is on.

    Attributes:
        id: the list.
        name: what you call it.
    """

    id: int
    name: str


@dataclass(frozen=True)
class RequestRow:
    """What a contact has asked for by the link of a mail, or by a mail.

    Attributes:
        id: the request.
        delivery_id: the mail whose link was used, or that was answered.
        choice: no mail to this address (`never`), to nobody at the company, either (`company`), none for some time.
        way: by which way it was asked for.
        made_at: when (UTC).
        until: the end of a pause (UTC); null: for good.
        taken_back_at: when the same person has taken it back (UTC); null: it stands.
    """

    id: int
    delivery_id: int
    choice: Choice
    way: Way
    made_at: dt.datetime
    until: dt.datetime | None
    taken_back_at: dt.datetime | None


@dataclass(frozen=True)
class ContactDetails(ContactRow):
    """All that is known of a contact.

    Attributes:
        address: the normal form of the address, by which people are told apart.
        lists: the lists that it is on, by their names.
        created_at: when it was imported (UTC).
        updated_at: when an import last changed it (UTC).
        website_details: its website.
        suppressions: what keeps it from being mailed: its address, or a domain.
        requests: what it has asked for by the links of its mails, or by mail, oldest first.
        inbound: what came back by mail of what was sent to it, in the order in which it was read.
        deliveries: all deliveries to it, oldest first.
    """

    address: str
    lists: tuple[OnList, ...]
    created_at: dt.datetime
    updated_at: dt.datetime
    website_details: WebsiteDetails | None
    suppressions: tuple[SuppressionRow, ...]
    requests: tuple[RequestRow, ...]
    inbound: tuple[InboundRow, ...]
    deliveries: tuple[DeliveryRow, ...]


def contacts(limit: int, after: int = 0) -> list[ContactRow]:
    """Return at most `limit` contacts by id, those with a higher id than `after`."""
    return rows(Contact.id > after, limit)


def find(text: str, limit: int, lists: Sequence[str] = ()) -> list[ContactRow]:
    """Return at most `limit` contacts that have `text` in their address, name or website's domain, by id.

    Args:
        text: what is looked for; an address finds its other spellings, too.
        limit: contacts at most.
        lists: only contacts that are on one of these, by their names or ids; none: all.

    Raises:
        NotThereError: there is no such list.
    """
    which = _has(text.strip())
    if lists:
        which &= Contact.id.in_(members_of(lookup.contact_list(named).id for named in lists))
    return rows(which, limit)


def look_through(text: str, limit: int, after: int = 0) -> tuple[list[ContactRow], int | None]:
    """Return at most `limit` of the next 20,000 contacts that have `text` in their address, name or website's domain,
    by id, and the id after which it goes on; None: there are no more contacts.
    """
    behind = Contact.id > after
    last = Contact.select(Contact.id).where(behind).order_by(Contact.id).offset(LOOKED_AT - 1).limit(1).scalar()
    found = rows(_has(text) & (behind if last is None else behind & (Contact.id <= last)), limit + 1)
    return found[:limit], found[limit - 1].id if len(found) > limit else last


def _has(text: str) -> Any:
    """Return the condition that a contact has a text in its address, name or website's domain."""
    which = Contact.email.contains(text) | Contact.name.contains(text) | Website.domain.contains(text)
    return which | Contact.address.in_(forms(normalise(text))) if "@" in text else which


def with_address(address: str, limit: int = 50) -> list[ContactRow]:
    """Return at most `limit` contacts that have an address, in whatever spelling, by id; quick among however many."""
    return rows(Contact.address.in_(forms(normalise(address))), limit)


def contact(contact: int | str) -> ContactDetails:
    """Return all that is known of a contact, by its id or its address. Raises NotThereError."""
    meant = lookup.contact_of(str(contact))
    return ContactDetails(
        **_values(meant),
        address=meant.address,
        lists=tuple(_lists_of(meant)),
        created_at=meant.created_at,
        updated_at=meant.updated_at,
        website_details=None if meant.website is None else _website(meant.website),
        suppressions=suppressions.of_address(meant.address),
        requests=tuple(_requests_of(meant)),
        inbound=inbound.of_contact(meant.id),
        deliveries=deliveries.of_contact(meant.id),
    )


def rows(which: Any, limit: int) -> list[ContactRow]:
    """Return at most `limit` contacts that a condition selects and that have not been forgotten, by id."""
    there = Contact.select(Contact, Website).left_outer_join(Website).where(which & Contact.forgotten_at.is_null())
    return [ContactRow(**_values(contact)) for contact in there.order_by(Contact.id).limit(limit)]


def _lists_of(contact: Contact) -> Iterator[OnList]:
    of_contact = ContactList.select().join(ListMember).where(ListMember.contact == contact.id)
    for found in of_contact.order_by(ContactList.key):
        yield OnList(found.id, found.name)


def _requests_of(contact: Contact) -> Iterator[RequestRow]:
    for request in OptOut.select().where(OptOut.contact == contact.id).order_by(OptOut.id):
        yield RequestRow(
            id=request.id,
            delivery_id=request.delivery_id,
            choice=Choice(request.choice),
            way=Way(request.way),
            made_at=request.made_at,
            until=request.until,
            taken_back_at=request.taken_back_at,
        )


def _values(contact: Contact) -> dict[str, Any]:
    shown = ("id", "email", "name", "priority", "timezone", "validated", "address_valid", "extra", "last_contacted_at")
    return {name: getattr(contact, name) for name in shown} | {
        "website": contact.website.domain if contact.website_id else None
    }


def _website(website: Website) -> WebsiteDetails:
    return WebsiteDetails(
        id=website.id,
        domain=website.domain,
        title=website.title,
        meets_requirements=website.meets_requirements,
        extra=website.extra,
        last_contacted_at=website.last_contacted_at,
    )
