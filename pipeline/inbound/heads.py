"""Whether a message may be ours, by its header alone: only then is the rest of it fetched. Pure."""

from __future__ import annotations

import re

from pipeline.inbound import words
from pipeline.inbound.head import Head, head_of

#: Types of messages that report of others (RFC 6522, RFC 2046 5.2).
_REPORTS = re.compile(r"\s*(?:multipart/report|message/)|report-type", re.IGNORECASE)
_COMPLAINT = re.compile(r"\bcomplaint about message from\b|\b(?:abuse|spam|feedback|fbl)\b", re.IGNORECASE)


def head_in(octets: bytes) -> Head:
    """Return the fields of a header as a mailbox gives them."""
    return head_of(octets.replace(b"\r\n", b"\n").decode("utf-8", "replace"))


def may_report(head: Head) -> bool:
    """Tell whether a message may report of a mail of ours that its header does not name: a bounce, a complaint, or what
    List-Unsubscribe asks for. Of too many rather than of too few: the others cost but their fetching.
    """
    sender, subject = head.get("from"), head.get("subject")
    return bool(
        not sender
        or _REPORTS.search(head.get("content-type"))
        or head.has("x-failed-recipients")
        or words.MAILER_ADDRESS.search(sender)
        or words.MAILER_NAME.search(sender)
        or words.BOUNCE_SUBJECT.search(subject)
        or words.UNSUBSCRIBE_SUBJECT.fullmatch(subject)
        or _COMPLAINT.search(subject)
        or (head.has("return-path") and head.get("return-path").strip() in ("", "<>"))
        or (head.has("auto-submitted") and not re.match(r"\s*no\b", head.get("auto-submitted"), re.IGNORECASE))
    )
