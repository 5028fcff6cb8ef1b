"""Which company a contact belongs to, as far as that can be told: its website, if its address is at that domain, and
not everybody can have one there. Pure.

Shared hosts are the public suffixes of Mozilla's list (publicsuffix.org), of which companies register their part:
`github.io` is nobody's company, `acme.github.io` is.
"""

from __future__ import annotations

import functools

from publicsuffixlist import PublicSuffixList

from models import Contact
from pipeline.rules import addresses, providers


def company_of(contact: Contact) -> str | None:
    """Return the domain of a contact's company; None: it is not known, or everybody can have an address there."""
    if contact.website is None:
        return None
    domain = str(contact.website.domain).removeprefix("www.")
    if addresses.domain_of(contact.address) != domain or is_shared(domain):
        return None
    return domain


def is_shared(domain: str) -> bool:
    """Tell whether strangers have addresses or sites at a domain (in lower case, in IDNA)."""
    if providers.of_mailbox(domain) is not None or domain in providers.OTHER_MAILBOXES:
        return True
    return addresses.is_disposable(f"@{domain}") or _suffixes().publicsuffix(domain) == domain


@functools.cache
def _suffixes() -> PublicSuffixList:
    # 16,000 rules: read when they are asked for the first time.
    return PublicSuffixList()
