"""A raw message as far as it is needed: heads and texts, within limits of size, time and depth. Pure; it never raises.

Reads: bytes from anybody. Returns: a `Message`, however broken they are; what is beyond a limit is left out. A message
of 50 MB costs no more than one of MAX_BYTES, and MIME that is nested a hundred times no more than MAX_CONTAINERS deep.
"""

from __future__ import annotations

import base64
import contextlib
import email
import email.message
import email.policy
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.inbound.head import MAX_VALUE, Head, head_from, head_of, unique
from pipeline.inbound.plain import without_tags

#: Octets that are looked at. What matters of a report stands before the copy of what was sent.
MAX_BYTES = 262_144
#: Lines, and octets of a line (RFC 5322 2.1.1 allows 998; HTML comes in longer ones).
MAX_LINES, MAX_LINE = 20_000, 8_000
#: Multipart and message parts that are looked into. Ten are many in a real mail.
MAX_CONTAINERS = 25
#: Parts that are looked at.
MAX_PARTS = 60
#: Characters of a part's text.
MAX_TEXT = 40_000

_CONTAINER = re.compile(rb"(?:multipart|message)/[a-z]", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """A part that holds no others, or one that holds a message.

    Attributes:
        type: in lower case, such as `text/plain`.
        head: its own fields.
        text: decoded; of HTML without the tags; empty if it is no text.
        blocks: of a report: its groups of fields (RFC 3464 2.1, RFC 5965 3, RFC 8098 3.1).
        message: the head of the message that it quotes.
        depth: in how many quoted messages it stands.
    """

    type: str
    head: Head
    text: str = ""
    blocks: tuple[Head, ...] = ()
    message: Head | None = None
    depth: int = 0
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Message:
    """A message: its head, type and parts in their order."""

    head: Head
    type: str
    report_type: str = ""
    parts: tuple[Part, ...] = field(default=())

    @property
    def own(self) -> Iterator[Part]:
        """The parts that stand in no quoted message."""
        return (part for part in self.parts if part.depth == 0)

    def of_type(self, *types: str) -> list[Part]:
        """Return the parts of these types that stand in no quoted message."""
        return [part for part in self.own if part.type in types]

    @property
    def text(self) -> str:
        """What a person reads first: plain text, or HTML without its tags."""
        for kind in ("text/plain", "text/html"):
            if texts := [part.text for part in self.of_type(kind) if part.text.strip()]:
                return "\n".join(texts)[:MAX_TEXT]
        return ""

    @property
    def subject(self) -> str:
        """The subject, decoded."""
        return self.head.get("subject").strip()

    @property
    def quoted_ids(self) -> tuple[str, ...]:
        """Message-IDs from the parts that quote a mail's headers (RFC 3464 2, RFC 6522 4)."""
        return unique(one for part in self.own if part.message is not None for one in part.message.own_ids)


def read(raw: bytes) -> Message:
    """Return what `raw` says; an empty message if nothing can be made of it."""
    raw = bounded(raw)
    try:
        parsed = email.message_from_bytes(raw, policy=email.policy.compat32)
        return Message(head_from(parsed), _type(parsed), _parameter(parsed, "report-type"), tuple(_parts(parsed)))
    except Exception:  # the parser has its own limits; a mail that is beyond them says nothing
        return Message(Head(), "text/plain")


def bounded(raw: bytes) -> bytes:
    """Leave out what is beyond the limits: the parser goes one call deeper for each container, and reads line by line.

    Carriage returns alone end lines, too, where there are no others.
    """
    raw = raw[:MAX_BYTES]
    if b"\n" not in raw:
        raw = raw.replace(b"\r", b"\n")
    found = next(itertools.islice(_CONTAINER.finditer(raw), MAX_CONTAINERS, None), None)
    if found is not None:
        raw = raw[: found.start()]
    return b"\n".join(line[:MAX_LINE] for line in raw.split(b"\n", MAX_LINES)[:MAX_LINES])


def _parts(parsed: email.message.Message) -> Iterator[Part]:
    """Return the parts of a message, the containers of others left out, in the order in which they stand."""
    waiting = [(parsed, 0)]
    for _ in range(MAX_PARTS):
        if not waiting:
            return
        part, depth = waiting.pop()
        inner = _inner(part)
        kind = _type(part)
        if kind.startswith("multipart/") and inner:
            waiting += [(one, depth) for one in reversed(inner)]
        elif kind in _QUOTES_MESSAGE:
            yield Part(
                kind, head_from(part), message=head_from(inner[0]) if inner else head_of(_text(part)), depth=depth
            )
            waiting += [(one, depth + 1) for one in reversed(inner)]
        elif kind in _REPORTS:
            yield Part(kind, head_from(part), blocks=tuple(_blocks(part, inner)), depth=depth)
        elif kind in _QUOTES_HEAD:
            yield Part(
                kind, head_from(part), message=head_from(inner[0]) if inner else head_of(_text(part)), depth=depth
            )
        elif kind.startswith(
            ("text/", "multipart/")
        ):  # a container without parts is a text that was meant to have some
            shown = kind if kind.startswith("text/") else "text/plain"
            yield Part(shown, head_from(part), _text(part), depth=depth, parameters=_parameters(part))
        else:
            yield Part(kind, head_from(part), depth=depth)


_QUOTES_MESSAGE = {"message/rfc822", "message/global"}
_QUOTES_HEAD = {"text/rfc822-headers", "text/rfc822-header", "message/rfc822-headers", "message/global-headers"}
_REPORTS = {
    *("message/delivery-status", "message/global-delivery-status", "message/feedback-report"),
    *("message/disposition-notification", "message/global-disposition-notification"),
}


def _inner(part: email.message.Message) -> list[email.message.Message]:
    payload = part.get_payload()
    return [one for one in payload if isinstance(one, email.message.Message)] if isinstance(payload, list) else []


def _blocks(part: email.message.Message, inner: list[email.message.Message]) -> Iterator[Head]:
    """Return a report's groups of fields; they are divided by empty lines."""
    yield from (head for one in inner if (head := head_from(one)).fields)
    text = _text(part) or "\n".join(str(one.get_payload()) for one in inner)
    if str(part.get("content-transfer-encoding", "")).strip().lower() == "base64":
        text = _from_base64(text)
    yield from groups_of(text)


def groups_of(text: str) -> list[Head]:
    """Return the groups of fields of a report's text."""
    return [head_of(group) for group in re.split(r"\r?\n[ \t]*\r?\n", text.strip()[:MAX_TEXT])[:MAX_PARTS]]


def _from_base64(text: str) -> str:
    try:
        return base64.b64decode(text.encode("ascii", "ignore")).decode("utf-8", "replace")
    except ValueError:
        return text


def _type(part: email.message.Message) -> str:
    try:
        return part.get_content_type()
    except Exception:  # a parameter that can't be read
        return "text/plain"


def _parameter(part: email.message.Message, name: str) -> str:
    return dict(_parameters(part)).get(name, "")


def _parameters(part: email.message.Message) -> tuple[tuple[str, str], ...]:
    if len(str(part.get("content-type", ""))) > MAX_VALUE:  # it would take the square of that
        return ()
    try:
        found = part.get_params(failobj=[], unquote=True)
        return tuple((str(key).lower(), str(value).strip().lower()) for key, value in found[:20])
    except Exception:  # RFC 2231 that is none
        return ()


def _text(part: email.message.Message) -> str:
    """Return a part's text, decoded as well as can be; HTML without its tags."""
    try:
        octets = part.get_payload(decode=True)
    except Exception:  # a transfer encoding that is none
        octets = None
    if not isinstance(octets, bytes):
        return ""
    text = _in_charset(octets[: MAX_TEXT * 3], part)[: MAX_TEXT * 2]
    if _type(part) == "text/html":
        text = without_tags(text)
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")[:MAX_TEXT]


def _in_charset(octets: bytes, part: email.message.Message) -> str:
    """Decode octets by the character set that is named if it is one and fits, else as UTF-8 or Windows-1252."""
    named = _parameter(part, "charset")
    for charset in (named or "utf-8", "utf-8"):
        with contextlib.suppress(Exception):  # unknown, wrong, or not even a name
            return octets.decode(charset)
    return octets.decode("cp1252", "replace")
