"""Whom a campaign is for: who is enrolled. Writes enrolments, in the caller's transaction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from models import Campaign, Contact, Enrolment, EnrolmentState, database


@dataclass(frozen=True)
class Enrolled:
    """What became of contacts that were to be enrolled: their ids.

    Attributes:
        enrolled: those that are now.
        already: those that were, whether it goes on or has ended.
        elsewhere: those in the sequence of another campaign, who are left there.
        unknown: those that are not there, or have been forgotten.
    """

    enrolled: tuple[int, ...]
    already: tuple[int, ...]
    elsewhere: tuple[int, ...]
    unknown: tuple[int, ...]


def enrol(campaign: Campaign, contact_ids: Sequence[int], now: dt.datetime) -> Enrolled:
    """Enrol contacts, in the caller's transaction. Again: changes nothing."""
    asked = Contact.id.in_(list(contact_ids)) & Contact.forgotten_at.is_null()
    there = list(database.for_update(Contact.select().where(asked).order_by(Contact.id)))
    theirs = Enrolment.contact.in_([c.id for c in there])
    already = {row.contact_id for row in Enrolment.select().where(theirs & (Enrolment.campaign == campaign.id))}
    elsewhere: set[int] = set()
    if not campaign.shares_contacts:
        active = theirs & (Enrolment.state == EnrolmentState.ACTIVE) & (Enrolment.campaign != campaign.id)
        elsewhere = {row.contact_id for row in Enrolment.select().where(active)} - already
    new = [c for c in there if c.id not in already | elsewhere]
    common = {"campaign": campaign.id, "created_at": now, "updated_at": now}
    rows = [common | {"contact": c.id, "priority": c.priority} for c in new]
    if rows:
        Enrolment.insert_many(rows).on_conflict(action="nothing").execute()
    unknown = set(contact_ids) - {c.id for c in there}
    return Enrolled(tuple(c.id for c in new), tuple(sorted(already)), tuple(sorted(elsewhere)), tuple(sorted(unknown)))
