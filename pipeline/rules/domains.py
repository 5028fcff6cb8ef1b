"""Does a contact's domain take mail at all, as far as DNS was asked: `contacts check` asks and stores, the rule reads.

An answer counts for KEPT_DAYS. A domain without one is written to as if it took mail.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from peewee import SQL, fn

from models import Contact, DomainCheck, DomainResult
from models.compiled import Question, among, compiled

#: Days for which an answer counts.
KEPT_DAYS = 30

#: The domain of a contact's normalised address, what follows its last @, as both databases can say it.
DOMAIN = fn.REPLACE(
    Contact.address, fn.RTRIM(Contact.address, fn.REPLACE(Contact.address, SQL("'@'"), SQL("''"))), SQL("''")
)


def counts_since(now: dt.datetime) -> dt.datetime:
    """Return when an answer was given at the earliest that counts at `now`."""
    return now - dt.timedelta(days=KEPT_DAYS)


def without_mail(domains: Iterable[str], now: dt.datetime) -> dict[str, DomainResult]:
    """Return those of `domains` (normalised) that take no mail, and why, by what DNS has said."""
    wanted = set(domains)
    if not wanted:
        return {}
    since = counts_since(now)
    found = _without_mail().rows(domains=wanted)
    return {domain: DomainResult(result) for domain, result, checked_at in found if checked_at > since}


def question(domains: Iterable[str]) -> Question:
    """Return what `without_mail` asks."""
    return _without_mail().asks(domains=set(domains))


@compiled
def _without_mail() -> Any:
    answers = DomainCheck.select(DomainCheck.domain, DomainCheck.result, DomainCheck.checked_at)
    takes_none = DomainCheck.result != DomainResult.TAKES_MAIL
    return answers.where(among(DomainCheck.domain, "domains") & takes_none).tuples()


def lets_in(now: dt.datetime) -> Any:
    """Return the condition of a query of contacts whose domains are not known to take no mail."""
    takes_none = (DomainCheck.domain == DOMAIN) & (DomainCheck.result != DomainResult.TAKES_MAIL)
    takes_none &= DomainCheck.checked_at > counts_since(now)
    return ~fn.EXISTS(DomainCheck.select(SQL("1")).where(takes_none))
