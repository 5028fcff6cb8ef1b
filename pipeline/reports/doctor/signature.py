"""An account's signature, judged: its own keys and what DNS has of them, and who covers what people unsubscribe by.
Pure but for the questions to DNS of `published`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipeline.content.signature import Algorithm, SigningKey
from pipeline.dns.policies import tags_of
from pipeline.dns.resolver import Ask, Kind
from pipeline.reports.doctor.findings import Check, Finding, Level, fine, unasked


class InDns(StrEnum):
    """What stands where receivers look for a public key."""

    THE_KEY = "the key"
    ANOTHER = "another key"
    NOTHING = "nothing"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Signature:
    """What was found out about an account's signature.

    Attributes:
        problem: why its own key can't be used; None: it can, or it has none.
        keys: its own keys, each with what stands in DNS; None: DNS was not asked.
        covered: whether a signature is known to cover List-Unsubscribe and List-Unsubscribe-Post.
        evidence: whose, or why none, as a mail to itself has shown; None: none was read.
    """

    problem: str | None = None
    keys: Sequence[tuple[SigningKey, InDns | None]] = ()
    covered: bool = False
    evidence: str | None = None


def published(key: SigningKey, ask: Ask) -> InDns:
    """Return what stands in DNS where receivers look for a key (RFC 6376 section 3.6)."""
    answer = ask(key.name, Kind.TXT)
    if not answer.asked:
        return InDns.UNKNOWN
    records = [tags for record in answer.records if "p" in (tags := tags_of(record))]
    kind = "rsa" if key.algorithm is Algorithm.RSA else "ed25519"
    if any(tags.get("k", "rsa") == kind and _decoded(tags["p"]) == _decoded(key.public) for tags in records):
        return InDns.THE_KEY
    return InDns.ANOTHER if records else InDns.NOTHING


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except binascii.Error:
        return b""


def judge(facts: Signature) -> Iterator[Finding]:
    """Yield what there is to say of an account's signature."""
    if facts.problem is not None:
        yield Finding(
            Check.SIGNATURE,
            Level.ERROR,
            f"it can't sign: {facts.problem}",
            "it sends nothing until it can: its mails wait, or go from other accounts",
            "put the key file back, or end the signature: `slowpost accounts set ID --dkim-selector ''`",
        )
    for key, in_dns in facts.keys:
        if in_dns is not None:
            yield _of_key(key, in_dns)
    yield _one_click(facts)


def _of_key(key: SigningKey, in_dns: InDns) -> Finding:
    if in_dns is InDns.THE_KEY:
        return fine(Check.SIGNATURE, f"the record at {key.name} holds its public key")
    if in_dns is InDns.UNKNOWN:
        return unasked(Check.SIGNATURE, f"the record at {key.name}")
    return Finding(
        Check.SIGNATURE,
        Level.ERROR,
        f"there is no key at {key.name}" if in_dns is InDns.NOTHING else f"the record at {key.name} holds another key",
        "a signature whose key is missing or another counts as none, or as forged (RFC 6376, sections 6.1.2 and 6.3)",
        f"publish this TXT record at {key.name}: {key.record}",
    )


def _one_click(facts: Signature) -> Finding:
    evidence = f": {facts.evidence}" if facts.evidence else ""
    if facts.covered:
        return fine(
            Check.ONE_CLICK, f"both headers by which people unsubscribe are covered{evidence or ' by its own key'}"
        )
    return Finding(
        Check.ONE_CLICK,
        Level.ADVICE,
        f"no signature is known to cover List-Unsubscribe and List-Unsubscribe-Post{evidence}",
        "only then mail programs let people unsubscribe by one click (RFC 8058, section 4), and large providers want "
        "that of who sends much (support.google.com/a/answer/81126)",
        "`slowpost doctor --send ID`, and let it read what has come; or let it sign itself (--dkim-selector)",
    )
