"""The message: what was rendered and the sender's identity become bytes, and the bytes are checked. Pure."""

from __future__ import annotations

import datetime as dt
import hashlib
import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy, Policy
from email.utils import format_datetime

from models.address import normalise_domain
from models.errors import SlowpostError
from pipeline.content.markers import SENDER_FIELDS, sender_marker

#: Octets of a line without CRLF (RFC 5322 2.1.1).
MAX_LINE = 998
_HEADERS = {
    "to", "from", "reply-to", "date", "message-id", "subject", "x-preheader", "list-unsubscribe",
    "mime-version", "content-type", "content-transfer-encoding",
}  # fmt: skip


class _Urls(UnstructuredHeader, BaseHeader):
    """A list of URLs, one on each line: as an encoded word, which `email` makes of a long one, it is none any more."""

    def fold(self, *, policy: Policy) -> str:
        return f"{self.name}: {self}{policy.linesep}".replace(", ", f",{policy.linesep} ")


def _policy() -> EmailPolicy[EmailMessage]:
    """Every server takes seven bits; 8BITMIME need not be asked for."""
    registry = HeaderRegistry()
    registry.map_to_type("list-unsubscribe", _Urls)
    return SMTP.clone(cte_type="7bit", header_factory=registry)


_SEVEN_BIT = _policy()
#: Control characters and every line break of Unicode (only a tab is harmless); encoded words.
_NOT_IN_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]|=\?[^?]*\?[bq]\?", re.IGNORECASE)


class MessageRefusedError(SlowpostError):
    """What was rendered can't be a message; the text says which part and why."""


@dataclass(frozen=True)
class Rendered:
    """A delivery's words as they are stored; `message_id` with its angle brackets."""

    recipient: str
    recipient_name: str
    subject: str
    text: str
    html: str | None
    preheader: str | None
    message_id: str


@dataclass(frozen=True)
class Sender:
    """Who writes."""

    address: str
    name: str = ""
    reply_to: str | None = None
    signature: str = ""


@dataclass(frozen=True)
class Unsubscribe:
    """What `List-Unsubscribe` offers (RFC 2369). It is the same for everybody, so that no `List-Unsubscribe-Post` goes
    with it: that promises a link that knows whom to unsubscribe (RFC 8058 section 3.1).
    """

    mailto: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class Envelope:
    """Envelope sender and recipient (domains in IDNA), and the bytes between DATA and the dot, ending with CRLF."""

    sender: str
    recipient: str
    data: bytes

    @property
    def needs_smtputf8(self) -> bool:
        """Tell whether a local part is not ASCII, so that the server must offer SMTPUTF8 (RFC 6531)."""
        return not (self.sender + self.recipient).isascii()


def build(rendered: Rendered, sender: Sender, at: dt.datetime, unsubscribe: Unsubscribe) -> Envelope:
    """Return the message for one recipient; the same arguments give the same bytes.

    Args:
        rendered: the words.
        sender: whose name they carry.
        at: the `Date` (RFC 5322 3.6.1).
        unsubscribe: what List-Unsubscribe offers.

    Raises:
        MessageRefusedError: a header would carry a line break, a control character or an encoded word, or a line is
        too long.
    """
    sender_address, recipient_address = _with_idna(sender.address), _with_idna(rendered.recipient)
    # A local part beyond ASCII can't be encoded in a header: it stands there as it is (RFC 6532).
    message = EmailMessage(policy=_SEVEN_BIT.clone(utf8=not (sender_address + recipient_address).isascii()))
    subject = fill_sender(rendered.subject, sender, as_html=False)
    message["From"] = _mailbox("the sender's name", sender.name, sender_address)
    message["To"] = _mailbox("the contact's name", rendered.recipient_name, recipient_address)
    if sender.reply_to:
        message["Reply-To"] = _mailbox("Reply-To", "", _with_idna(sender.reply_to))
    message["Subject"] = _checked("the subject", subject)
    message["Date"] = format_datetime(at)
    message["Message-ID"] = _checked("Message-ID", rendered.message_id)
    _add_unsubscribe(message, unsubscribe)
    preheader = fill_sender(rendered.preheader, sender, as_html=False) if rendered.preheader else None
    if preheader:
        message["X-Preheader"] = _checked("the preheader", preheader)
    message.set_content(fill_sender(rendered.text, sender, as_html=False))
    if rendered.html is not None:
        body = fill_sender(rendered.html, sender, as_html=True)
        message.add_alternative(_with_preheader(body, preheader), subtype="html")
        message.set_boundary("=_" + hashlib.sha256(rendered.message_id.encode()).hexdigest()[:32])
    data = message.as_bytes()
    _check_bytes(data)
    return Envelope(sender_address, recipient_address, data)


def fill_sender(text: str, sender: Sender, *, as_html: bool) -> str:
    """Replace the sender's markers in a rendered text; in HTML the values are escaped, and a signature keeps its
    lines.
    """
    values = {"name": sender.name, "email": sender.address, "signature": sender.signature}
    for field in SENDER_FIELDS:
        value = values[field]
        if as_html:
            value = html.escape(value).replace("\n", "<br>\n")
        text = text.replace(sender_marker(field), value)
    return text


def _with_idna(address: str) -> str:
    local, _, domain = address.strip().rpartition("@")
    return f"{local}@{normalise_domain(domain)}"


def _mailbox(what: str, name: str, address: str) -> Address | str:
    _checked(what, name)
    _checked("the address", address)
    try:
        local, _, domain = address.rpartition("@")
        if local.startswith('"'):
            # Address quotes what needs it.
            local = re.sub(r"\\(.)", r"\1", local[1:-1])
        return Address(name, local, domain)
    except (ValueError, IndexError) as error:
        raise MessageRefusedError(f"{what} and address can't stand in a header: {error}") from None


def _checked(what: str, value: str) -> str:
    """CVE-2024-6923: an encoded word can carry the line break that a raw value may not."""
    if _NOT_IN_HEADER.search(value):
        raise MessageRefusedError(f"{what} has a line break, a control character or an encoded word (=?…?=)")
    return value


def _add_unsubscribe(message: EmailMessage, unsubscribe: Unsubscribe) -> None:
    offers = []
    if unsubscribe.url:
        offers.append(f"<{unsubscribe.url}>")
    if unsubscribe.mailto:
        offers.append(f"<mailto:{unsubscribe.mailto}>")
    if offers:
        message["List-Unsubscribe"] = _checked("List-Unsubscribe", ", ".join(offers))


def _with_preheader(body: str, preheader: str | None) -> str:
    if not preheader:
        return body
    hidden = (
        '<div style="display:none;font-size:1px;line-height:1px;max-height:0;max-width:0;opacity:0;overflow:hidden">'
        f"{html.escape(preheader)}</div>"
    )
    start = re.search(r"<body[^>]*>", body, re.IGNORECASE)
    return body[: start.end()] + hidden + body[start.end() :] if start else hidden + body


def _check_bytes(data: bytes) -> None:
    if re.search(rb"(?<!\r)\n|\r(?!\n)|\x00", data):
        raise MessageRefusedError("the message has a bare line break or NUL")
    if any(len(line) > MAX_LINE for line in data.split(b"\r\n")):
        raise MessageRefusedError(f"the message has a line of more than {MAX_LINE} octets")
    head = data.partition(b"\r\n\r\n")[0]
    unknown = set(_header_names(head)) - _HEADERS
    if unknown:
        raise MessageRefusedError(f"the message has a header that Slowpost does not set: {min(unknown)}")


def _header_names(head: bytes) -> Iterable[str]:
    for line in head.split(b"\r\n"):
        if not line.startswith((b" ", b"\t")):
            yield line.partition(b":")[0].decode("ascii", "replace").lower()
