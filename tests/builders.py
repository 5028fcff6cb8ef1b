"""Rows for tests: each builder fills in what a test does not care about."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from models import (
    Attachment,
    Contact,
    ContactList,
    Delivery,
    EmailTemplate,
    Event,
    ListMember,
    SmtpAccount,
    State,
    Website,
    address,
    database,
)
from models.attachment import digest_of, store
from models.contact_list import key_of

_number = itertools.count(1)


def a_website(**values: Any) -> Website:
    """Store a website."""
    now = database.now()
    return Website.create(**{"domain": f"site{next(_number)}.test", "created_at": now, "updated_at": now} | values)


def a_contact(**values: Any) -> Contact:
    """Store a contact; `email` decides `address`."""
    now = database.now()
    email = values.pop("email", f"person{next(_number)}@example.test")
    return Contact.create(
        **{"email": email, "address": address.normalise(email), "created_at": now, "updated_at": now} | values
    )


def a_list(*members: Contact, name: str = "") -> ContactList:
    """Store a list with these contacts on it."""
    name = name or f"list {next(_number)}"
    made: ContactList = ContactList.create(name=name, key=key_of(name), created_at=database.now())
    for member in members:
        ListMember.create(list=made, contact=member)
    return made


def a_template(**values: Any) -> EmailTemplate:
    """Store a template."""
    now = database.now()
    defaults = {
        "name": f"template {next(_number)}",
        "subject": "Hello {{ contact.name }}",
        "text": "Dear {{ contact.name }}",
        "created_at": now,
        "updated_at": now,
    }
    return EmailTemplate.create(**defaults | values)


def an_attachment(template: EmailTemplate, data: bytes = b"words", **values: Any) -> Attachment:
    """Store a file that goes with the mails of a template."""
    digest = digest_of(data)
    store({digest: data})
    number = next(_number)
    defaults = {"name": f"file {number}.txt", "type": "text/plain", "position": number}
    return Attachment.create(template=template, file=digest, **defaults | values)


def an_account(**values: Any) -> SmtpAccount:
    """Store an account that needs no login and no TLS."""
    now = database.now()
    number = next(_number)
    defaults = {
        "name": f"account {number}",
        "host": "127.0.0.1",
        "port": 2525,
        "security": "plain",
        "from_address": f"sender{number}@example.test",
        "from_name": f"Sender {number}",
        "enabled_at": now,
        "created_at": now,
        "updated_at": now,
    }
    return SmtpAccount.create(**defaults | values)


def a_delivery(state: State = State.READY, **values: Any) -> Delivery:
    """Store a delivery, with a contact and a template of its own unless they are given."""
    now = database.now()
    contact = values.pop("contact", None) or a_contact()
    defaults: dict[str, Any] = {
        "contact": contact,
        "website": contact.website_id,
        "template": values.pop("template", None) or a_template(),
        "recipient": contact.email,
        "address": contact.address,
        "priority": contact.priority,
        "state": state,
        "subject": "Hello",
        "text": "Dear reader",
        "source": f"test {next(_number)}",
        "attempts_since": now,
        "created_at": now,
        "updated_at": now,
    }
    return Delivery.create(**defaults | values)


def history_of(delivery_ids: Sequence[int]) -> list[Event]:
    """Return the events of deliveries, each one's in their order."""
    in_order = Event.select().where(Event.delivery.in_(list(delivery_ids))).order_by(Event.delivery, Event.step)
    return list(in_order)
