"""Whether a domain takes mail (RFC 5321, section 5.1; RFC 7505)."""

from __future__ import annotations

from models import DomainResult
from pipeline.dns.resolver import Ask, Kind


def takes_mail(domain: str, ask: Ask) -> DomainResult | None:
    """Return whether a domain takes mail, and if not, why; None where DNS could not be asked.

    A domain without an MX record takes mail at its own address (RFC 5321, section 5.1). One whose only MX record names
    "." takes none (a null MX: RFC 7505, section 3).
    """
    servers = ask(domain, Kind.MX)
    if not servers.asked:
        return None
    if not servers.exists:
        return DomainResult.NO_SUCH_DOMAIN
    if servers.records:
        is_null = all(record.split()[-1] == "." for record in servers.records)
        return DomainResult.NULL_MX if is_null else DomainResult.TAKES_MAIL
    addresses = [ask(domain, kind) for kind in (Kind.A, Kind.AAAA)]
    if any(answer.records for answer in addresses):
        return DomainResult.TAKES_MAIL
    return DomainResult.NO_MAIL_SERVER if all(answer.asked for answer in addresses) else None
