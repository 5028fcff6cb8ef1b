"""The website of a forgotten person: `jane-doe.example` names its owner. Where nobody else belongs to it, only a hash
of its domain stays, so that its days between two mails are known again if a contact of it is imported one day.

Writes: websites; in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any

from peewee import SQL, Case, fn

from models import Contact, Website, database
from models.compiled import among, compiled
from pipeline.rules import forgotten


def erase(which: Any, key: bytes) -> list[str]:
    """Erase those of some websites to which no contact belongs any more; return the domains that they had.

    Args:
        which: a condition on websites, whose rows are locked.
        key: what the hash of a domain is made with.
    """
    alone = ~fn.EXISTS(Contact.select(SQL("1")).where(Contact.website == Website.id))
    there = which & alone & ~Website.domain.startswith(forgotten.KEYED)
    domains = [domain for (domain,) in Website.select(Website.domain).where(there).tuples()]
    if domains:
        hashed = Case(Website.domain, tuple((domain, forgotten.kept(key, domain)) for domain in domains))
        nothing = {"title": "", "extra": {}, "updated_at": database.now()}
        Website.update(domain=hashed, **nothing).where(Website.domain.in_(domains)).execute()
    return domains


def take_back(domains: Iterable[str], forgotten_ones: Callable[[], Container[str]] = frozenset) -> dict[str, int]:
    """Give erased websites their domain again, since an import says it anew. Locks the websites of these domains: none
    of them is erased before the commit.

    Args:
        domains: that the import says.
        forgotten_ones: asked if one of them has been erased: those that nobody says but people who are forgotten.

    Returns:
        The ids of those websites that are there, by their domains.
    """
    wanted = sorted(set(domains))
    there: dict[str, int] = dict(_locked().rows(domains=wanted))
    # Asked when they are locked: one that was being erased has its hash by now.
    known = forgotten.hashes()
    domain_of = {value: domain for domain in wanted for value in known.of_domain(domain)}
    erased = dict(_locked().rows(domains=sorted(domain_of))) if domain_of else {}
    if erased and (stay := forgotten_ones()):
        erased = {value: number for value, number in erased.items() if domain_of[value] not in stay}
    if erased:
        domain = Case(Website.domain, tuple((value, domain_of[value]) for value in erased))
        Website.update(domain=domain).where(Website.domain.in_(sorted(erased))).execute()
    return there | {domain_of[value]: number for value, number in erased.items()}


@compiled
def _locked() -> Any:
    which = among(Website.domain, "domains")
    return database.for_update(Website.select(Website.domain, Website.id).where(which).order_by(Website.id)).tuples()
