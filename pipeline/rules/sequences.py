"""Who is in a campaign's sequence: nobody writes a plain mail into it, nor a first mail beside one that has begun at
the same website; what belongs to one that has ended is not sent, nor what goes to somebody on a list that its campaign
excludes. A person is in a sequence with whichever of their contacts: those with the same normalised address.

Each rule is written once, in two forms: a question about some deliveries, and a condition for a query of contacts.
Reads only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from peewee import SQL, fn

from models import CampaignList, Contact, Delivery, Enrolment, EnrolmentState, ListMember
from models.compiled import Question, among, compiled
from pipeline.runtime.settings import settings

# Literal, like the condition of the partial index: with parameters SQLite's planner does not recognise it.
_ACTIVE = Enrolment.state == SQL(f"'{EnrolmentState.ACTIVE}'")
_WRITTEN_TO = _ACTIVE & (Enrolment.position > SQL("1"))


def is_follow_up(delivery: Delivery) -> bool:
    """Tell whether a delivery goes on with a sequence that has begun."""
    return delivery.position is not None and delivery.position > 1


def kept_back(candidates: Sequence[Delivery]) -> set[int]:
    """Return which of these are kept back by a sequence: a plain one by its own person's, and by one that has begun
    with another contact of its website; a first mail of a campaign by the latter. A follow-up by none.
    """
    first = [d for d in candidates if not is_follow_up(d)]
    enrolled = _enrolled(d.address for d in first if d.position is None)
    begun = written_to(d.website_id for d in first)
    return {
        d.id
        for d in first
        if (d.position is None and d.address in enrolled) or begun.get(d.website_id, set()) - {d.contact_id}
    }


def lets_in(*, is_plain: bool) -> Iterator[Any]:
    """Yield the conditions of a query of contacts to whom a plain mail may go, or a first one of a campaign."""
    if is_plain:
        yield ~fn.EXISTS(of_person().where(_ACTIVE))
    if _websites_count():
        other = Contact.alias()
        colleague = (other.website == Contact.website) & (other.id != Contact.id)
        yield ~fn.EXISTS(_of(other).where(colleague & _WRITTEN_TO))


def of_person() -> Any:
    """Return, for a query of contacts, the query of the enrolments of a contact's person."""
    same = Contact.alias()
    return _of(same).where(same.address == Contact.address)


def goes_on() -> Any:
    """Return the condition that an enrolment has not ended."""
    return _ACTIVE


def _of(contact: Any) -> Any:
    return Enrolment.select(SQL("1")).join(contact, on=contact.id == Enrolment.contact)


def ended(deliveries: Sequence[Delivery]) -> set[int]:
    """Return which of these belong to a sequence that has ended."""
    of = {d.id: d.enrolment_id for d in deliveries if d.enrolment_id is not None}
    if not of:
        return set()
    active = {enrolment_id for (enrolment_id,) in _active().rows(ids=set(of.values()))}
    return {delivery_id for delivery_id, enrolment_id in of.items() if enrolment_id not in active}


def excluded(deliveries: Sequence[Delivery]) -> set[int]:
    """Return which of these go to a contact that is on a list whose contacts their campaign is not for."""
    of = {d.id: (d.campaign_id, d.contact_id) for d in deliveries if d.campaign_id is not None}
    if not of:
        return set()
    campaigns, contacts = (set(ids) for ids in zip(*of.values(), strict=True))
    shut_out = set(_shut_out().rows(campaigns=campaigns, contacts=contacts))
    return {delivery_id for delivery_id, pair in of.items() if pair in shut_out}


def questions(deliveries: Sequence[Delivery]) -> list[Question]:
    """Return what `ended` and `excluded` ask."""
    asked = []
    if enrolments := {d.enrolment_id for d in deliveries if d.enrolment_id is not None}:
        asked.append(_active().asks(ids=enrolments))
    if of := {(d.campaign_id, d.contact_id) for d in deliveries if d.campaign_id is not None}:
        campaigns, contacts = (set(ids) for ids in zip(*of, strict=True))
        asked.append(_shut_out().asks(campaigns=campaigns, contacts=contacts))
    return asked


@compiled
def _shut_out() -> Any:
    pairs = CampaignList.select(CampaignList.campaign, ListMember.contact)
    pairs = pairs.join(ListMember, on=ListMember.list == CampaignList.list)
    which = among(CampaignList.campaign, "campaigns") & among(ListMember.contact, "contacts")
    return pairs.where(which & CampaignList.excluded).tuples()


@compiled
def _active() -> Any:
    return Enrolment.select(Enrolment.id).where(among(Enrolment.id, "ids") & _ACTIVE).tuples()


def _enrolled(addresses: Iterator[str]) -> set[str]:
    """Return which of these normalised addresses belong to people in a sequence."""
    wanted = set(addresses)
    return {address for (address,) in _addresses().rows(addresses=wanted)} if wanted else set()


@compiled
def _addresses() -> Any:
    enrolled = among(Contact.address, "addresses") & _ACTIVE
    return Contact.select(Contact.address).join(Enrolment).where(enrolled).distinct().tuples()


def written_to(websites: Iterable[int | None]) -> dict[int, set[int]]:
    """Return which contacts have been written to in a sequence that goes on, by their website."""
    wanted = {website_id for website_id in websites if website_id is not None}
    found: dict[int, set[int]] = defaultdict(set)
    if wanted and _websites_count():
        for website_id, contact_id in _of_websites().rows(ids=wanted):
            found[website_id].add(contact_id)
    return found


@compiled
def _of_websites() -> Any:
    begun = among(Contact.website, "ids") & _WRITTEN_TO
    return Contact.select(Contact.website, Contact.id).join(Enrolment).where(begun).distinct().tuples()


def _websites_count() -> bool:
    """Tell whether the settings keep the contacts of a website apart."""
    return settings().mail_dedupe_website_days > 0
