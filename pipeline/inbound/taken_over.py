"""A person has taken over: a mail in Sent to one of our contacts that is none of ours, after one that is.

Reads: the headers of what lies in Sent; whom we have written to in a sequence that goes on. Writes, for each such mail
once: the next step waits (MAIL_TAKEN_OVER_DAYS), and the mail counts in the account's interval.
Trouble: a mail without a date that can be read, or to a person who has been forgotten, says nothing.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import hashlib
from collections.abc import Mapping, Sequence

from models import (
    Contact,
    Delivery,
    Effect,
    Enrolment,
    EnrolmentState,
    InboundMail,
    NamedBy,
    SmtpAccount,
    database,
)
from models.address import forms
from models.base import insert_new
from models.control import PROGRAM, record_action
from pipeline.campaigns.due import due_at
from pipeline.flow import Handoff
from pipeline.inbound.effects import Came, known, put_off
from pipeline.inbound.head import Head
from pipeline.inbound.kinds import Classified, Kind
from pipeline.runtime.settings import settings
from pipeline.throttle.window import SendingWindow

#: Recipients of one mail that are looked at: a letter to more is no conversation.
MAX_RECIPIENTS = 20


def note(account: SmtpAccount, heads: Sequence[Head]) -> list[Handoff]:
    """Note what persons have sent from an account's mailbox; return what is to be handed on.

    Args:
        account: whose mailbox it is.
        heads: of mails in Sent that are none of ours.
    """
    named = {address: head for head in heads for address in _recipients(head)}
    handoffs: list[Handoff] = []
    for address, delivery in _written_to(list(named)).items():
        head = named[address]
        wrote_at = _date_of(head)
        if wrote_at is not None and delivery.sent_at < wrote_at:
            handoffs += _take(account, delivery, head, wrote_at)
    return handoffs


def _recipients(head: Head) -> list[str]:
    found = known(head.addresses("to", "cc", "bcc"))
    return found if len(found) <= MAX_RECIPIENTS else []


def _written_to(addresses: Sequence[str]) -> Mapping[str, Delivery]:
    """Return the last mail of a sequence that goes on to each of these, by the normalised address."""
    form_of = {form: address for address in addresses for form in forms(address)}
    if not form_of:
        return {}
    goes_on = (Enrolment.state == EnrolmentState.ACTIVE) & Enrolment.last_id.is_null(False)
    rows = (
        Delivery.select(Delivery, Contact.address.alias("theirs"))
        .join(Enrolment, on=(Enrolment.last_id == Delivery.id))
        .join(Contact, on=(Contact.id == Enrolment.contact))
        .where(goes_on & Contact.address.in_(sorted(form_of)) & Contact.forgotten_at.is_null())
        .order_by(Delivery.sent_at, Delivery.id)
    )
    return {form_of[row.theirs]: row for row in rows.objects()}


def _date_of(head: Head) -> dt.datetime | None:
    """Return when a mail says that it was written, and never later than now (UTC)."""
    try:
        at = email.utils.parsedate_to_datetime(head.get("date"))
        return min(at if at.tzinfo else at.replace(tzinfo=dt.UTC), database.now())
    except (TypeError, ValueError, OverflowError):
        return None


def _take(account: SmtpAccount, delivery: Delivery, head: Head, wrote_at: dt.datetime) -> list[Handoff]:
    """Do what follows from a mail, once."""
    key = hashlib.sha256(f"sent\0{head.get('message-id')}\0{wrote_at.isoformat()}\0{delivery.id}".encode()).hexdigest()
    if InboundMail.select().where(InboundMail.key == key).exists():
        return []
    came = Came(Classified(Kind.SENT, ("it lies in Sent",)), delivery)
    now, days = database.now(), settings().mail_taken_over_days
    with database.transaction():
        database.lock_rows(SmtpAccount, SmtpAccount.id == account.id)
        is_later = SmtpAccount.person_wrote_at.is_null() | (SmtpAccount.person_wrote_at < wrote_at)
        SmtpAccount.update(person_wrote_at=wrote_at).where((SmtpAccount.id == account.id) & is_later).execute()
        waits = Effect.NOTED
        again = due_at(wrote_at, days, SendingWindow.from_settings(settings()), working_days=False) if days else now
        if again > now:
            waits = put_off(came, again)
        row = {"kind": Kind.SENT, "delivery": delivery.id, "named_by": NamedBy.RECIPIENT, "mailbox": account.id}
        effect = Effect.TAKEN_OVER if waits is Effect.PUT_OFF else Effect.NOTED
        if insert_new(InboundMail, key=key, effect=effect, evidence="it lies in Sent", read_at=now, **row) is None:
            return []  # another process has noted it; that the same step waits until the same day changes nothing
        if effect is Effect.TAKEN_OVER:
            why = f"a person has written from account {account.id}"
            record_action(PROGRAM, "put off", f"contact {delivery.contact_id}", now, why)
    return came.handoffs
