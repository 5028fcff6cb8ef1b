"""The parts of a message with files: each an entity of RFC 2045, put together as RFC 2046 and 2387 have it. Pure.

Its headers are written by `headers`, and read again there. The same arguments give the same bytes.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP

from pipeline.content import headers
from pipeline.content.headers import Ids, Text
from pipeline.content.parameters import Token

#: What `email` writes beside a text; every server takes seven bits, 8BITMIME need not be asked for.
SEVEN_BIT = SMTP.clone(cte_type="7bit")
#: Characters of a line of base64 (RFC 2045 6.8).
_LINE = 76
_BREAK = b"\r\n"
#: What refers to an inline image (RFC 2392), up to whatever can't be in the id of one.
_REFERENCE = re.compile(r"\bcid:([A-Za-z0-9][A-Za-z0-9._-]*+)(?![A-Za-z0-9{%@+~])", re.IGNORECASE)


@dataclass(frozen=True)
class File:
    """A file that goes with a mail.

    Attributes:
        name: what it is called there.
        type: its media type; a text is UTF-8.
        encoded: its bytes, as `encoded` makes them.
        cid: it is an inline image, and the HTML names it `cid:…`; None: it is an attachment.
    """

    name: str
    type: str
    encoded: bytes = field(repr=False)
    cid: str | None = None


def encoded(data: bytes) -> bytes:
    """Return bytes in base64, in lines (RFC 2045 6.8), without a line end at the end."""
    line = binascii.b2a_base64(data, newline=False)
    return _BREAK.join(line[at : at + _LINE] for at in range(0, len(line), _LINE))


def references(html: str) -> set[str]:
    """Return the ids of the inline images that an HTML text refers to."""
    return set(_REFERENCE.findall(html))


def with_images_inside(html: str, files: Sequence[File]) -> str:
    """Return an HTML text that has the inline images it refers to inside itself (RFC 2397), for a browser that has no
    mail around it.
    """
    images = {file.cid: file for file in files}

    def inside(found: re.Match[str]) -> str:
        file = images.get(found[1])
        return found[0] if file is None else f"data:{file.type};base64,{file.encoded.replace(_BREAK, b'').decode()}"

    return _REFERENCE.sub(inside, html)


def with_files(text: str, html: str | None, files: Sequence[File], message_id: str) -> list[bytes]:
    """Return a body with its MIME headers, in pieces: mixed(alternative(text, related(HTML, images)), attachments), of
    which there are only those levels that are needed.

    An inline image goes with it if the HTML refers to it. Its Content-ID is one of this message alone (RFC 2392), and
    so is what the HTML refers to then.

    Raises:
        HeaderError: a name can't stand in a header.
    """
    shown = references(html or "")
    images = {file.cid: file for file in files if file.cid in shown}
    attachments = [file for file in files if file.cid is None]
    body = _leaf(text, "plain")
    if html is not None:
        rich = _leaf(_referring(html, images.keys(), message_id), "html")
        if images:
            parts = [_part(file, message_id) for file in images.values()]
            rich = _multipart("related", [rich, *parts], message_id, type="text/html")
        body = _multipart("alternative", [body, rich], message_id)
    if attachments:
        body = _multipart("mixed", [body, *(_part(file, message_id) for file in attachments)], message_id)
    return [headers.head({"MIME-Version": Text("1.0")}), *body]


def wire_size(name: str, kind: str, size: int, cid: str | None) -> int:
    """Return the octets that a file of `size` bytes adds to a message: a third more than it has, and its headers."""
    in_base64 = -(-size // 3) * 4
    line_ends = max(0, -(-in_base64 // _LINE) - 1) * 2
    return len(_delimiter(boundary("mixed", ""))) + len(_head(name, kind, cid, "")) + in_base64 + line_ends


def _leaf(text: str, subtype: str) -> list[bytes]:
    leaf = EmailMessage(policy=SEVEN_BIT)
    leaf.set_content(text, subtype=subtype)
    del leaf["MIME-Version"]
    return [leaf.as_bytes()]


def _part(file: File, message_id: str) -> list[bytes]:
    return [_head(file.name, file.type, file.cid, message_id), file.encoded]


def _head(name: str, kind: str, cid: str | None, message_id: str) -> bytes:
    meant: dict[str, headers.Value] = {
        "Content-Type": Token(kind, (("charset", "utf-8"),) if kind.startswith("text/") else ()),
        "Content-Transfer-Encoding": Token("base64"),
        "Content-Disposition": Token("attachment" if cid is None else "inline", (("filename", name),)),
    }
    if cid is not None:
        meant["Content-ID"] = Ids((f"<{_unique(cid, message_id)}>",))
    return headers.head(meant) + b"\r\n"


def _referring(html: str, cids: Set[str | None], message_id: str) -> str:
    return _REFERENCE.sub(lambda m: f"cid:{_unique(m[1], message_id)}" if m[1] in cids else m[0], html)


def _unique(cid: str, message_id: str) -> str:
    return f"{cid}@{_hash(message_id)}"


def _multipart(subtype: str, parts: Sequence[list[bytes]], message_id: str, **marks: str) -> list[bytes]:
    between = boundary(subtype, message_id)
    meant = Token(f"multipart/{subtype}", (*marks.items(), ("boundary", between)))
    delimiter = _delimiter(between)
    within = [piece for part in parts for piece in (delimiter, *part)]
    # The line end of the first delimiter is the empty line behind the head.
    return [headers.head({"Content-Type": meant}), *within, delimiter.removesuffix(b"\r\n") + b"--\r\n"]


def boundary(subtype: str, message_id: str) -> str:
    """Return what stands between the parts of a multipart: base64 has no such line, and who writes a text does not know
    the Message-ID.
    """
    return f"=_{_hash(message_id if subtype == 'alternative' else f'{subtype} {message_id}')}"


def _delimiter(between: str) -> bytes:
    return f"\r\n--{between}\r\n".encode()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
