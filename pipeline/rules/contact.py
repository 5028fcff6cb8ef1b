"""May this contact be written to at all: its own state, its address, its website, its time zone. Reads only.

Each rule is written once, in two forms: a question about a contact, and a condition for a query of contacts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from peewee import SQL, fn

from models import Contact, Reason, Website
from models.contact import PICKABLE
from pipeline.runtime.settings import settings
from pipeline.throttle.window import SendingWindow, is_known


@dataclass(frozen=True)
class Rule:
    """What keeps a contact out.

    Attributes:
        reason: the word for it.
        keeps_out: asked of a contact, at a time (UTC).
        lets_in: the opposite, as a condition for a query of contacts; None: a query can't tell.
    """

    reason: Reason
    keeps_out: Callable[[Contact, dt.datetime], bool]
    lets_in: Callable[[], Any] | None = None


def reasons_against(contact: Contact, now: dt.datetime) -> list[Reason]:
    """Return why a contact can't become a delivery, at `now`: all of the reasons that apply."""
    return [rule.reason for rule in RULES if rule.keeps_out(contact, now)]


def conditions() -> Iterator[Any]:
    """Yield the conditions under which a query of contacts (`t1`) finds those that may be written to."""
    yield _column("forgotten_at IS NULL")
    for rule in RULES:
        if rule.lets_in is not None:
            yield rule.lets_in()


def unseen_by_conditions(contact: Contact, now: dt.datetime) -> bool:
    """Tell whether a contact that `conditions` let in is kept out by a rule that has no condition for a query."""
    return any(rule.keeps_out(contact, now) for rule in RULES if rule.lets_in is None)


def _column(condition: str) -> Any:
    """Return one of the conditions of the partial index `contact_eligible`, written as the index has it: or a planner
    does not recognise that it can use it.
    """
    assert condition in PICKABLE, condition
    return SQL(f"t1.{condition}")


def _website_is_unfit(contact: Contact, _now: dt.datetime) -> bool:
    return contact.website is not None and not contact.website.meets_requirements


def _website_is_fit() -> Any:
    unfit = Website.select(SQL("1")).where((Website.id == Contact.website) & ~Website.meets_requirements)
    return ~fn.EXISTS(unfit)


def _no_common_hour(contact: Contact, now: dt.datetime) -> bool:
    zone = contact.timezone
    return bool(zone) and is_known(zone) and SendingWindow.from_settings(settings()).soonest(now, zone) is None


def _unknown_zone(contact: Contact, _now: dt.datetime) -> bool:
    return bool(contact.timezone) and not is_known(contact.timezone)


#: In the order in which reasons are listed.
RULES = (
    Rule(Reason.NOT_VALIDATED, lambda contact, _now: not contact.validated, lambda: _column("validated")),
    Rule(Reason.INVALID_ADDRESS, lambda contact, _now: not contact.address_valid, lambda: _column("address_valid")),
    Rule(Reason.WEBSITE_REQUIREMENTS, _website_is_unfit, _website_is_fit),
    Rule(Reason.NO_COMMON_WINDOW, _no_common_hour),
    Rule(Reason.UNKNOWN_TIME_ZONE, _unknown_zone),
)
