"""What a receiving server has written into a mail about who sent it: SPF, and where the mail came from.

Pure. Only what stands above everything that came with the mail is the receiver's own: the first field of each kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from email.utils import parseaddr

#: Characters of a header that are looked at.
MAX_HEADER = 8_192

_COMMENT = re.compile(r"\([^()]*\)")
_METHOD = re.compile(r"\s*([a-z0-9-]+)\s*(?:/\s*\d+\s*)?=\s*([a-z]+)", re.IGNORECASE)
_PROPERTY = re.compile(r"\b([a-z]+)\s*\.\s*([a-z0-9_-]+)\s*=\s*(\"[^\"]*\"|[^\s;]+)", re.IGNORECASE)
_ENVELOPE_FROM = re.compile(r"\b(?:envelope-from|smtp\.mailfrom)\s*=\s*(\"[^\"]*\"|[^\s;]+)", re.IGNORECASE)
_MAX_DEPTH = 10


@dataclass(frozen=True)
class Spf:
    """What the receiver says of SPF (RFC 7208 section 9, RFC 8601).

    Attributes:
        result: pass, fail, softfail, neutral, none …, in lower case.
        domain: of the envelope sender that it is about; None: it is not said.
    """

    result: str
    domain: str | None


@dataclass(frozen=True)
class Received:
    """A mail as it was received.

    Attributes:
        subject: as it stands there, in one line.
        message_id: with its angle brackets; None: it has none, or several.
        from_domain: of its From address; None: it has none, or several.
        spf: what the receiver says of SPF; None: nothing.
        names: of its headers, in lower case.
    """

    subject: str
    message_id: str | None
    from_domain: str | None
    spf: Spf | None
    names: tuple[str, ...]


def read(message: bytes) -> Received:
    """Return what stands in a mail's headers, whatever stands there."""
    parsed = BytesParser(policy=compat32).parsebytes(message.removeprefix(b"\xef\xbb\xbf"), headersonly=True)
    message_ids, froms = _all(parsed, "message-id"), _all(parsed, "from")
    _, at, domain = parseaddr(froms[0])[1].rpartition("@") if len(froms) == 1 else ("", "", "")
    return Received(
        subject=next(iter(_all(parsed, "subject")), ""),
        message_id=message_ids[0] if len(message_ids) == 1 else None,
        from_domain=domain.lower() if at and domain else None,
        spf=_spf(parsed),
        names=tuple(name.lower() for name in parsed.keys()),  # noqa: SIM118  (a Message is no dict)
    )


def _all(parsed: Message, name: str) -> list[str]:
    values = (str(value) for value in parsed.get_all(name, []))
    return [" ".join(value[:MAX_HEADER].split()) for value in values]


def _spf(parsed: Message) -> Spf | None:
    sender = next(iter(_all(parsed, "return-path")), "")
    for results in _of_receiver(_all(parsed, "authentication-results")):
        # Microsoft's have no name of a server in front.
        for result in results.split(";"):
            method = _METHOD.match(result)
            if method and method[1].lower() == "spf":
                said = {f"{kind}.{name}".lower(): value for kind, name, value in _PROPERTY.findall(result)}
                return Spf(method[2].lower(), _domain_in(said.get("smtp.mailfrom") or sender))
    for written in _all(parsed, "received-spf")[:1]:
        plain = _without_comments(written)
        if word := re.match(r"\s*([a-z]+)", plain, re.IGNORECASE):
            found = _ENVELOPE_FROM.search(plain)
            return Spf(word[1].lower(), _domain_in(found[1] if found else sender))
    return None


def _of_receiver(fields: list[str]) -> Iterator[str]:
    """Yield the first field, and the others that the same server has written (RFC 8601 section 5)."""
    plain = [_without_comments(written) for written in fields]
    for written in plain:
        if _server(written) == _server(plain[0]):
            yield written


def _server(results: str) -> str:
    return results.partition(";")[0].strip().lower()


def _without_comments(text: str) -> str:
    for _ in range(_MAX_DEPTH):
        shorter = _COMMENT.sub(" ", text)
        if shorter == text:
            break
        text = shorter
    return text


def _domain_in(address: str) -> str | None:
    return address.strip('"<> ').rpartition("@")[2].lower() or None
