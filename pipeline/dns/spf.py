"""SPF: what a domain's record and all that it includes come to (RFC 7208).

It is read as by a receiver that has to go through all of it: no particular address is looked for, so every term counts.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field

from pipeline.dns.resolver import Ask, Kind

#: Terms that ask DNS, of a record and all that it includes, at most (section 4.6.4).
MAX_LOOKUPS = 10
#: Where counting ends: a record can include itself.
MAX_COUNTED = 40

_ASKS_DNS = ("include", "a", "mx", "ptr", "exists")
_MECHANISM = re.compile(r"(?P<qualifier>[+?~-]?)(?P<name>[a-z0-9]+)(?P<rest>[:/].*)?", re.IGNORECASE)
_MODIFIER = re.compile(r"(?P<name>[a-z][a-z0-9._-]*)=(?P<value>.*)", re.IGNORECASE)


@dataclass
class Spf:
    """What a domain's SPF comes to.

    Attributes:
        records: how many there are at the domain; more than one is an error (section 4.5).
        lookups: terms that ask DNS, with those of all that is included (section 4.6.4); counted up to MAX_COUNTED.
        names: the domains whose records it includes or redirects to, at any depth.
        verdict: what it says of everybody else: + - ~ ? (the qualifier of `all`, sections 5.1 and 6.1); None: nothing.
        uses_ptr: whether it has `ptr`, which should not be used (section 5.5).
        problem: what makes receivers treat all of it as an error (permerror), in words.
        asked: False: DNS could not be asked for some of it.
    """

    records: int = 0
    lookups: int = 0
    names: set[str] = field(default_factory=set)
    verdict: str | None = None
    uses_ptr: bool = False
    problem: str | None = None
    asked: bool = True


def read(domain: str, ask: Ask) -> Spf:
    """Return what the SPF record of `domain`, and all that it includes, come to."""
    found = Spf()
    records = _records_of(domain, ask, found)
    found.records = len(records)
    if len(records) == 1:
        found.verdict = _walk(records[0], domain, ask, found)
    return found


def _records_of(domain: str, ask: Ask, found: Spf) -> list[str]:
    answer = ask(domain, Kind.TXT)
    found.asked = found.asked and answer.asked
    return [record for record in answer.records if re.match(r"v=spf1( |$)", record, re.IGNORECASE)]


def _walk(record: str, domain: str, ask: Ask, found: Spf) -> str | None:
    """Go through a record's terms; return the qualifier of its `all`, also where it is redirected."""
    redirect = None
    for term in record.split()[1:]:
        if modifier := _MODIFIER.fullmatch(term):
            redirect = modifier["value"] if modifier["name"].lower() == "redirect" else redirect
            continue
        mechanism = _MECHANISM.fullmatch(term)
        name = mechanism["name"].lower() if mechanism else ""
        if mechanism is None or not _is_right(name, (mechanism["rest"] or "")):
            found.problem = found.problem or f"{term!r} in the record of {domain} is no term of SPF"
            return None
        if name == "all":
            return mechanism["qualifier"] or "+"  # what follows is ignored (section 5.1)
        found.uses_ptr = found.uses_ptr or name == "ptr"
        found.lookups += name in _ASKS_DNS
        if name == "include":
            _follow((mechanism["rest"] or "")[1:], ask, found)
    if redirect is None:
        return None
    found.lookups += 1
    return _follow(redirect, ask, found)


def _follow(name: str, ask: Ask, found: Spf) -> str | None:
    """Go through the record of a domain that another's names; there has to be one (sections 5.2 and 6.1)."""
    if "%" in name or found.lookups > MAX_COUNTED:
        return None  # a macro is another name for each mail (section 7)
    name = name.rstrip(".").lower()
    found.names.add(name)
    records = _records_of(name, ask, found)
    if len(records) == 1:
        return _walk(records[0], name, ask, found)
    if found.asked:
        found.problem = found.problem or f"{name}, which it includes, has {len(records) or 'no'} SPF records"
    return None


def _is_right(name: str, rest: str) -> bool:
    """Tell whether a mechanism exists and has what it needs (section 5)."""
    if name in ("ip4", "ip6"):
        try:
            return ipaddress.ip_network(rest[1:], strict=False).version == int(name[2])
        except ValueError:
            return False
    if name in ("include", "exists"):
        return rest.startswith(":") and len(rest) > 1
    return name in ("a", "mx", "ptr") or (name == "all" and not rest)
