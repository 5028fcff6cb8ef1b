"""Raw mails that come back: each names one of ours by its Message-ID."""

from __future__ import annotations

import itertools
from io import BytesIO

from pipeline.inbound.sources import Mail, mails_of

_number = itertools.count(1)


def a_bounce(of: str, to: str = "a@example.test", status: str = "5.1.1", said: str = "", action: str = "failed") -> str:
    """Return a delivery report (RFC 3464) on a recipient of the mail with this Message-ID."""
    diagnostic = f"Diagnostic-Code: smtp; {said}\n" if said else ""
    return (
        f"From: Mail Delivery System <mailer-daemon@example.org>\n{_own()}Subject: Report\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=in\n\n"
        "--in\nContent-Type: text/plain\n\nThis is the mail system.\n"
        "--in\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; example.org\n\n"
        f"Final-Recipient: rfc822; {to}\nAction: {action}\nStatus: {status}\n{diagnostic}\n"
        f"--in\nContent-Type: text/rfc822-headers\n\nMessage-ID: {of}\n\n--in--\n"
    )


def a_complaint(of: str) -> str:
    """Return an abuse report (RFC 5965)."""
    return (
        f"From: fbl@example.org\n{_own()}Subject: Abuse report\n"
        "Content-Type: multipart/report; report-type=feedback-report; boundary=in\n\n"
        "--in\nContent-Type: text/plain\n\nThis is an abuse report.\n"
        "--in\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nVersion: 1\n\n"
        f"--in\nContent-Type: message/rfc822\n\nMessage-ID: {of}\nSubject: Hello\n\nHello\n\n--in--\n"
    )


def an_answer(of: str, text: str = "Thank you.", more: str = "", subject: str = "Re: Hello") -> str:
    """Return a mail that answers ours."""
    return f"From: P <p@example.net>\n{_own()}Subject: {subject}\nIn-Reply-To: {of}\n{more}\n{text}\n"


def an_automatic_answer(of: str, text: str = "I am away.") -> str:
    """Return a mail that a machine answers ours with."""
    return an_answer(of, text, "Auto-Submitted: auto-replied\n", "Out of office")


def a_request(token: str) -> str:
    """Return the mail that a mail program sends to the mailto of List-Unsubscribe."""
    return f"From: p@example.net\n{_own()}Subject: unsubscribe {token}\n\n"


def a_copy(of: str, sender: str = "us@example.com") -> str:
    """Return our mail, as it lies in Sent."""
    return f"From: {sender}\nMessage-ID: {of}\nReferences: <before@example.com>\nSubject: Hello\n\nHello\n"


def raw(text: str) -> Mail:
    """Return a mail as a file has it."""
    (mail,) = mails_of(BytesIO(text.encode(errors="surrogatepass")))
    return mail


def _own() -> str:
    return f"Message-ID: <{next(_number)}@their.example>\n"
