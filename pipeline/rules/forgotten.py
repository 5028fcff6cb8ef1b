"""Who has asked to be forgotten: kept as a hash in the suppression list, by which a person is known who comes again.

The hash is HMAC-SHA256 with a key of the program's own (RFC 2104) over the SHA-256 of the normalised address: without
the key nobody finds an address by trying. It is taken over a hash so that what versions before stored, the SHA-256
itself, can be given the key. Reads only.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from models import Purpose, Suppression, SuppressionKind
from models.address import forms
from models.compiled import among, compiled
from pipeline.runtime import keys

#: What the hashes begin with: with the key, and as versions before stored them.
KEYED, UNKEYED = "hmac:", "sha256:"


@dataclass(frozen=True)
class Hashes:
    """Hashes of forgotten people, and of their websites' domains.

    Attributes:
        key: None: nobody has been forgotten by this version yet.
    """

    key: bytes | None

    def of(self, address: str) -> tuple[str, ...]:
        """Return all hashes by which a forgotten person with this normalised address may be kept."""
        digests = [hashlib.sha256(form.encode()).digest() for form in forms(address)]
        with_key = () if self.key is None else tuple(_keyed(self.key, digest) for digest in digests)
        return (*with_key, *(UNKEYED + digest.hex() for digest in digests))

    def of_domain(self, domain: str) -> tuple[str, ...]:
        """Return all hashes by which a website with this domain may be kept."""
        return () if self.key is None else (kept(self.key, domain),)


def hashes() -> Hashes:
    """Return what hashes are made with. Raises KeyLockedError: whoever can't tell forgotten people must ask nothing."""
    return Hashes(keys.stored(Purpose.FORGOTTEN))


def kept(key: bytes, value: str) -> str:
    """Return the hash under which a normalised address or a domain is kept from now on."""
    return _keyed(key, hashlib.sha256(value.encode()).digest())


def with_key(key: bytes, unkeyed: str) -> str:
    """Return the same for a hash that a version before has stored."""
    return _keyed(key, bytes.fromhex(unkeyed.removeprefix(UNKEYED)))


def forgotten_among(addresses: Iterable[str]) -> set[str]:
    """Return which of the normalised `addresses` belong to people who have been forgotten. Raises KeyLockedError."""
    known = hashes()
    by_hash = {value: address for address in addresses for value in known.of(address)}
    return {by_hash[value] for (value,) in _suppressed().rows(values=by_hash)}


@compiled
def _suppressed() -> Any:
    which = (Suppression.kind == SuppressionKind.ADDRESS) & among(Suppression.value, "values")
    return Suppression.select(Suppression.value).where(which).tuples()


def without_key() -> int:
    """Return how many hashes have no key yet: of people whom a version before has forgotten."""
    return int(Suppression.select().where(is_without_key()).count())


def is_without_key() -> object:
    """Return the condition that a suppression is such a hash."""
    return (Suppression.kind == SuppressionKind.ADDRESS) & Suppression.value.startswith(UNKEYED)


def problem() -> str | None:
    """Return what is wrong with the key, and what to do; None: nothing."""
    try:
        hashes()
    except keys.KeyLockedError as error:
        return str(error)
    return None


def _keyed(key: bytes, digest: bytes) -> str:
    return KEYED + hmac.digest(key, digest, "sha256").hex()
