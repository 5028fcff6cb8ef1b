"""What is noted and is neither a bounce nor a reply: complaints, receipts, answers to invitations, challenges. Pure."""

from __future__ import annotations

import re

from pipeline.inbound import words
from pipeline.inbound.head import Head, unique
from pipeline.inbound.message import Message

#: What is a complaint (RFC 5965 7.3; opt-out was in its drafts, and some still send it). `not-spam` is its opposite,
#: `auth-failure` is about DMARC (RFC 6591).
_COMPLAINTS = {"abuse", "fraud", "virus", "other", "opt-out", "opt-out-list", "miscategorized"}
#: Hotmail's older form has no report: it writes so, and quotes the mail.
_HOTMAIL = re.compile(r"complaint about message from", re.IGNORECASE)
#: Answers to an invitation (RFC 5546 3.2); REQUEST is an invitation.
_ANSWERS = {"reply", "counter", "declinecounter", "refresh"}
_METHOD = re.compile(r"^METHOD\s*:\s*([A-Za-z]{1,20})", re.IGNORECASE | re.MULTILINE)


def feedback_type(message: Message) -> str | None:
    """Return the type of an abuse report (RFC 5965 3.1); None if it is no report."""
    for part in message.of_type("message/feedback-report"):
        return next((block.get("feedback-type").lower() or "abuse" for block in part.blocks), "abuse")
    if message.report_type == "feedback-report":
        return "abuse"
    quoted = [part.message for part in message.own if part.message is not None]
    if _HOTMAIL.match(message.subject) and any(head.has("x-hmxmroriginalrecipient") for head in quoted):
        return "abuse"
    return None


def is_complaint(kind: str) -> bool:
    """Tell whether an abuse report of this type says that somebody calls a mail spam."""
    return kind.split()[0].strip(";,") in _COMPLAINTS


def receipt(message: Message) -> tuple[str, tuple[str, ...]] | None:
    """Return what a receipt says and the Message-IDs that it names (RFC 8098 3.2); None: it is none."""
    parts = message.of_type("message/disposition-notification", "message/global-disposition-notification")
    if not parts and message.report_type != "disposition-notification":
        return None
    fields = Head(tuple(field for part in parts for block in part.blocks for field in block.fields))
    named = Head(tuple(("message-id", value) for value in fields.all("original-message-id")))
    return f"Disposition: {fields.get('disposition')[:80]}", unique([*named.own_ids, *message.quoted_ids])


def calendar_method(message: Message) -> str | None:
    """Return the method of an answer to an invitation, or of an invitation that answers no mail; None: neither."""
    for part in message.of_type("text/calendar"):
        found = _METHOD.search(part.text)
        method = (dict(part.parameters).get("method") or (found[1] if found else "")).lower()
        if method in _ANSWERS or (method and not message.head.answered_ids):
            return method
    return None


def challenge(message: Message) -> str | None:
    """Return the words by which a machine asks for a knock at its door; None: nothing of the kind."""
    text = f"{message.subject}\n{message.text[:3_000]}"
    found = words.CHALLENGE.search(text)
    return " ".join(found[0].split())[:120] if found else None
