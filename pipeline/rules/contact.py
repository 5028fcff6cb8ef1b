"""May this contact be written to at all: its own state, its address and its domain, its website, its time zone.

Each rule is written once, in two forms: a question about some contacts, and a condition for a query of contacts. Reads
only.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import SQL, fn

from models import Contact, Reason, Website
from models.contact import PICKABLE
from pipeline.rules import addresses, domains
from pipeline.runtime.settings import settings
from pipeline.throttle.window import SendingWindow, is_known


@dataclass(frozen=True)
class Rule:
    """What keeps a contact out.

    Attributes:
        reason: the word for it.
        keeps_out: of some contacts, at a time (UTC), those that it keeps out: their ids.
        lets_in: the opposite, as a condition for a query of contacts at a time; None: a query can't tell.
    """

    reason: Reason
    keeps_out: Callable[[Sequence[Contact], dt.datetime], set[int]]
    lets_in: Callable[[dt.datetime], Any] | None = None


def reasons_against(contact: Contact, now: dt.datetime) -> list[Reason]:
    """Return why a contact can't become a delivery, at `now`: all of the reasons that apply."""
    return reasons_against_each([contact], now)[contact.id]


def reasons_against_each(contacts: Sequence[Contact], now: dt.datetime) -> dict[int, list[Reason]]:
    """Return the same of each of some contacts, by id, asked with as many statements as for one."""
    against: dict[int, list[Reason]] = defaultdict(list)
    for rule in RULES:
        for contact_id in rule.keeps_out(contacts, now):
            against[contact_id].append(rule.reason)
    return against


def conditions(now: dt.datetime) -> Iterator[Any]:
    """Yield the conditions under which a query of contacts (`t1`) finds those that may be written to at `now`."""
    yield _column("forgotten_at IS NULL")
    for rule in RULES:
        if rule.lets_in is not None:
            yield rule.lets_in(now)


def unseen_by_conditions(contact: Contact, now: dt.datetime) -> bool:
    """Tell whether a contact that `conditions` let in is kept out by a rule that has no condition for a query."""
    return any(rule.keeps_out([contact], now) for rule in RULES if rule.lets_in is None)


def _each(keeps_out: Callable[[Contact, dt.datetime], bool]) -> Callable[[Sequence[Contact], dt.datetime], set[int]]:
    """Return a question about one contact as one about some."""
    return lambda contacts, now: {contact.id for contact in contacts if keeps_out(contact, now)}


def _column(condition: str) -> Any:
    """Return one of the conditions of the partial index `contact_eligible`, written as the index has it: or a planner
    does not recognise that it can use it.
    """
    assert condition in PICKABLE, condition
    return SQL(f"t1.{condition}")


def _website_is_unfit(contact: Contact, _now: dt.datetime) -> bool:
    return contact.website is not None and not contact.website.meets_requirements


def _website_is_fit(_now: dt.datetime) -> Any:
    unfit = Website.select(SQL("1")).where((Website.id == Contact.website) & ~Website.meets_requirements)
    return ~fn.EXISTS(unfit)


def _is_opted_out(contact: Contact, _now: dt.datetime) -> bool:
    return contact.website is not None and contact.website.opt_out_id is not None


def _is_not_opted_out(_now: dt.datetime) -> Any:
    opted_out = Website.select(SQL("1")).where((Website.id == Contact.website) & Website.opt_out_id.is_null(False))
    return ~fn.EXISTS(opted_out)


def _domain_takes_no_mail(contacts: Sequence[Contact], now: dt.datetime) -> set[int]:
    domain_of = {contact.id: addresses.domain_of(contact.address) for contact in contacts}
    without = domains.without_mail(domain_of.values(), now)
    return {contact_id for contact_id, domain in domain_of.items() if domain in without}


def _no_common_hour(contact: Contact, now: dt.datetime) -> bool:
    zone = contact.timezone
    return bool(zone) and is_known(zone) and SendingWindow.from_settings(settings()).soonest(now, zone) is None


def _unknown_zone(contact: Contact, _now: dt.datetime) -> bool:
    return bool(contact.timezone) and not is_known(contact.timezone)


#: In the order in which reasons are listed.
RULES = (
    Rule(
        Reason.NOT_VALIDATED,
        _each(lambda contact, _now: not contact.validated),
        lambda _now: _column("validated"),
    ),
    Rule(
        Reason.INVALID_ADDRESS,
        _each(lambda contact, _now: not contact.address_valid),
        lambda _now: _column("address_valid"),
    ),
    Rule(Reason.ROLE_ADDRESS, _each(lambda contact, _now: addresses.is_refused_role(contact.address))),
    Rule(Reason.DISPOSABLE_DOMAIN, _each(lambda contact, _now: addresses.is_disposable(contact.address))),
    Rule(Reason.DOMAIN_TAKES_NO_MAIL, _domain_takes_no_mail, domains.lets_in),
    Rule(Reason.WEBSITE_REQUIREMENTS, _each(_website_is_unfit), _website_is_fit),
    Rule(Reason.WEBSITE_UNSUBSCRIBED, _each(_is_opted_out), _is_not_opted_out),
    Rule(Reason.NO_COMMON_WINDOW, _each(_no_common_hour)),
    Rule(Reason.UNKNOWN_TIME_ZONE, _each(_unknown_zone)),
)
