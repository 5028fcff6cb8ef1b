"""Stage 1: contact ids become deliveries, or are enrolled in a campaign; steps of enrolments whose turn has come become
deliveries.

Reads: contacts, their websites, the template. Writes: one delivery for each contact, `selected` or `skipped` with the
reason, or its enrolment; a dead letter for an unknown id, a missing template or campaign. Hands on: what is `selected`,
to *check duplicates*.
Trouble: a message that comes twice makes nothing new (unique: source and contact); two messages for one contact or one
address at the same instant are told apart by the unique indexes, and the second is `skipped` as in flight.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

from models import (
    Campaign,
    CampaignState,
    Cause,
    Contact,
    Delivery,
    EmailTemplate,
    Enrolment,
    EnrolmentState,
    Reason,
    State,
    Step,
    Website,
    database,
    insert_deliveries,
)
from models.address import normalise
from models.dead_letter import file_messages
from models.delivery import by_id, of_ids
from pipeline.campaigns import audience
from pipeline.campaigns.steps import Steps
from pipeline.flow import MAX_IDS, Handoff, Stage, chunks, hand_on
from pipeline.rules import forgotten
from pipeline.rules.contact import reasons_against_each
from pipeline.rules.eligible import for_everybody
from pipeline.runtime.failpoints import failpoint
from pipeline.runtime.faults import short


def select(
    contact_ids: Sequence[int],
    *,
    source: str,
    template_id: int | None = None,
    priority: int | None = None,
    campaign_id: int | None = None,
) -> list[Handoff]:
    """Make deliveries of `contact_ids`, or enrol them.

    Args:
        contact_ids: whom to write to; an id twice in one message counts once.
        source: the message they came in, by which a redelivery is known.
        template_id: what to write; None: the active template with the lowest id.
        priority: 0 to 9, higher first; None: each contact's own.
        campaign_id: in which campaign they are enrolled; no delivery is made now.

    Returns:
        Handoffs to *check duplicates*.

    Raises:
        KeyLockedError: forgotten people can't be known; nobody is selected.
    """
    # Who can't be known as forgotten must not be selected.
    forgotten.hashes()
    handoffs = []
    for chunk in chunks(list(dict.fromkeys(contact_ids)), MAX_IDS):
        with database.transaction():
            if campaign_id is not None:
                _enrol(chunk, source, campaign_id)
                selected = []
            else:
                selected = _select(chunk, source, template_id, priority)
            failpoint("intake:wrote")
        handoffs += hand_on(Stage.DEDUPE, selected)
    return handoffs


def select_steps(enrolment_ids: Sequence[int], *, source: str) -> list[Handoff]:
    """Make deliveries of the next steps of enrolments that wait for them.

    Args:
        enrolment_ids: whose step is sent.
        source: what picked them, by which a repetition is known.

    Returns:
        Handoffs to *check duplicates*. An enrolment that has ended meanwhile, whose contact can't be written to, or to
        whom something is on its way, is left as it is.
    """
    handoffs = []
    for chunk in chunks(list(enrolment_ids), MAX_IDS):
        with database.transaction():
            selected = _select_steps(chunk, source)
            failpoint("intake:wrote")
        handoffs += hand_on(Stage.DEDUPE, selected)
    return handoffs


def give_up_contact(contact_id: int, error: Exception, *, source: str, **asked_for: int | None) -> list[Handoff]:
    """Keep a contact id that no delivery could be made of, so that a replay asks for it as `select` was asked."""
    reason = f"contact {contact_id}: fault: {short(error)}"
    asked = {reason: _asking_for([contact_id], **asked_for)}
    file_messages(Stage.INTAKE, asked, database.now(), message_id=source)
    return []


def _select(ids: list[int], source: str, template_id: int | None, priority: int | None) -> list[int]:
    now = database.now()
    template = _template(template_id)
    asked = {"template_id": template_id, "priority": priority}
    if template is None:
        missing = "no active template" if template_id is None else f"template {template_id} does not exist"
        file_messages(Stage.INTAKE, {missing: _asking_for(ids, **asked)}, now, message_id=source)
        return []
    # Locked, so that nobody is forgotten between here and the commit; in a statement of its own, because a lock can't
    # be taken through an outer join.
    list(database.for_update(Contact.select(Contact.id).where(Contact.id.in_(ids)).order_by(Contact.id)))
    contacts = list(_contacts(ids))
    unknown = sorted(set(ids) - {c.id for c in contacts})
    bodies = {f"contact {i} does not exist": _asking_for([i], **asked) for i in unknown}
    file_messages(Stage.INTAKE, bodies, now, message_id=source)

    against = reasons_against_each(contacts, now)
    rows = [_row(c, template, source, priority, now, against[c.id]) for c in contacts]
    rows.sort(key=lambda row: row["address"])
    insert_deliveries(rows, cause=Cause.INTAKE)
    # What is missing now met a unique index: its contact or address has an unfinished delivery.
    there = {d.contact_id: d for d in _of_source(ids, source)}
    second = [row | _skip(Reason.IN_FLIGHT) for row in rows if row["contact"] not in there]
    insert_deliveries(second, cause=Cause.INTAKE)
    return sorted(d.id for d in there.values() if d.state == State.SELECTED)


def _enrol(ids: list[int], source: str, campaign_id: int) -> None:
    now = database.now()
    campaign: Campaign | None = Campaign.get_or_none(Campaign.id == campaign_id)
    if campaign is None or campaign.state == CampaignState.DONE:
        why = "does not exist" if campaign is None else "is done, and takes nobody any more"
        asked = {f"campaign {campaign_id} {why}": _asking_for(ids, campaign_id=campaign_id)}
        file_messages(Stage.INTAKE, asked, now, message_id=source)
        return
    database.lock_publisher()
    done = audience.enrol(campaign, ids, now)
    reasons = {i: f"contact {i} does not exist" for i in done.unknown}
    reasons |= {i: f"contact {i} is in another campaign, which goes on" for i in done.kept_out}
    bodies = {reason: _asking_for([i], campaign_id=campaign_id) for i, reason in sorted(reasons.items())}
    file_messages(Stage.INTAKE, bodies, now, message_id=source)


def _select_steps(ids: list[int], source: str) -> list[int]:
    now = database.now()
    # Contacts are named by their ids in each statement: a planner that joins them may read all of them.
    contact_ids = [i for (i,) in Enrolment.select(Enrolment.contact).where(Enrolment.id.in_(ids)).tuples()]
    # Locked, so that nobody is forgotten, and no sequence stopped, between here and the commit.
    database.lock_rows(Contact, Contact.id.in_(contact_ids))
    contacts = {contact.id: contact for contact in _contacts(contact_ids)}
    waiting = (Enrolment.state == EnrolmentState.ACTIVE) & Enrolment.delivery_id.is_null()
    query = Enrolment.select(Enrolment, Campaign).join(Campaign).where(Enrolment.id.in_(ids) & waiting)
    enrolments = [enrolment for enrolment in query if enrolment.contact_id in contacts]
    against = reasons_against_each(list(contacts.values()), now)
    steps = Steps.of({e.campaign_id for e in enrolments})
    rows = []
    for enrolment in enrolments:
        template = steps.template_for(enrolment.campaign_id, enrolment.position, enrolment.contact_id)
        if template is not None and not against[enrolment.contact_id]:
            step = steps.step_of[enrolment.campaign_id, enrolment.position]
            of_contact = _row(contacts[enrolment.contact_id], template, source, None, now, ())
            rows.append(of_contact | _of_step(enrolment, step, template))
    made = insert_deliveries(sorted(rows, key=lambda row: row["address"]), cause=Cause.INTAKE)
    of = dict(Delivery.select(Delivery.enrolment, Delivery.id).where(of_ids(made)).tuples())
    if of:
        on_its_way = by_id(of, Enrolment.delivery_id, of=Enrolment.id)
        Enrolment.update(delivery_id=on_its_way, updated_at=now).where(Enrolment.id.in_(sorted(of))).execute()
    return made


def _contacts(ids: Sequence[int]) -> Any:
    """Return the query of those of some contacts that have not been forgotten, with their websites."""
    which = Contact.id.in_(ids) & Contact.forgotten_at.is_null()
    return Contact.select(Contact, Website).left_outer_join(Website).where(which)


def _of_step(enrolment: Enrolment, step: Step, template: EmailTemplate) -> dict[str, Any]:
    """Return what a step's delivery has beside what each has."""
    # Another account begins a conversation of its own: with its step's subject, or with that of the mails before.
    is_new = enrolment.account_id is None
    return {
        "campaign": enrolment.campaign_id,
        "enrolment": enrolment.id,
        "position": step.position,
        "sender_id": enrolment.account_id,
        "follows": None if is_new and template.subject else enrolment.last_id,
        "quotes": step.quotes and not is_new,
        "reply_prefix": enrolment.campaign.reply_prefix and not is_new,
    }


def _template(template_id: int | None) -> EmailTemplate | None:
    which = for_everybody() if template_id is None else EmailTemplate.id == template_id
    found: EmailTemplate | None = EmailTemplate.select().where(which).order_by(EmailTemplate.id).first()
    return found


def _row(
    contact: Contact,
    template: EmailTemplate,
    source: str,
    priority: int | None,
    now: dt.datetime,
    against: Sequence[Reason],
) -> dict[str, Any]:
    return {
        "contact": contact.id,
        "website": contact.website_id,
        "template": template.id,
        "recipient": contact.email,
        # The version before, which may be at work still, stores it with its quotes.
        "address": normalise(contact.address),
        "timezone": contact.timezone or "",
        "priority": contact.priority if priority is None else priority,
        "source": source,
        "state": State.SELECTED,
        "reason": None,
        "attempts_since": now,
        "created_at": now,
        "updated_at": now,
    } | (_skip(*against) if against else {})


def _skip(*reasons: Reason) -> dict[str, str]:
    return {"state": State.SKIPPED, "reason": ",".join(reasons)}


def _of_source(contact_ids: list[int], source: str) -> Any:
    return Delivery.select(Delivery.id, Delivery.contact, Delivery.state).where(
        (Delivery.source == source) & Delivery.contact.in_(contact_ids)
    )


def _asking_for(ids: list[int], **asked: int | None) -> bytes:
    """Return the message that, put on `intake` again, asks for these ids as the first one did."""
    return json.dumps({"contact_ids": ids} | {k: v for k, v in asked.items() if v is not None}).encode()
