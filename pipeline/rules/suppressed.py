"""What must never be mailed: addresses, domains with all below them, and forgotten people. Reads only.

Trouble: where the key of forgotten people's hashes can't be read, every question raises KeyLockedError: nobody is
written to.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from models import Suppression, SuppressionKind
from models.address import forms
from models.compiled import Parameter, among, compiled
from pipeline.rules.forgotten import Hashes, hashes


def covering(addresses: Iterable[str], now: dt.datetime) -> Any:
    """Return the condition that a suppression covers one of the normalised `addresses`: by itself, by the hash of a
    forgotten person, or by its domain or one above it, at `now` (UTC).
    """
    known = hashes()
    wanted = set(addresses)
    keys = {key for address in wanted for key in _keys(known, address)}
    domains = {domain for address in wanted for domain in domain_and_parents(address)}
    return _covers(Suppression.value.in_(keys), Suppression.value.in_(domains), now)


def suppressed_among(addresses: Iterable[str], now: dt.datetime) -> dict[str, SuppressionKind]:
    """Return which of the normalised `addresses` are suppressed at `now` (UTC), and whether by themselves or by their
    domain (or one above it).
    """
    known = hashes()
    keys_of = {address: _keys(known, address) for address in addresses}
    if not keys_of:
        return {}
    domains_of = {address: set(domain_and_parents(address)) for address in keys_of}
    addresses, domains = set().union(*keys_of.values()), set().union(*domains_of.values())
    by_kind: dict[str, set[str]] = {kind: set() for kind in SuppressionKind}
    for kind, value in _suppressed().rows(addresses=addresses, domains=domains, now=now):
        by_kind[kind].add(value)
    result = {}
    for address in keys_of:
        if by_kind[SuppressionKind.ADDRESS] & keys_of[address]:
            result[address] = SuppressionKind.ADDRESS
        elif by_kind[SuppressionKind.DOMAIN] & domains_of[address]:
            result[address] = SuppressionKind.DOMAIN
    return result


def _keys(known: Hashes, address: str) -> set[str]:
    return {*forms(address), *known.of(address)}


@compiled
def _suppressed() -> Any:
    covers = _covers(among(Suppression.value, "addresses"), among(Suppression.value, "domains"), Parameter("now"))
    return Suppression.select(Suppression.kind, Suppression.value).where(covers).tuples()


def _covers(by_address: Any, by_domain: Any, now: Any) -> Any:
    of_address = (Suppression.kind == SuppressionKind.ADDRESS) & by_address
    of_domain = (Suppression.kind == SuppressionKind.DOMAIN) & by_domain
    return (of_address | of_domain) & (Suppression.until.is_null() | (Suppression.until > now))


def domain_and_parents(address: str) -> list[str]:
    """Return the domain of an address (or a domain itself) and all above it."""
    labels = address.rpartition("@")[2].split(".")
    return [".".join(labels[i:]) for i in range(len(labels) - 1)] or labels
