"""Raw mails that come back, and the mail of ours that each names by its Message-ID."""

from __future__ import annotations

import datetime as dt
import itertools
from io import BytesIO
from typing import Any

from models import Attempt, Delivery, Event, State
from pipeline.inbound import record as recording
from pipeline.inbound.classify import Place
from pipeline.inbound.record import Recorded, today
from pipeline.inbound.sources import Mail, mails_of
from tests.builders import a_campaign, a_contact, a_delivery, a_template, an_account, an_enrolment
from tests.conftest import Clock

#: Our Message-ID, and the token of our link, of `a_sent_mail`.
OURS, TOKEN = "<5c1f2e6a9d0b@example.com>", "1.abc"

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


def record(mail: Mail, place: Place = Place.RECEIVED) -> Recorded:
    """Record a mail that is read today."""
    return recording.record(mail, today(), place=place)


def a_sent_mail(clock: Clock, message_id: str = OURS, **values: Any) -> Delivery:
    """Store a delivery that was sent, of an enrolment whose next step is due in three days."""
    template = values.pop("template", None) or a_template()
    campaign = values.pop("campaign", None) or a_campaign((0, [template]), (3, [template]))
    account = values.pop("account", None) or an_account(from_address="sender@example.test")
    enrolment = an_enrolment(
        campaign,
        values.pop("contact", None) or a_contact(),
        position=2,
        account=account,
        sent_at=clock.at,
        due_at=clock.at + dt.timedelta(days=3),
    )
    about = {"enrolment": enrolment, "campaign": campaign, "contact": enrolment.contact, "position": 1}
    sent = {"reason": "accepted", "sent_at": clock.at, "unsubscribe": TOKEN, "template": template}
    delivery = a_delivery(State.SENT, message_id=message_id, updated_at=clock.at, **about, **sent, **values)
    claim = {"token": message_id, "claimed_at": clock.at, "finished_at": clock.at, "campaign": campaign}
    Attempt.create(delivery=delivery, account=account, outcome="accepted", **claim)
    Event.update(at=clock.at, account=account, reason="accepted").where(Event.delivery == delivery.id).execute()
    return delivery
