"""Contacts' addresses looked at before anything is sent: does the domain take mail, whose is the address.

Reads: contacts that have not been forgotten; DNS. Writes: the answers of DNS, a chunk of domains at a time, so that
those are kept whatever happens then. Trouble: a domain about which DNS gives no answer is written to as before; where
DNS can't be asked, or does not know the largest mail providers, none of its answers is believed.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from peewee import fn

from models import Contact, DomainCheck, DomainResult, Reason, database, lookup
from models.contact_list import members_of
from pipeline.dns.mail import takes_mail
from pipeline.dns.resolver import Dns
from pipeline.flow import chunks
from pipeline.rules import addresses
from pipeline.rules.domains import DOMAIN, counts_since, without_mail
from pipeline.runtime.settings import settings

#: Domains that are asked for at the same time.
THREADS = 20
#: Domains whose answers are stored together.
CHUNK = 200
#: Contacts that are read together.
PAGE = 5_000

#: A resolver that does not know these (one of a closed network, or of a login page) is not believed about others.
KNOWN = ("gmail.com", "outlook.com")


@dataclass(frozen=True)
class DomainWithoutMail:
    """A domain that takes no mail.

    Attributes:
        domain: the domain.
        result: why not, as DNS says.
        contacts: how many have their address there.
    """

    domain: str
    result: DomainResult
    contacts: int


@dataclass(frozen=True)
class AddressSaid:
    """A contact whose address alone tells that it is a role's or a throw-away one.

    Attributes:
        contact_id: the contact.
        email: its address.
        reason: why it is left out, a word of the closed list below; null: it is written to, but several people
            read it.
    """

    contact_id: int
    email: str
    reason: str | None


@dataclass(frozen=True)
class ContactsChecked:
    """What contacts' addresses and domains are like.

    Attributes:
        domains: how many domains they have.
        asked: for how many of these DNS was asked now.
        answered: for how many of these it gave an answer, which is kept for 30 days.
        is_dns_away: whether DNS could not be asked at all.
        without_mail: the domains that take no mail; their contacts are left out.
        addresses: role and throw-away addresses.
    """

    domains: int
    asked: int
    answered: int
    is_dns_away: bool
    without_mail: tuple[DomainWithoutMail, ...]
    addresses: tuple[AddressSaid, ...]


def check(
    *,
    again: bool = False,
    lists: Sequence[str] = (),
    on_progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> ContactsChecked:
    """Ask DNS for contacts' domains and store the answers; return what contacts' addresses are like.

    Args:
        again: ask also for those whose answer still counts.
        lists: only for contacts of these, by their names or ids; none: for all.
        on_progress: told how many domains have been asked for, and how many there are to ask for.

    Raises:
        NotThereError: there is no such list.
    """
    meant = _meant(lists)
    now = database.now()
    DomainCheck.delete().where(DomainCheck.checked_at <= counts_since(now)).execute()
    domains = _domains(meant)
    kept = set() if again else {row.domain for row in DomainCheck.select(DomainCheck.domain)}
    wanted = [domain for domain in domains if domain not in kept]
    dns = Dns(settings().mail_dns_servers)
    is_away = bool(wanted) and not _is_to_be_believed(dns)
    answered = 0 if is_away else _ask_and_store(wanted, dns, on_progress)
    without = without_mail_of(domains, now)
    return ContactsChecked(
        domains=len(domains),
        asked=len(wanted),
        answered=answered,
        is_dns_away=is_away,
        without_mail=without,
        addresses=tuple(_said_by_addresses(meant)),
    )


def without_mail_of(domains: Counter[str], now: dt.datetime) -> tuple[DomainWithoutMail, ...]:
    """Return those of `domains` (counted by contacts) that are known to take no mail, the most frequent first."""
    known: dict[str, DomainResult] = {}
    for chunk in chunks(list(domains), PAGE):
        known |= without_mail(chunk, now)
    rows = (DomainWithoutMail(domain, result, domains[domain]) for domain, result in known.items())
    return tuple(sorted(rows, key=lambda row: (-row.contacts, row.domain)))


def _meant(lists: Sequence[str]) -> Any:
    """Return the condition for the contacts that are looked at."""
    there = Contact.forgotten_at.is_null()
    if not lists:
        return there
    return there & Contact.id.in_(members_of([lookup.contact_list(named).id for named in lists]))


def _domains(meant: Any) -> Counter[str]:
    """Count contacts by the domain of their address."""
    # An invalid address is left out anyway, and its domain may be no name.
    there = meant & Contact.address_valid
    rows = Contact.select(DOMAIN, fn.COUNT(Contact.id)).where(there).group_by(DOMAIN).order_by(DOMAIN)
    return Counter(dict(rows.tuples()))


def _is_to_be_believed(dns: Dns) -> bool:
    return any(takes_mail(known, dns) is DomainResult.TAKES_MAIL for known in KNOWN)


def _ask_and_store(domains: Sequence[str], dns: Dns, on_progress: Callable[[int, int], None]) -> int:
    """Ask for `domains`, and store what is said; return of how many something was. Where DNS goes away, the rest is not
    asked for.
    """
    answered = done = 0
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            for chunk in chunks(list(domains), CHUNK):
                results = pool.map(lambda domain: takes_mail(domain, dns), chunk)
                stored = _store(dict(zip(chunk, results, strict=True)))
                dns.forget()
                if stored == 0 and not _is_to_be_believed(dns):
                    break
                answered += stored
                done += len(chunk)
                on_progress(done, len(domains))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return answered


def _store(results: dict[str, DomainResult | None]) -> int:
    now = database.now()
    rows = [{"domain": d, "result": r, "checked_at": now} for d, r in results.items() if r is not None]
    if rows:
        newest = [DomainCheck.result, DomainCheck.checked_at]
        upsert = DomainCheck.insert_many(rows).on_conflict(conflict_target=[DomainCheck.domain], preserve=newest)
        upsert.execute()
    return len(rows)


def _said_by_addresses(meant: Any) -> Iterator[AddressSaid]:
    for contact_id, email, address in _contacts(meant):
        if addresses.is_refused_role(address):
            yield AddressSaid(contact_id, email, Reason.ROLE_ADDRESS)
        elif addresses.is_disposable(address):
            yield AddressSaid(contact_id, email, Reason.DISPOSABLE_DOMAIN)
        elif addresses.is_shared_role(address):
            yield AddressSaid(contact_id, email, None)


def _contacts(meant: Any) -> Iterator[tuple[int, str, str]]:
    """Yield id, e-mail and normalised address of the contacts, page by page."""
    last = 0
    columns = Contact.select(Contact.id, Contact.email, Contact.address).order_by(Contact.id).limit(PAGE)
    while page := list(columns.where((Contact.id > last) & meant).tuples()):
        yield from page
        last = page[-1][0]
