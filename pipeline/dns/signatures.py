"""Signatures (DKIM, RFC 6376) of a mail as it was received, each tried with the key that DNS has.

The mail may be anybody's: whatever it holds, it is an answer, not an error.
"""

from __future__ import annotations

import binascii
import logging
import re
from dataclasses import dataclass
from typing import Any

from pipeline.content.signature import covers_unsubscribe
from pipeline.dns.policies import tags_of
from pipeline.dns.resolver import Ask, Kind

#: Signatures of one mail that are tried; mails have one to four.
MOST = 10

#: What goes wrong inside dkimpy with a signature, a key or a message that is none.
_NONE = (ValueError, TypeError, LookupError, AssertionError, ArithmeticError, binascii.Error, AttributeError)
_SILENT = logging.Logger("dkimpy of a mail that was received", logging.CRITICAL + 1)


@dataclass(frozen=True)
class Signature:
    """A signature of a mail.

    Attributes:
        domain: who has signed (`d=`), in lower case.
        selector: the name of the key (`s=`).
        algorithm: how (`a=`).
        signed: names of the headers that it is over (`h=`), in lower case.
        problem: why it does not count; None: it is valid.
        asked: False: DNS could not be asked for the key, so that nothing is known.
    """

    domain: str
    selector: str
    algorithm: str
    signed: tuple[str, ...]
    problem: str | None
    asked: bool = True

    @property
    def covers_unsubscribe(self) -> bool:
        """Whether it is valid and is over List-Unsubscribe and List-Unsubscribe-Post (RFC 8058 section 4)."""
        return self.problem is None and covers_unsubscribe(self.signed)


def signatures_of(message: bytes, ask: Ask) -> tuple[Signature, ...]:
    """Return the signatures of a mail, each tried, in the order in which they stand in it (the last one added first).

    Args:
        message: as it was received; its lines may end with LF.
        ask: what asks DNS.
    """
    import dkim

    try:
        read = dkim.DKIM(message, logger=_SILENT)
        fields = [value for name, value in read.headers if name.lower() == b"dkim-signature"][:MOST]
    except (dkim.DKIMException, *_NONE):
        return ()
    return tuple(_tried(message, number, value, ask) for number, value in enumerate(fields))


def _tried(message: bytes, number: int, field: bytes, ask: Ask) -> Signature:
    import dkim

    tags = tags_of(field.decode("ascii", "replace"))
    signed = tuple(name.lower() for name in tags.get("h", "").split(":"))
    unasked = False

    def key(name: bytes, timeout: float = 0) -> bytes | None:  # noqa: ARG001  (dkimpy gives it; ours has its own)
        nonlocal unasked
        answer = ask(name.decode("ascii", "replace").rstrip("."), Kind.TXT)
        unasked = not answer.asked
        return next((record.encode() for record in answer.records if "p" in tags_of(record)), None)

    problem: str | None = "it does not match what was received"
    try:
        # A fresh one for each: dkimpy changes what it has read.
        if dkim.DKIM(message, logger=_SILENT).verify(idx=number, dnsfunc=key):
            problem = None
        elif unasked:
            problem = "DNS could not be asked for its key"
        elif not _has_key(tags, ask):
            problem = "DNS has no key for it"
    except dkim.DKIMException as error:
        problem = _in_one_line(error)
    except _NONE:
        problem = "it is no signature"
    domain, selector, algorithm = (tags.get(tag, "").lower() for tag in "dsa")
    return Signature(domain, selector, algorithm, signed, problem, asked=not unasked)


def _has_key(tags: dict[str, str], ask: Ask) -> bool:
    answer = ask(f"{tags.get('s', '')}._domainkey.{tags.get('d', '')}", Kind.TXT)
    return any(tags_of(record).get("p") for record in answer.records)


def _in_one_line(error: Any) -> str:
    """Return what dkimpy says of a signature, without the digests in its brackets."""
    words = re.sub(r"\s*\(got .*", "", str(error).split("\n")[0])
    return "".join(c if c.isprintable() else "�" for c in words)[:200]
