"""Addresses and domains that must never be mailed."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import peewee

from models.address import forms
from models.base import Base
from models.database import UTCDateTimeField


class SuppressionKind(StrEnum):
    """What a suppression covers."""

    ADDRESS = "address"
    DOMAIN = "domain"


class Suppression(Base):
    """One suppressed address or domain, normalised. A forgotten person is kept as a hash only (`value` starts with
    `sha256:`).
    """

    kind = peewee.TextField()
    value = peewee.TextField()
    reason = peewee.TextField(default="")
    created_at = UTCDateTimeField()

    class Meta:
        """A thing is suppressed once."""

        indexes = ((("kind", "value"), True),)


def hashed(address: str) -> str:
    """Return the form in which a forgotten normalised address is kept."""
    return "sha256:" + hashlib.sha256(address.encode()).hexdigest()


def hashes(address: str) -> set[str]:
    """Return all that a normalised address can be kept as when its person has been forgotten: a hash can't be brought
    to a later form.
    """
    return {hashed(form) for form in forms(address)}


def suppress(kind: SuppressionKind, values: Iterable[str], reason: str, at: dt.datetime) -> int:
    """Suppress normalised `values`; those that are suppressed already stay as they are. Return how many are new."""
    rows = [{"kind": kind, "value": v, "reason": reason, "created_at": at} for v in values]
    if not rows:
        return 0
    query = Suppression.insert_many(rows).on_conflict(action="nothing").returning(Suppression.id)
    return len(list(query.execute()))


def covering(addresses: Iterable[str]) -> Any:
    """Return the condition that a suppression covers one of the normalised `addresses`: by itself, by the hash of a
    forgotten person, or by its domain or one above it.
    """
    wanted = set(addresses)
    domains = {domain for address in wanted for domain in _domain_and_parents(address)}
    keys = {key for address in wanted for key in _keys(address)}
    return ((Suppression.kind == SuppressionKind.ADDRESS) & Suppression.value.in_(keys)) | (
        (Suppression.kind == SuppressionKind.DOMAIN) & Suppression.value.in_(domains)
    )


def suppressed_among(addresses: Iterable[str]) -> dict[str, SuppressionKind]:
    """Return which of the normalised `addresses` are suppressed, and whether by themselves or by their domain (or
    one above it).
    """
    wanted = set(addresses)
    if not wanted:
        return {}
    domains_of = {a: set(_domain_and_parents(a)) for a in wanted}
    found = Suppression.select(Suppression.kind, Suppression.value).where(covering(wanted))
    by_kind: dict[str, set[str]] = {kind: set() for kind in SuppressionKind}
    for row in found:
        by_kind[row.kind].add(row.value)
    result = {}
    for address in wanted:
        if by_kind[SuppressionKind.ADDRESS] & _keys(address):
            result[address] = SuppressionKind.ADDRESS
        elif by_kind[SuppressionKind.DOMAIN] & domains_of[address]:
            result[address] = SuppressionKind.DOMAIN
    return result


def _keys(address: str) -> frozenset[str]:
    return forms(address) | hashes(address)


def _domain_and_parents(address: str) -> list[str]:
    labels = address.rpartition("@")[2].split(".")
    return [".".join(labels[i:]) for i in range(len(labels) - 1)] or labels
