"""What a person writes: a reply, or the wish not to be written to again. Pure."""

from __future__ import annotations

from pipeline.inbound import words
from pipeline.inbound.message import Message
from pipeline.inbound.plain import own_lines


def unsubscribe_subject(message: Message) -> str | None:
    """Return the token behind "unsubscribe" in the subject that the mailto of List-Unsubscribe fills in (RFC 2369 3.2);
    empty if there is none behind it; None: it is another subject.
    """
    found = words.UNSUBSCRIBE_SUBJECT.fullmatch(message.subject)
    return found[1] if found else None


def unsubscribe_line(message: Message) -> str | None:
    """Return the first line that the writer of a reply wrote himself, if it asks to be left alone."""
    first = next(iter(own_lines(message.text)), "")
    asks = reply(message) is not None and len(first) <= 120 and words.UNSUBSCRIBE_LINE.fullmatch(first)
    return first if asks else None


def reply(message: Message) -> tuple[str, bool] | None:
    """Return why a mail is a reply, and whether that is a guess; None: nothing says so (RFC 5322 3.6.4)."""
    if message.head.answered_ids:
        return "In-Reply-To or References", False
    if words.REPLY_SUBJECT.match(message.subject):
        return f"Subject: {message.subject[:80]}", True
    return None
