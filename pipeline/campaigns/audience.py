"""A campaign's audience: who is put into it, from its lists or by name.

Reads: lists, contacts, enrolments. Writes enrolments in the caller's transaction, which has the publisher's lock
(`database.lock_publisher`): so nobody comes into two sequences at once. Can be run again; who is in it stays as they
are.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from peewee import JOIN, SQL, Value, fn

from models import (
    Campaign,
    CampaignList,
    CampaignState,
    Contact,
    Enrolment,
    EnrolmentState,
    ListMember,
    Reason,
    Website,
    database,
)
from models.base import within
from models.enrolment import ends
from pipeline.flow import chunks
from pipeline.rules import sequences

#: Contacts enrolled in one statement.
BATCH = 1000


@dataclass(frozen=True)
class Enrolled:
    """What came of enrolling contacts.

    Attributes:
        enrolled: contacts that are in the campaign now and were not.
        already: those whose person was in it, by whichever contact, whatever has become of it.
        in_another: those that are not put into it as long as they are in another campaign's sequence.
        unknown: ids of contacts that are not there, or have been forgotten.
        kept_out: ids of those that are in another campaign's sequence, where contacts were named.
    """

    enrolled: int = 0
    already: int = 0
    in_another: int = 0
    unknown: tuple[int, ...] = ()
    kept_out: tuple[int, ...] = ()


def enrol(campaign: Campaign, contact_ids: Collection[int], now: dt.datetime) -> Enrolled:
    """Put contacts into a campaign, at most as many as a statement takes (`flow.MAX_IDS`)."""
    asked = set(contact_ids)
    # Nobody is forgotten between here and the commit.
    database.lock_rows(Contact, Contact.id.in_(asked))
    rows = (
        Contact.select(
            Contact.id, fn.EXISTS(_of(campaign)).alias("already"), fn.EXISTS(_elsewhere(campaign)).alias("in_another")
        )
        .where(Contact.id.in_(asked) & Contact.forgotten_at.is_null())
        .namedtuples()
    )
    found = list(rows)
    already = sum(bool(row.already) for row in found)
    shut_out = [row.id for row in found if row.in_another and not row.already and not campaign.shares_contacts]
    enrolled = _insert(campaign, Contact.id.in_({row.id for row in found}), now)
    unknown = asked - {row.id for row in found}
    return Enrolled(enrolled, already, len(shut_out), tuple(sorted(unknown)), tuple(sorted(shut_out)))


def enrol_lists(campaign: Campaign, now: dt.datetime) -> Enrolled:
    """Put the contacts of a campaign's lists into it, without those of its excluded lists. `already` is not counted."""
    enrolled = _enrol_members(campaign, now)
    return Enrolled(enrolled=enrolled, in_another=_waiting_elsewhere(campaign))


def meant(campaign: Campaign) -> Any:
    """Return the query of the contacts that a campaign has still to write to, each with its website and, as `enrolled`,
    its enrolment: those whose enrolment goes on, and those of its lists who are not in it yet.
    """
    of_it = (Enrolment.campaign == campaign.id) & (Enrolment.contact == Contact.id)
    goes_on = Enrolment.state == EnrolmentState.ACTIVE
    # Without times, which take longer to read than all the rest.
    columns = [c for c in (*Contact._meta.sorted_fields, *Website._meta.sorted_fields) if not c.name.endswith("_at")]
    return (
        Contact.select(*columns, Enrolment.id, Enrolment.position, Enrolment.delivery_id)
        .left_outer_join(Website)
        .switch(Contact)
        .join(Enrolment, JOIN.LEFT_OUTER, on=of_it, attr="enrolled")
        .where(Contact.forgotten_at.is_null() & (goes_on | (Enrolment.id.is_null() & members(campaign))))
    )


def enrol_running(now: dt.datetime) -> None:
    """Put into each running campaign whoever is on its lists by now, and end it for those on a list that it excludes:
    what is on its way for these is kept back by itself (`rules.sequences`).
    """
    running = list(Campaign.select().where(Campaign.state == CampaignState.RUNNING).order_by(Campaign.id))
    for campaign in running:
        _enrol_members(campaign, now)
    # Behind all contacts, as `database.LOCK_ORDER` has it.
    for campaign in running:
        waits = (Enrolment.campaign == campaign.id) & Enrolment.delivery_id.is_null()
        shut_out = within(Enrolment.contact, _on_lists(campaign, excluded=True))
        ends(waits & shut_out, EnrolmentState.STOPPED, now, Reason.ON_EXCLUDED_LIST)


def newcomers(campaigns: Iterable[Campaign], of_contact: int | None = None) -> Iterator[tuple[Campaign, Contact]]:
    """Yield who would be put into each of these campaigns (in the order of their ids) if they were enrolled now, in
    that order, with their priority; of one contact alone, where that is given.
    """
    taken: set[str] = set()
    for campaign in campaigns:
        which = members(campaign)
        if of_contact is not None:
            itself = Contact.alias()
            which &= Contact.address == itself.select(itself.address).where(itself.id == of_contact)
        query = _chosen(_fit(campaign, which), of_contact)
        found = [contact for contact in query if campaign.shares_contacts or contact.address not in taken]
        taken |= {contact.address for contact in found}
        yield from ((campaign, contact) for contact in found)


def _chosen(which: Any, of_contact: int | None) -> Any:
    if of_contact is not None:
        which &= Contact.id == of_contact
    return Contact.select(Contact.id, Contact.address, Contact.priority).where(which).order_by(Contact.id)


def members(campaign: Campaign) -> Any:
    """Return the condition that a contact is on one of a campaign's lists, and on none of those that are excluded."""
    return on_list_of(campaign, excluded=False) & ~on_list_of(campaign, excluded=True)


def on_list_of(campaign: Campaign, *, excluded: bool) -> Any:
    """Return the condition that a contact is on one of a campaign's lists, or of those that are excluded."""
    return within(Contact.id, _on_lists(campaign, excluded=excluded))


def _on_lists(campaign: Campaign, *, excluded: bool) -> Any:
    """Return the query of the contacts on a campaign's lists, or on those that are excluded."""
    lists = CampaignList.select(CampaignList.list).where(
        (CampaignList.campaign == campaign.id) & (CampaignList.excluded == excluded)
    )
    return ListMember.select(ListMember.contact).where(within(ListMember.list, lists))


def _enrol_members(campaign: Campaign, now: dt.datetime) -> int:
    """Enrol the contacts of a campaign's lists who are not in it yet and may be; return how many that are."""
    enrolled = (Enrolment.campaign == campaign.id) & (Enrolment.contact == ListMember.contact)
    # Asked of the lists alone, which have their indexes: a planner that sees the contacts, too, reads all of them.
    query = _on_lists(campaign, excluded=False).where(
        ~within(ListMember.contact, _on_lists(campaign, excluded=True))
        & ~fn.EXISTS(Enrolment.select(SQL("1")).where(enrolled))
    )
    new = sorted({contact_id for (contact_id,) in query.tuples()})
    return sum(_insert(campaign, Contact.id.in_(some), now) for some in chunks(new, BATCH))


def _insert(campaign: Campaign, which: Any, now: dt.datetime) -> int:
    """Enrol the contacts of a condition who may be; return how many that are."""
    at = Value(now, converter=Enrolment.created_at.db_value)
    values = {
        Enrolment.campaign: Value(campaign.id),
        Enrolment.contact: Contact.id,
        Enrolment.state: Value(EnrolmentState.ACTIVE),
        Enrolment.position: Value(1),
        Enrolment.priority: Contact.priority,
        Enrolment.created_at: at,
        Enrolment.updated_at: at,
    }
    # Locked: nobody is forgotten between here and the commit.
    fit = _fit(campaign, which) & Contact.forgotten_at.is_null()
    contacts = database.for_update(Contact.select(*values.values()).where(fit).order_by(Contact.id))
    insert = Enrolment.insert_from(contacts, list(values)).on_conflict(action="nothing")
    return int(insert.as_rowcount().execute())


def _fit(campaign: Campaign, which: Any) -> Any:
    """Return the condition of those contacts of a condition who may come into a campaign: of each person the oldest."""
    itself = (Enrolment.campaign == campaign.id) & (Enrolment.contact == Contact.id)
    # Most are in it themselves, which is soon found; only of the others is the person asked for.
    outside = ~fn.EXISTS(Enrolment.select(SQL("1")).where(itself)) & ~fn.EXISTS(_of(campaign))
    new = which & Contact.forgotten_at.is_null() & outside
    if not campaign.shares_contacts:
        new &= ~fn.EXISTS(_elsewhere(campaign))
    return within(Contact.id, Contact.select(fn.MIN(Contact.id)).where(new).group_by(Contact.address))


def _waiting_elsewhere(campaign: Campaign) -> int:
    """Return how many of a campaign's lists are kept out of it by another's sequence."""
    if campaign.shares_contacts:
        return 0
    return int(Contact.select().where(members(campaign) & _kept_out(campaign)).count())


def in_another(campaign: Campaign, contact_ids: Collection[int]) -> list[int]:
    """Return those of these contacts whose person is in another campaign's sequence, in the order of their ids."""
    which = Contact.id.in_(contact_ids) & fn.EXISTS(_elsewhere(campaign))
    return [contact.id for contact in Contact.select(Contact.id).where(which).order_by(Contact.id)]


def waiting_elsewhere(
    campaigns: Iterable[Campaign], of_contact: int | None = None
) -> Iterator[tuple[Campaign, list[Contact]]]:
    """Yield for each of these campaigns the contacts of its lists that are kept out by another's sequence, with their
    priority; of one contact alone, where that is given.
    """
    for campaign in campaigns:
        if not campaign.shares_contacts:
            yield campaign, list(_chosen(members(campaign) & _kept_out(campaign), of_contact))


def _kept_out(campaign: Campaign) -> Any:
    """Return the condition that a contact is kept out of a campaign by another's sequence."""
    return Contact.forgotten_at.is_null() & ~fn.EXISTS(_of(campaign)) & fn.EXISTS(_elsewhere(campaign))


def _of(campaign: Campaign) -> Any:
    """Return the query of the enrolments of a contact's person in a campaign."""
    return sequences.of_person().where(Enrolment.campaign == campaign.id)


def _elsewhere(campaign: Campaign) -> Any:
    """Return the query of the enrolments of a contact's person in other campaigns that go on."""
    return sequences.of_person().where((Enrolment.campaign != campaign.id) & sequences.goes_on())


def is_empty(campaign: Campaign) -> bool:
    """Tell whether a campaign has neither a list nor anybody enrolled."""
    lists = CampaignList.select().where((CampaignList.campaign == campaign.id) & ~CampaignList.excluded)
    return not lists.exists() and not Enrolment.select().where(Enrolment.campaign == campaign.id).exists()
