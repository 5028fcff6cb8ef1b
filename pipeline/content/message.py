"""The message: what was rendered and the sender's identity become bytes, and the bytes are checked. Pure."""

from __future__ import annotations

import datetime as dt
import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime

from models import address as addresses
from models.errors import SlowpostError
from pipeline.content import headers
from pipeline.content.headers import Elements, Ids, Mailbox, Mailboxes, Text
from pipeline.content.markers import SENDER_FIELDS, sender_marker
from pipeline.content.mime import SEVEN_BIT, File, boundary, with_files
from pipeline.content.parameters import HeaderError
from pipeline.content.thread import NO_THREAD, Thread

#: Octets of a line without CRLF (RFC 5322 2.1.1).
MAX_LINE = 998
#: Octets of all headers: servers cut off, or refuse, what is longer (Sendmail's default; Postfix takes 102,400).
MAX_HEAD = 32_768
#: Octets of a message: what servers take that nobody has told otherwise (Postfix: 10,240,000, postconf(5)
#: message_size_limit), less what the servers on the way add to the head.
MAX_MESSAGE = 10_000_000
#: What is written beside the body.
_OF_BODY = {"mime-version", "content-type", "content-transfer-encoding"}
#: Control characters and every line break of Unicode (only a tab is harmless), half a character; encoded words.
_NOT_IN_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|=\?[^?]*\?[bq]\?", re.IGNORECASE)


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
    """What `List-Unsubscribe` offers (RFC 2369), and whether one POST there is enough (RFC 8058)."""

    mailto: str | None = None
    url: str | None = None
    one_click: bool = False


@dataclass(frozen=True)
class Envelope:
    """Envelope sender and recipient (domains in IDNA), and the bytes between DATA and the dot, ending with CRLF."""

    sender: str
    recipient: str
    data: bytes

    @property
    def needs_smtputf8(self) -> bool:
        """Tell whether a local part is not ASCII, Reply-To's too, so that the server must offer SMTPUTF8 (RFC 6531)."""
        return not (self.sender + self.recipient).isascii() or not self.data.isascii()


def build(
    rendered: Rendered,
    sender: Sender,
    at: dt.datetime,
    unsubscribe: Unsubscribe,
    thread: Thread = NO_THREAD,
    files: Sequence[File] = (),
) -> Envelope:
    """Return the message for one recipient; the same arguments give the same bytes.

    Args:
        rendered: the words.
        sender: whose name they carry.
        at: the `Date` (RFC 5322 3.6.1).
        unsubscribe: what List-Unsubscribe offers.
        thread: the mails that it follows.
        files: what goes with it, in this order.

    Raises:
        MessageRefusedError: a header would carry a line break, a control character or an encoded word, a line is too
        long, or all of it.
    """
    meant = _meant(rendered, sender, at, unsubscribe, thread)
    text = fill_sender(rendered.text, sender, as_html=False)
    html = None
    if rendered.html is not None:
        html = _with_preheader(fill_sender(rendered.html, sender, as_html=True), _preheader(rendered, sender))
    for file in files:
        _checked("a file's name", file.name)
    try:
        body = with_files(text, html, files, rendered.message_id) if files else [_body(text, html, rendered.message_id)]
        data = b"".join([*(headers.write(name, value) for name, value in meant.items()), *body])
        _check_bytes(data, meant)
    except UnicodeEncodeError:
        raise MessageRefusedError("the message has half a character (a lone surrogate)") from None
    except HeaderError as error:
        raise MessageRefusedError(f"the headers would not say what was meant: {error}") from None
    return Envelope(_with_idna(sender.address), _with_idna(rendered.recipient), data)


def _body(text: str, html: str | None, message_id: str) -> bytes:
    body = EmailMessage(policy=SEVEN_BIT)
    body.set_content(text)
    if html is not None:
        body.add_alternative(html, subtype="html")
        body.set_boundary(boundary("alternative", message_id))
    return body.as_bytes()


def _meant(
    rendered: Rendered, sender: Sender, at: dt.datetime, unsubscribe: Unsubscribe, thread: Thread
) -> Mapping[str, headers.Value]:
    """Return what each header is to say."""
    meant: dict[str, headers.Value] = {
        "From": _mailbox("the sender's name", sender.name, sender.address),
        "To": _mailbox("the contact's name", rendered.recipient_name, rendered.recipient),
    }
    if sender.reply_to:
        meant["Reply-To"] = _mailbox("Reply-To", "", sender.reply_to)
    meant["Subject"] = Text(_checked("the subject", fill_sender(rendered.subject, sender, as_html=False)))
    meant["Date"] = Text(format_datetime(at))
    meant["Message-ID"] = Ids((_checked("Message-ID", rendered.message_id),))
    if thread.mails:
        meant["In-Reply-To"] = Ids(thread.in_reply_to)
        meant["References"] = Ids(thread.references)
    offers = [unsubscribe.url, unsubscribe.mailto and f"mailto:{unsubscribe.mailto}"]
    if any(offers):
        meant["List-Unsubscribe"] = Elements(tuple(f"<{_checked('List-Unsubscribe', o)}>" for o in offers if o))
    if unsubscribe.one_click:
        meant["List-Unsubscribe-Post"] = Text("List-Unsubscribe=One-Click")
    preheader = _preheader(rendered, sender)
    if preheader:
        meant["X-Preheader"] = Text(_checked("the preheader", preheader))
    return meant


def _preheader(rendered: Rendered, sender: Sender) -> str | None:
    return fill_sender(rendered.preheader, sender, as_html=False) if rendered.preheader else None


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
    return f"{local}@{addresses.normalise_domain(domain)}"


def _mailbox(what: str, name: str, address: str) -> Mailboxes:
    mailbox = Mailbox.of(_checked(what, name), _checked("the address", address))
    # Without its quotes: an escaped =\?…?= is an encoded word where they are gone.
    _checked("the address", mailbox.local)
    return Mailboxes((mailbox,))


def _checked(what: str, value: str) -> str:
    """CVE-2024-6923: an encoded word can carry the line break that a raw value may not."""
    if len(value) > MAX_HEAD:
        raise MessageRefusedError(f"{what} has more than {MAX_HEAD} characters")
    if _NOT_IN_HEADER.search(value):
        raise MessageRefusedError(f"{what} has a line break, a control character or an encoded word (=?…?=)")
    return value


def _with_preheader(body: str, preheader: str | None) -> str:
    if not preheader:
        return body
    hidden = (
        '<div style="display:none;font-size:1px;line-height:1px;max-height:0;max-width:0;opacity:0;overflow:hidden">'
        f"{html.escape(preheader)}</div>"
    )
    start = re.search(r"<body[^<>]*>", body, re.IGNORECASE)
    return body[: start.end()] + hidden + body[start.end() :] if start else hidden + body


def _check_bytes(data: bytes, meant: Mapping[str, headers.Value]) -> None:
    """Read the message again, and refuse it unless it says what was meant, and nothing else."""
    if len(data) > MAX_MESSAGE:
        raise MessageRefusedError(f"the message has {len(data)} octets, more than {MAX_MESSAGE}")
    if not data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r") or b"\0" in data:
        raise MessageRefusedError("the message has a bare line break or NUL")
    if any(len(line.removesuffix(b"\r\n")) > MAX_LINE for line in io.BytesIO(data)):
        raise MessageRefusedError(f"the message has a line of more than {MAX_LINE} octets")
    head = data.partition(b"\r\n\r\n")[0]
    if len(head) > MAX_HEAD:
        raise MessageRefusedError(f"the headers have more than {MAX_HEAD} octets")
    headers.compare(head, meant, besides=_OF_BODY)
