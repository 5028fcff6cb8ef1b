"""Whether a name and its addresses name each other: what receivers look for first of a server that connects to them."""

from __future__ import annotations

from dataclasses import dataclass

import dns.reversename

from pipeline.dns.resolver import Ask, Kind


@dataclass(frozen=True)
class Reverse:
    """A name's addresses, and what they are called.

    Attributes:
        addresses: the name's.
        unnamed: those of them whose PTR record does not lead back to the name.
        asked: False: DNS could not be asked for some of it.
    """

    addresses: tuple[str, ...]
    unnamed: tuple[str, ...]
    asked: bool


def reverse_of(name: str, ask: Ask) -> Reverse:
    """Return the addresses of a host name, and which of them have no PTR record that leads back to it."""
    answers = [ask(name, kind) for kind in (Kind.A, Kind.AAAA)]
    addresses = tuple(address for answer in answers for address in sorted(answer.records))
    back = {address: ask(str(dns.reversename.from_address(address)), Kind.PTR) for address in addresses}
    unnamed = tuple(a for a, answer in back.items() if answer.asked and not _names(answer.records, name))
    return Reverse(addresses, unnamed, all(answer.asked for answer in (*answers, *back.values())))


def _names(records: tuple[str, ...], name: str) -> bool:
    return name.lower() in (record.rstrip(".").lower() for record in records)
