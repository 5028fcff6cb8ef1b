"""Rows for tests: each builder fills in what a test does not care about."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from models import (
    Attachment,
    Campaign,
    CampaignList,
    CampaignSender,
    CampaignState,
    Contact,
    ContactList,
    Delivery,
    EmailTemplate,
    Enrolment,
    Event,
    ListMember,
    SmtpAccount,
    State,
    Step,
    Variant,
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


def a_campaign(
    *steps: tuple[int, Sequence[EmailTemplate]],
    accounts: Sequence[SmtpAccount] = (),
    tags: Sequence[str] = (),
    lists: Sequence[ContactList] = (),
    without: Sequence[ContactList] = (),
    **values: Any,
) -> Campaign:
    """Store a running campaign; `steps`: after how many working days, and with which templates."""
    now, name = database.now(), values.pop("name", None) or f"campaign {next(_number)}"
    defaults = {"state": CampaignState.RUNNING, "started_at": now, "created_at": now, "updated_at": now}
    made: Campaign = Campaign.create(name=name, key=key_of(name), **defaults | values)
    for position, (days, templates) in enumerate(steps, 1):
        step = Step.create(campaign=made, position=position, days=days)
        for template in templates:
            Variant.create(step=step, template=template)
    for account in accounts:
        CampaignSender.create(campaign=made, account=account)
    for tag in tags:
        CampaignSender.create(campaign=made, tag=tag)
    for excluded, some in ((False, lists), (True, without)):
        for found in some:
            CampaignList.create(campaign=made, list=found, excluded=excluded)
    return made


def an_enrolment(campaign: Campaign, contact: Contact | None = None, **values: Any) -> Enrolment:
    """Store an enrolment that waits for its first mail, of a contact of its own unless one is given."""
    now, contact = database.now(), contact or a_contact()
    defaults = {"priority": contact.priority, "created_at": now, "updated_at": now}
    return Enrolment.create(campaign=campaign, contact=contact, **defaults | values)


def on_its_way(enrolment: Enrolment, state: State, **values: Any) -> Delivery:
    """Store the delivery of an enrolment's step, with a slot of its own where its state needs one."""
    if state is State.RESERVED and "account" not in values:
        values |= {"account": an_account(), "send_at": database.now(), "token": "slot"}
    its = {"contact": enrolment.contact, "campaign": enrolment.campaign, "position": enrolment.position}
    delivery = a_delivery(state, enrolment=enrolment, **its | values)
    Enrolment.update(delivery_id=delivery.id).where(Enrolment.id == enrolment.id).execute()
    return delivery


def history_of(delivery_ids: Sequence[int]) -> list[Event]:
    """Return the events of deliveries, each one's in their order."""
    in_order = Event.select().where(Event.delivery.in_(list(delivery_ids))).order_by(Event.delivery, Event.step)
    return list(in_order)
