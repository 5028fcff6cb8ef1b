"""What the operator's pages of one contact, of dead letters and of templates show, in the world of `operator_world`."""

from __future__ import annotations

import datetime as dt

from models import (
    Attempt,
    Campaign,
    Cause,
    ChargedTo,
    Contact,
    Delivery,
    EmailTemplate,
    EnrolmentState,
    Event,
    Outcome,
    Reason,
    SmtpAccount,
    State,
    database,
)
from models.control import record_action
from models.dead_letter import file_message
from tests.builders import a_contact, a_delivery, a_website, an_attachment, an_enrolment
from tests.inbound_mails import a_bounce, an_answer, an_automatic_answer, raw, record

#: Whom most of it is about, and who has never been written to.
MIA, NEW = "mia.berg@berg.test", "new.person@elsewhere.test"

_HTML = """\
<div style="font-family: Georgia, serif; max-width: 34rem">
<p><img src="cid:logo.png" alt="Example Ltd" width="48" height="48"></p>
<p>Dear {{ contact.name }},</p>
<p>the ovens of <b>{{ website.domain }}</b> deserve better stones. May I send you a sample?</p>
<p>Kind regards<br>{{ sender.name }}</p>
</div>
"""
#: A square of 1 × 1 pixels, blue (PNG).
_LOGO = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63e00e5f02000177010758"
    "b3db3b0000000049454e44ae426082"
)


def tell() -> None:
    """Store it."""
    now, template = database.now(), EmailTemplate.get_by_id(1)
    EmailTemplate.update(
        subject="Stones for the ovens of {{ website.domain }}",
        text="Dear {{ contact.name }},\n\nthe ovens of {{ website.domain }} deserve better.\n\n{{ sender.name }}",
        html=_HTML,
        preheader="A sample, if you like",
    ).where(EmailTemplate.id == 1).execute()
    an_attachment(template, _LOGO, name="logo.png", type="image/png", cid="logo.png")
    website = a_website(domain="berg.test")
    mia = a_contact(email=MIA, name="Mia Berg", website=website, timezone="Europe/Berlin", extra={"topic": "ovens"})
    a_contact(email=NEW, name="New Person", website=a_website(domain="elsewhere.test"))
    _write_to(mia, template, now - dt.timedelta(days=6))
    record(raw(an_automatic_answer("<first@mia.test>")))
    record(raw(an_answer("<first@mia.test>")))
    record(raw(a_bounce("<first@mia.test>", to=MIA, said="550 5.1.1 <mia.berg@berg.test>: User unknown")))
    file_message("intake", b'{"contact_id": "17b"}', "contact_id: 17b is no id", now)
    record_action("ann", "pause", "template 2", now - dt.timedelta(hours=5), "a typo in the second paragraph")
    record_action("ann", "resume", "template 2", now - dt.timedelta(hours=4), "")


def _write_to(mia: Contact, template: EmailTemplate, at: dt.datetime) -> None:
    """Store a mail to her that was refused for now once, in doubt, and then found to be sent."""
    campaign, account = Campaign.get_by_id(1), SmtpAccount.get_by_id(1)
    enrolment = an_enrolment(campaign, mia, state=EnrolmentState.ACTIVE, position=2, account=account, created_at=at)
    steps = (
        (None, State.SELECTED, Cause.INTAKE, None, None),
        (State.SELECTED, State.CLEARED, Cause.DEDUPE, None, None),
        (State.CLEARED, State.READY, Cause.RENDER, None, None),
        (State.READY, State.RESERVED, Cause.RESERVE, None, None),
        (State.RESERVED, State.READY, Cause.DELIVER, "recipient_for_now", 451),
        (State.READY, State.RESERVED, Cause.RESERVE, None, None),
        (State.RESERVED, State.SENDING, Cause.DELIVER, None, None),
        (State.SENDING, State.IN_DOUBT, Cause.SWEEP, Reason.NO_OUTCOME, None),
        (State.IN_DOUBT, State.SENT, Cause.RESOLVE, Reason.RESOLVED_SENT, None),
    )
    its = {"campaign": campaign, "enrolment": enrolment, "position": 1, "step": len(steps)}
    sent: Delivery = a_delivery(
        State.SENT, contact=mia, template=template, message_id="<first@mia.test>", sent_at=at, created_at=at, **its
    )
    about = {"outcome": Outcome.FAILED, "charged_to": ChargedTo.RECIPIENT, "verdict": "recipient_for_now"}
    greeted = {
        "reply_code": 451,
        "enhanced_code": "4.7.1",
        "text": "4.7.1 Greylisted, try later",
        "phase": "rcpt",
    }
    first = Attempt.create(delivery=sent, account=account, finished_at=at, **about, **greeted)
    for number, (origin, state, cause, reason, code) in enumerate(steps, 1):
        Event.create(
            delivery=sent,
            step=number,
            at=at + dt.timedelta(minutes=17 * number),
            origin=origin,
            state=state,
            cause=cause,
            reason=reason,
            account=account if number > 3 else None,
            attempt=first if code else None,
            reply_code=code,
        )
    record_action("ann", "resolve --sent", f"delivery {sent.id}", at + dt.timedelta(minutes=154), "it lies in Sent")
