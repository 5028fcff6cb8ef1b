"""What must never be mailed: addresses, domains with all below them, and forgotten people. Reads only.

Trouble: where the key of forgotten people's hashes can't be read, every question raises KeyLockedError: nobody is
written to.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

from models import Suppression, SuppressionKind
from models.address import forms
from models.compiled import Question, among, compiled
from pipeline.rules.forgotten import Hashes, hashes


def covering(addresses: Iterable[str], now: dt.datetime) -> Any:
    """Return the condition that a suppression covers one of the normalised `addresses`: by itself, by the hash of a
    forgotten person, or by its domain or one above it, at `now` (UTC).
    """
    known = hashes()
    wanted = set(addresses)
    keys = {key for address in wanted for key in _keys(known, address)}
    domains = {domain for address in wanted for domain in domain_and_parents(address)}
    is_on = Suppression.until.is_null() | (Suppression.until > now)
    return _covers(Suppression.value.in_(keys), Suppression.value.in_(domains)) & is_on


def suppressed_among(addresses: Iterable[str], now: dt.datetime) -> dict[str, SuppressionKind]:
    """Return which of the normalised `addresses` are suppressed at `now` (UTC), and whether by themselves or by their
    domain (or one above it).
    """
    known = hashes()
    keys_of = {address: _keys(known, address) for address in addresses}
    if not keys_of:
        return {}
    domains_of = {address: set(domain_and_parents(address)) for address in keys_of}
    by_kind: dict[str, set[str]] = {kind: set() for kind in SuppressionKind}
    for kind, value, until in _question(keys_of, domains_of).rows():
        if until is None or until > now:
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


def question(addresses: Iterable[str], known: Hashes) -> Question:
    """Return what `suppressed_among` asks, where forgotten people are known by these hashes."""
    asked = list(addresses)
    return _question(
        {address: _keys(known, address) for address in asked},
        {address: set(domain_and_parents(address)) for address in asked},
    )


def _question(keys_of: Mapping[str, set[str]], domains_of: Mapping[str, set[str]]) -> Question:
    return _suppressed().asks(addresses=set().union(*keys_of.values()), domains=set().union(*domains_of.values()))


@compiled
def _suppressed() -> Any:
    covers = _covers(among(Suppression.value, "addresses"), among(Suppression.value, "domains"))
    # Also what is over: whether it is, is judged by a clock that is read together with this.
    return Suppression.select(Suppression.kind, Suppression.value, Suppression.until).where(covers).tuples()


def _covers(by_address: Any, by_domain: Any) -> Any:
    of_address = (Suppression.kind == SuppressionKind.ADDRESS) & by_address
    of_domain = (Suppression.kind == SuppressionKind.DOMAIN) & by_domain
    return of_address | of_domain


def domain_and_parents(address: str) -> list[str]:
    """Return the domain of an address (or a domain itself) and all above it."""
    labels = address.rpartition("@")[2].split(".")
    return [".".join(labels[i:]) for i in range(len(labels) - 1)] or labels
