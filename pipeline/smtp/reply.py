"""What a server said, and whose fault it is. Everything else passes the verdict on as a value. Pure.

Reads: a reply and the phase of the dialogue. Returns: the verdict of the first row of `table.TABLE` that matches.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.smtp.table import TABLE, Said
from pipeline.smtp.verdict import IN_PASSING, TRANSACTION, Phase, Verdict

__all__ = ["IN_PASSING", "TRANSACTION", "Phase", "Reply", "Result", "Verdict", "judge", "judge_failure"]

#: Characters of a server's text that are kept.
MAX_TEXT = 500
#: So much of a reply is judged: what matters stands at its start, and a hostile server sends as much as it likes.
_JUDGED_CHARACTERS = 1000

#: An enhanced status code at the start of a line (RFC 2034); Cisco's servers write it with a `#`.
_ENHANCED = re.compile(r"\s*#?([245]\.\d{1,3}\.\d{1,3})\b")
_ENHANCED_EACH_LINE = re.compile(r"(?m)^[ \t]{0,9}#?[245]\.\d{1,3}\.\d{1,3}\b")
#: Addresses and links are no words: `spam@…` does not mean spam. A local part has at most 64 octets (RFC 5321
#: 4.5.3.1.1).
_NO_WORDS = re.compile(r"[^\s@<>():;]{1,64}@[^\s<>():;]*|https?://\S+", re.IGNORECASE)


@dataclass(frozen=True)
class Reply:
    """A server's reply; `code` None: there was none, and `text` says what happened instead."""

    code: int | None
    text: str = ""

    @property
    def enhanced(self) -> str | None:
        """The enhanced status code at the start of the text, such as `5.1.1`."""
        match = _ENHANCED.match(self.text[:_JUDGED_CHARACTERS])
        return match[1] if match else None

    @property
    def words(self) -> str:
        """The start of the text in one line, without enhanced status codes, addresses and links."""
        text = _ENHANCED_EACH_LINE.sub(" ", self.text[:_JUDGED_CHARACTERS])
        return " ".join(_NO_WORDS.sub(" ", text).split())


@dataclass(frozen=True)
class Result:
    """How a dialogue ended: in which phase, with which reply, and what that means."""

    verdict: Verdict
    phase: Phase
    reply: Reply

    @property
    def words(self) -> str:
        """In which phase the server said what, in at most MAX_TEXT characters."""
        return f"{self.phase}: {self.reply.code or ''} {self.reply.text}".strip()[:MAX_TEXT]


def judge(phase: Phase, reply: Reply) -> Verdict:
    """Return what a reply to a command of `phase` means.

    A reply that is not allowed there (a 3yz, garbage) is charged to the account before the dot; after the dot it is
    unknown whether the mail was accepted (RFC 1047).
    """
    if phase is Phase.DOT and reply.code is not None and 200 <= reply.code < 300:
        return Verdict.ACCEPTED
    if reply.code is not None:
        said = Said(phase, str(reply.code), reply.enhanced or "", reply.words)
        for row in TABLE:
            if row.matches(said):
                return row.verdict
    return Verdict.UNKNOWN if phase is Phase.DOT else Verdict.ACCOUNT_FOR_NOW


def judge_failure(phase: Phase, error: Exception) -> Result:
    """Return what a failure without a reply means, with a text that describes it.

    A failed connection, a certificate that is not trusted or a timeout is charged to the account before the dot; after
    the dot it is unknown whether the mail was accepted.
    """
    kinds: Iterable[tuple[type[Exception] | tuple[type[Exception], ...], str]] = (
        (ssl.SSLCertVerificationError, "the server's certificate is not trusted"),
        (ssl.SSLError, "TLS failed"),
        (TimeoutError, "no answer in time"),
        (ConnectionRefusedError, "the connection was refused"),
        ((ConnectionError, smtplib.SMTPServerDisconnected, EOFError), "the connection was lost"),
        (OSError, "the server can't be reached"),
    )
    what = next((text for kind, text in kinds if isinstance(error, kind)), "the server's answer makes no sense")
    verdict = Verdict.UNKNOWN if phase is Phase.DOT else Verdict.ACCOUNT_FOR_NOW
    return Result(verdict, phase, Reply(None, f"{what}: {error}"[:300]))
