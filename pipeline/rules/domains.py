"""Does a contact's domain take mail at all, as far as DNS was asked: `contacts check` asks and stores, the rule reads.

An answer counts for KEPT_DAYS. A domain without one is written to as if it took mail.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from peewee import SQL, fn

from models import Contact, DomainCheck, DomainResult

#: Days for which an answer counts.
KEPT_DAYS = 30

#: The domain of a contact's normalised address, what follows its last @, as both databases can say it.
DOMAIN = fn.REPLACE(
    Contact.address, fn.RTRIM(Contact.address, fn.REPLACE(Contact.address, SQL("'@'"), SQL("''"))), SQL("''")
)


def still_counts(now: dt.datetime) -> Any:
    """Return the condition that an answer counts at `now`."""
    return DomainCheck.checked_at > now - dt.timedelta(days=KEPT_DAYS)


def without_mail(domains: Iterable[str], now: dt.datetime) -> dict[str, DomainResult]:
    """Return those of `domains` (normalised) that take no mail, and why, by what DNS has said."""
    wanted = set(domains)
    if not wanted:
        return {}
    found = DomainCheck.select().where(DomainCheck.domain.in_(wanted) & _takes_none(now))
    return {row.domain: DomainResult(row.result) for row in found}


def lets_in(now: dt.datetime) -> Any:
    """Return the condition of a query of contacts whose domains are not known to take no mail."""
    return ~fn.EXISTS(DomainCheck.select(SQL("1")).where((DomainCheck.domain == DOMAIN) & _takes_none(now)))


def _takes_none(now: dt.datetime) -> Any:
    return (DomainCheck.result != DomainResult.TAKES_MAIL) & still_counts(now)
