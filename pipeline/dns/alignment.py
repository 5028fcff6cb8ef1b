"""Whether two domains are one organisation's, as DMARC has it (RFC 7489 sections 3.1 and 3.2)."""

from __future__ import annotations

import functools
from typing import Any

from models.address import normalise_domain


def is_aligned(domain: str, from_domain: str) -> bool:
    """Tell whether a domain that DKIM or SPF has confirmed speaks for that of the From address: relaxed, both have one
    organisational domain.
    """
    one, other = normalise_domain(domain), normalise_domain(from_domain)
    return bool(one) and (one == other or organisational(one) == organisational(other))


def organisational(domain: str) -> str:
    """Return the domain below a public suffix that a domain belongs to; itself, where it is a suffix."""
    return _list().privatesuffix(domain) or domain


@functools.cache
def _list() -> Any:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()
