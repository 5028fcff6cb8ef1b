"""How it stands with the person that a link to unsubscribe is for. Reads only.

Compiled once, since the page is made for everybody who opens a link, scanners included.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, cast

from models import Contact, Delivery, OptOut, Suppression, SuppressionKind, Website, database
from models.address import forms, normalise
from models.compiled import Parameter, among, compiled
from pipeline.rules.company import company_of


@dataclass(frozen=True)
class Standing:
    """How it stands with the person that a link is for.

    Attributes:
        address: theirs, all but its first letter and its domain hidden, since a mail is also read by others; "" where
            there is none: of a trial, or of somebody who has been forgotten.
        company: the domain of their company, if it can be told.
        never: no mail is sent to the address again.
        company_never: nor to anybody at the company.
        paused_until: until when none is sent (UTC); None: there is no pause.
        can_take_back: whether something was asked for through a link that can be taken back.
    """

    address: str = ""
    company: str | None = None
    never: bool = False
    company_never: bool = False
    paused_until: dt.datetime | None = None
    can_take_back: bool = False


def contact_of(delivery_id: int) -> Contact | None:
    """Return to whom a delivery is, with the website; None: there is no such delivery."""
    return cast(Contact | None, _contact().first(delivery_id=delivery_id))


@compiled
def _contact() -> Any:
    query = Contact.select(Contact, Website).join(Delivery, on=(Delivery.contact == Contact.id))
    return query.switch(Contact).left_outer_join(Website).where(Delivery.id == Parameter("delivery_id"))


def open_requests_of(contact: Contact) -> list[OptOut]:
    """Return what a person has asked for, through whichever mail, and not taken back."""
    return cast(list[OptOut], _requests().rows(contact_id=contact.id, addresses=forms(normalise(contact.address))))


@compiled
def _requests() -> Any:
    same = Contact.select(Contact.id).where(among(Contact.address, "addresses"))
    mine = (OptOut.contact == Parameter("contact_id")) | OptOut.contact.in_(same)
    return OptOut.select().where(mine & OptOut.taken_back_at.is_null()).order_by(OptOut.id)


def is_over(opt_out: OptOut, now: dt.datetime) -> bool:
    """Tell whether a request was for some time that has passed at `now` (UTC)."""
    return opt_out.until is not None and opt_out.until <= now


def standing_of(contact: Contact) -> Standing:
    """Return how it stands with a contact, which has its website."""
    if contact.forgotten_at is not None:
        return Standing(never=True)
    now, company = database.now(), company_of(contact)
    stored: dict[Any, Suppression] = {
        (s.kind, s.value): s for s in _suppressions().rows(addresses=forms(contact.address), company=company)
    }
    on_address = [stored[key] for form in forms(contact.address) if (key := (SuppressionKind.ADDRESS, form)) in stored]
    pauses = [s.until for s in on_address if s.until is not None and s.until > now]
    return Standing(
        address=_hidden(contact.email),
        company=company,
        never=any(s.until is None for s in on_address),
        company_never=(SuppressionKind.DOMAIN, company) in stored,
        paused_until=max(pauses, default=None),
        can_take_back=any(not is_over(opt_out, now) for opt_out in open_requests_of(contact)),
    )


@compiled
def _suppressions() -> Any:
    of_address = (Suppression.kind == SuppressionKind.ADDRESS) & among(Suppression.value, "addresses")
    of_company = (Suppression.kind == SuppressionKind.DOMAIN) & (Suppression.value == Parameter("company"))
    return Suppression.select().where(of_address | of_company)


def _hidden(address: str) -> str:
    return f"{address[0]}…@{address.rpartition('@')[2]}"
