"""DKIM keys (RFC 6376) and DMARC policies (RFC 7489, RFC 9989) of a domain."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pipeline.dns.resolver import Ask, Kind

#: Selectors that usual providers and programs sign with: Google; Microsoft 365, two; Mailchimp; and others.
USUAL_SELECTORS = ("google", "selector1", "selector2", "k1", "s1", "default", "mail")

#: Names that are asked for a policy, at most, when climbing from a domain (RFC 9989, DNS tree walk).
MAX_CLIMB = 8


class Key(StrEnum):
    """What stands where a DKIM key is looked for."""

    THERE = "there"
    REVOKED = "revoked"
    NONE = "none"
    UNKNOWN = "unknown"


def key_at(selector: str, domain: str, ask: Ask) -> Key:
    """Return whether `domain` has a DKIM key of this selector; one without `p=` value is revoked (RFC 6376, section
    3.6.1).
    """
    answer = ask(f"{selector}._domainkey.{domain}", Kind.TXT)
    if not answer.asked:
        return Key.UNKNOWN
    for record in answer.records:
        tags = tags_of(record)
        if "p" in tags and tags.get("v", "DKIM1") == "DKIM1":
            return Key.THERE if tags["p"] else Key.REVOKED
    return Key.NONE


@dataclass(frozen=True)
class Dmarc:
    """A DMARC policy.

    Attributes:
        records: how many records there are where the first was found; several count as none (RFC 7489, section 6.6.3).
        policy: none, quarantine or reject; None: there is none.
        at: the domain whose policy it is: the one asked for, or one above it.
        asked: False: DNS could not be asked.
    """

    records: int = 0
    policy: str | None = None
    at: str | None = None
    asked: bool = True


def dmarc_of(domain: str, ask: Ask) -> Dmarc:
    """Return the policy that counts for a From address at `domain`: its own, or that of the next domain above it, whose
    `sp` then goes before `p` (RFC 7489, section 6.3).
    """
    labels = domain.split(".")
    for i in range(min(len(labels) - 1, MAX_CLIMB)):
        at = ".".join(labels[i:])
        answer = ask(f"_dmarc.{at}", Kind.TXT)
        if not answer.asked:
            return Dmarc(asked=False)
        records = [tags for record in answer.records if (tags := tags_of(record)).get("v") == "DMARC1"]
        if len(records) > 1:
            return Dmarc(len(records), None, at)
        if records:
            policy = records[0].get("p", "none")
            return Dmarc(1, (records[0].get("sp", policy) if i else policy).lower(), at)
    return Dmarc()


def tags_of(record: str) -> dict[str, str]:
    """Return the tags of a record, or of a signature: `name=value; …` (RFC 6376, section 3.2)."""
    pairs = (part.partition("=") for part in record.split(";"))
    return {name.strip(): "".join(value.split()) for name, is_pair, value in pairs if is_pair}
