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
from collections.abc import Callable, Sequence
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

#: A contact id that came in, and the message it came in (its source id).
Asked = tuple[str, int]


def asked(source: str, contact_ids: Sequence[int]) -> list[Asked]:
    """Return what the message `source` asks for."""
    return [(source, contact_id) for contact_id in contact_ids]


def select(
    pairs: Sequence[Asked],
    *,
    template_id: int | None = None,
    priority: int | None = None,
    campaign_id: int | None = None,
) -> list[Handoff]:
    """Make deliveries of contacts, or enrol them.

    Args:
        pairs: whom to write to, and the message that asks for it, by which a redelivery is known: an id twice in one
            message counts once, in two messages twice.
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
    for chunk in chunks(list(dict.fromkeys(pairs)), MAX_IDS):
        with database.transaction():
            if campaign_id is not None:
                _enrol(chunk, campaign_id)
                selected = []
            else:
                selected = _select(chunk, template_id, priority)
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


def give_up_contact(pair: Asked, error: Exception, **asked_for: int | None) -> list[Handoff]:
    """Keep a contact id that no delivery could be made of, so that a replay asks for it as `select` was asked."""
    _file([pair], lambda contact_id: f"contact {contact_id}: fault: {short(error)}", database.now(), **asked_for)
    return []


def _select(pairs: list[Asked], template_id: int | None, priority: int | None) -> list[int]:
    now = database.now()
    template = _template(template_id)
    options = {"template_id": template_id, "priority": priority}
    if template is None:
        missing = "no active template" if template_id is None else f"template {template_id} does not exist"
        for source, theirs in _by_source(pairs).items():
            file_messages(Stage.INTAKE, {missing: _asking_for(theirs, **options)}, now, message_id=source)
        return []
    ids = sorted({contact_id for _, contact_id in pairs})
    # Locked, so that nobody is forgotten between here and the commit; in a statement of its own, because a lock can't
    # be taken through an outer join.
    list(database.for_update(Contact.select(Contact.id).where(Contact.id.in_(ids)).order_by(Contact.id)))
    contacts = {c.id: c for c in _contacts(ids)}
    known = [pair for pair in pairs if pair[1] in contacts]
    unknown = sorted(set(pairs).difference(known))
    _file(unknown, lambda contact_id: f"contact {contact_id} does not exist", now, **options)

    against = reasons_against_each(list(contacts.values()), now)
    wanted = [_row(contacts[i], template, source, priority, now, against[i]) for source, i in known]
    wanted.sort(key=lambda row: row["address"])
    insert_deliveries(wanted, cause=Cause.INTAKE)
    # What is missing now met a unique index: its contact or address has an unfinished delivery.
    there = _become(known)
    second = [row | _skip(Reason.IN_FLIGHT) for row in wanted if (row["source"], row["contact"]) not in there]
    insert_deliveries(second, cause=Cause.INTAKE)
    return sorted(d.id for d in there.values() if d.state == State.SELECTED)


def _enrol(pairs: list[Asked], campaign_id: int) -> None:
    now = database.now()
    campaign: Campaign | None = Campaign.get_or_none(Campaign.id == campaign_id)
    if campaign is None or campaign.state == CampaignState.DONE:
        why = f"campaign {campaign_id} " + (
            "does not exist" if campaign is None else "is done, and takes nobody any more"
        )
        for source, ids in _by_source(pairs).items():
            file_messages(Stage.INTAKE, {why: _asking_for(ids, campaign_id=campaign_id)}, now, message_id=source)
        return
    database.lock_publisher()
    done = audience.enrol(campaign, [contact_id for _, contact_id in pairs], now)
    reasons = {i: f"contact {i} does not exist" for i in done.unknown}
    reasons |= {i: f"contact {i} is in another campaign, which goes on" for i in done.kept_out}
    refused = sorted(pair for pair in pairs if pair[1] in reasons)
    _file(refused, reasons.__getitem__, now, campaign_id=campaign_id)


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


def _become(pairs: Sequence[Asked]) -> dict[Asked, Delivery]:
    """Return the deliveries that pairs have become."""
    sources, ids = {source for source, _ in pairs}, {contact_id for _, contact_id in pairs}
    asked_for = set(pairs)
    found = Delivery.select(Delivery.id, Delivery.source, Delivery.contact, Delivery.state).where(
        Delivery.source.in_(sources) & Delivery.contact.in_(ids)
    )
    # Another message of these may have asked for a contact before that only this one asks for now.
    return {pair: d for d in found if (pair := (d.source, d.contact_id)) in asked_for}


def _by_source(pairs: Sequence[Asked]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for source, contact_id in pairs:
        found.setdefault(source, []).append(contact_id)
    return found


def _file(pairs: Sequence[Asked], why: Callable[[int], str], now: dt.datetime, **options: int | None) -> None:
    """Keep each of these contact ids as a part of its message that can't be processed."""
    for source, ids in _by_source(pairs).items():
        bodies = {why(contact_id): _asking_for([contact_id], **options) for contact_id in ids}
        file_messages(Stage.INTAKE, bodies, now, message_id=source)


def _asking_for(ids: list[int], **options: int | None) -> bytes:
    """Return the message that, put on `intake` again, asks for these ids as the first one did."""
    return json.dumps({"contact_ids": ids} | {k: v for k, v in options.items() if v is not None}).encode()
