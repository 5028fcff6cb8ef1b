"""What ends sequences: a reply, for the person and, where a campaign says so, for its website; and a suppression.

Reads: contacts with the same normalised address, who are the same person; campaigns. Writes, in one transaction: the
enrolments that end, what waits for them cancelled, and the action. What is claimed goes on, and revives nothing.
Trouble: a claim that comes later finds its slot lost; one that was faster has sent.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models import (
    Campaign,
    Cause,
    Contact,
    Delivery,
    Enrolment,
    EnrolmentState,
    Reason,
    State,
    SuppressionKind,
    Website,
    database,
    lookup,
)
from models.address import forms, normalise
from models.control import PROGRAM, record_action
from models.dead_letter import file_messages
from models.delivery import in_states, of_ids
from models.enrolment import WEBSITE_REPLIED, ends
from models.states import NOT_CLAIMED, UNFINISHED
from pipeline.flow import TRIGGER, Handoff, Stage, chunks
from pipeline.operations import fields
from pipeline.operations.cancel import cancel_where, end_waiting, lock_waiting
from pipeline.operations.done import Done
from pipeline.rules import providers
from pipeline.rules.domains import DOMAIN
from pipeline.rules.suppressed import domain_and_parents
from pipeline.runtime.failpoints import failpoint
from pipeline.runtime.faults import short

#: A reply ends these: what has failed would go on with a replay.
_ENDED_BY_REPLY = (EnrolmentState.ACTIVE, EnrolmentState.FAILED)
#: A reply is one to these, where they have written to the person last.
_ANSWERED = (EnrolmentState.FINISHED, EnrolmentState.STOPPED)


@dataclass(frozen=True)
class Replied(Done):
    """People who have replied.

    Attributes:
        contact_ids: the contacts that were named and are there.
        ended: the enrolments that this has ended, also those of others at a website; and the one that had sent its last
            mail, where they answer that.
        cancelled: deliveries that were cancelled. Their slots are free for others.
    """

    contact_ids: tuple[int, ...]
    ended: tuple[int, ...]
    cancelled: tuple[int, ...]


def person_of(text: str) -> int:
    """Return a contact of the person whom somebody means by an id or an address in any spelling: of several with the
    same address, whichever. Raises FieldError, NotThereError.
    """
    text = fields.contact(text)
    if "@" in text:
        same = Contact.address.in_(forms(normalise(text))) & Contact.forgotten_at.is_null()
        first = Contact.select(Contact.id).where(same).order_by(Contact.id).first()
        if first is not None:
            return int(first.id)
    return int(lookup.contact_of(text).id)


def replied(contact_ids: Sequence[int], who: str, reason: str = "") -> Replied:
    """End the sequences of people who have replied, and cancel what waits for them; a hundred at a time, each in one
    transaction. Again: changes nothing.

    Args:
        contact_ids: contacts of theirs; the others with the same normalised address are meant, too. One that is not
            there, or has been forgotten, is left out.
        who: who does it; kept with the action.
        reason: why; kept with the action.
    """
    named: list[int] = []
    ended: list[int] = []
    cancelled: list[int] = []
    for some in chunks(sorted(set(contact_ids))):
        with database.transaction():
            found = list(Contact.select().where(Contact.id.in_(some) & Contact.forgotten_at.is_null()))
            stopped = _stop(found)
            for contact_id in sorted(contact.id for contact in found):
                record_action(who, "replied", f"contact {contact_id}", database.now(), reason)
                named.append(contact_id)
            failpoint("replied:wrote")
        ended += stopped[0]
        cancelled += stopped[1]
    return Replied(tuple(named), tuple(ended), tuple(cancelled), handoffs=(TRIGGER,) if cancelled else ())


def note_replies(contact_ids: Sequence[int], *, source: str) -> list[Handoff]:
    """Do the same with what another program has put on the queue; an unknown id is a dead letter.

    Args:
        contact_ids: see `replied`.
        source: the message they came in.
    """
    done = replied(contact_ids, PROGRAM)
    unknown = sorted(set(contact_ids) - set(done.contact_ids))
    bodies = {f"contact {i} does not exist": _naming(i) for i in unknown}
    file_messages(Stage.REPLIED, bodies, database.now(), message_id=source)
    return list(done.handoffs)


def give_up_reply(contact_id: int, error: Exception, *, source: str) -> list[Handoff]:
    """Keep the id of a contact whose sequences could not be ended, so that a replay asks for it again."""
    reason = f"contact {contact_id}: fault: {short(error)}"
    file_messages(Stage.REPLIED, {reason: _naming(contact_id)}, database.now(), message_id=source)
    return []


def suppressed(values: Iterable[tuple[SuppressionKind, str]], now: dt.datetime) -> list[Handoff]:
    """End the enrolments of those whom new suppressions are about, and skip what waits for them; in the caller's
    transaction, before it stores the suppressions. What is claimed goes on.

    Args:
        values: kind and normalised value of each.
        now: UTC.

    Returns:
        A trigger where something waited: its slot is free for others.
    """
    by_kind: dict[SuppressionKind, set[str]] = defaultdict(set)
    for kind, value in values:
        by_kind[kind].add(value)
    addresses = sorted({form for address in by_kind[SuppressionKind.ADDRESS] for form in forms(address)})
    about = {Reason.SUPPRESSED_ADDRESS: Contact.address.in_(addresses)} if addresses else {}
    if domains := _suppressed_domains(by_kind[SuppressionKind.DOMAIN]):
        about[Reason.SUPPRESSED_DOMAIN] = DOMAIN.in_(domains)
    contacts = {reason: Contact.select(Contact.id).where(which) for reason, which in about.items()}
    skipped = [
        i
        for reason, whose in contacts.items()
        for i in end_waiting(Delivery.contact.in_(whose), State.SKIPPED, Cause.SUPPRESS, reason)
    ]
    for reason, whose in contacts.items():
        ends(Enrolment.contact.in_(whose), EnrolmentState.SUPPRESSED, now, reason)
    return [TRIGGER] if skipped else []


def _stop(named: Sequence[Contact]) -> tuple[list[int], list[int]]:
    """End and cancel what there is of some people and of their websites' others; return enrolments and deliveries."""
    addresses = {form for contact in named for form in forms(contact.address)}
    people = set(_ids(Contact.select(Contact.id).where(Contact.address.in_(sorted(addresses)))))
    others = _others_of_websites(people)
    # Whoever picks for them has locked the contact, too: nothing is picked between here and the commit.
    database.lock_rows(Contact, Contact.id.in_(sorted({*people, *others.values()})))
    waiting = of_ids(_waiting(people, others))
    lock_waiting(waiting)
    # Before what waits is cancelled: nobody has stopped them by hand.
    end = (EnrolmentState.REPLIED, database.now())
    ended = ends(Enrolment.contact.in_(sorted(people)), *end, Reason.REPLIED, origins=_ENDED_BY_REPLY)
    answered = Enrolment.id.in_(sorted(_written_last(addresses)))
    ended += ends(answered, *end, Reason.REPLIED, origins=_ANSWERED)
    ended += ends(Enrolment.id.in_(sorted(others)), *end, WEBSITE_REPLIED)
    return ended, cancel_where(waiting, Cause.REPLIED, Reason.REPLIED)


def _written_last(addresses: Iterable[str]) -> set[int]:
    """Return the enrolments for which the last mail to each of these people was sent: a reply answers that one, also
    where it was the last of its sequence.
    """
    written = Delivery.address.in_(sorted(addresses)) & in_states(State.SENT)
    rows = Delivery.select(Delivery.address, Delivery.enrolment).where(written).order_by(Delivery.sent_at, Delivery.id)
    last = {normalise(address): enrolment_id for address, enrolment_id in rows.tuples()}
    return {enrolment_id for enrolment_id in last.values() if enrolment_id is not None}


def _others_of_websites(people: set[int]) -> dict[int, int]:
    """Return the running enrolments of others, with their contacts, that a reply of these people ends: of the same
    website in a campaign that says so, unless the website is one at which everybody can have an address.
    """
    theirs = (
        Enrolment.select(Enrolment.campaign, Contact.website, Website.domain)
        .join(Campaign)
        .switch(Enrolment)
        .join(Contact)
        .join(Website)
        .where(Enrolment.contact.in_(sorted(people)) & Campaign.stops_website)
    )
    websites: dict[int, set[int]] = defaultdict(set)
    for campaign_id, website_id, domain in theirs.tuples():
        if providers.of_mailbox(domain) is None:
            websites[campaign_id].add(website_id)
    if not websites:
        return {}
    same = Enrolment.campaign.in_(sorted(websites)) & Contact.website.in_(sorted(set().union(*websites.values())))
    active = same & (Enrolment.state == EnrolmentState.ACTIVE)
    rows = Enrolment.select(Enrolment.id, Enrolment.contact, Enrolment.campaign, Contact.website).join(Contact)
    return {
        enrolment_id: contact_id
        for enrolment_id, contact_id, campaign_id, website_id in rows.where(active).tuples()
        if contact_id not in people and website_id in websites[campaign_id]
    }


def _waiting(people: set[int], others: Mapping[int, int]) -> list[int]:
    """Return the deliveries on their way to these people, and those of the others' enrolments."""
    contacts = Delivery.contact.in_(sorted({*people, *others.values()}))
    rows = Delivery.select(Delivery.id, Delivery.contact, Delivery.enrolment).where(contacts & in_states(*UNFINISHED))
    return [i for i, contact_id, enrolment_id in rows.tuples() if contact_id in people or enrolment_id in others]


def _suppressed_domains(domains: set[str]) -> list[str]:
    """Return those domains, among `domains` or below one of them, at which somebody is enrolled or waits for a mail."""
    if not domains:
        return []
    enrolled = Enrolment.select(Enrolment.contact).where(Enrolment.state == EnrolmentState.ACTIVE)
    waiting = Delivery.select(Delivery.contact).where(in_states(*NOT_CLAIMED))
    theirs = Contact.id.in_(enrolled) | Contact.id.in_(waiting)
    there = Contact.select(DOMAIN).where(theirs).distinct().tuples()
    return [domain for (domain,) in there if domains.intersection(domain_and_parents(domain))]


def _ids(query: Any) -> list[int]:
    return [row[0] for row in query.tuples()]


def _naming(contact_id: int) -> bytes:
    """Return the message that, put on the queue again, names this contact."""
    return json.dumps({"contact_ids": [contact_id]}).encode()
