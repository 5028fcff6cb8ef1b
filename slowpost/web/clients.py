"""Who makes a request: the address that connects, or the one that a trusted proxy names. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Bits of an IPv6 address that tell clients apart: whoever has one address has its /64 (RFC 6177 section 2).
_OF_CLIENT = 64


def client_of(connects: str, forwarded_for: str, trusted: Iterable[Network]) -> str:
    """Return by what a client is known: its IPv4 address, or the /64 of its IPv6 address.

    Args:
        connects: the address that has connected.
        forwarded_for: `X-Forwarded-For`, to which each proxy appends whom it was asked by; "" for none.
        trusted: the proxies that are believed. Only what they have appended counts: the rest can be anybody's words.
    """
    proxies, named = list(trusted), [part.strip() for part in forwarded_for.split(",")]
    address = _address(connects)
    while address is not None and named and any(address in network for network in proxies):
        before = _address(named.pop())
        if before is None:
            break
        address = before
    if address is None:
        return connects
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _OF_CLIENT), strict=False))
    return str(address)


def is_in(address: str, networks: Iterable[Network]) -> bool:
    """Tell whether an address (as it connects) is in one of some networks."""
    known = _address(address)
    return known is not None and any(known in network for network in networks)


def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
