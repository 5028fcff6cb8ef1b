"""Mails whose final dot may have been sent, and whose reply nobody saw. Reads only."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum

from peewee import fn

from models import Attempt, Delivery, Mailbox, MailboxFolder, Role, SentLook, SmtpAccount, State
from models.delivery import in_states

#: A copy is in Sent by then, where the provider keeps one at all.
KEPT_WITHIN = dt.timedelta(minutes=30)


class InSent(StrEnum):
    """What the folder Sent tells of a mail in doubt. (One that is found there is in doubt no more.)"""

    NOT_READ = "not read"  # there is none that is read, or its copies are our own
    NOT_YET = "not there yet"
    NOT_THERE = "not there"  # which tells nothing: it is not known to keep what SMTP sends
    MISSING = "missing"  # it keeps what SMTP sends, and 30 minutes after the claim this was not there


@dataclass(frozen=True)
class DoubtRow:
    """A delivery that may have been sent.

    Attributes:
        delivery_id: the delivery.
        contact_id: to whom.
        account_id: from which account.
        message_id: its Message-ID, to look for in the sender's and the recipient's mailbox.
        claimed_at: when it was claimed, a moment before the dot (UTC).
        detail: how the reply was lost.
        in_sent: what its account's folder Sent tells.
        looked_at: when it was last looked for there, in vain (UTC); null: not yet.
    """

    delivery_id: int
    contact_id: int
    account_id: int | None
    message_id: str | None
    claimed_at: dt.datetime | None
    detail: str | None
    in_sent: InSent
    looked_at: dt.datetime | None


def in_doubt(*, limit: int | None = None, after: int = 0) -> list[DoubtRow]:
    """Return the deliveries that are in doubt, by id.

    Args:
        limit: so many at most; None: all.
        after: those with a higher id.
    """
    claimed = Attempt.select(fn.MAX(Attempt.claimed_at)).where(Attempt.delivery == Delivery.id)
    looked = SentLook.select(SentLook.looked_at).where(SentLook.delivery == Delivery.id)
    columns = (Delivery, claimed.alias("claimed"), looked.alias("looked"))
    query = Delivery.select(*columns).where(in_states(State.IN_DOUBT) & (Delivery.id > after))
    keeps, unread = _keep_sent(), _unread()
    rows = []
    for delivery in query.order_by(Delivery.id).limit(limit).objects():
        claimed_at = Attempt.claimed_at.python_value(delivery.claimed)
        looked_at = SentLook.looked_at.python_value(delivery.looked)
        row = DoubtRow(
            delivery_id=delivery.id,
            contact_id=delivery.contact_id,
            account_id=delivery.account_id,
            message_id=delivery.message_id,
            claimed_at=claimed_at,
            detail=delivery.detail,
            in_sent=_in_sent(delivery.account_id, claimed_at, looked_at, keeps, unread),
            looked_at=looked_at,
        )
        rows.append(row)
    return rows


def _in_sent(
    account_id: int | None,
    claimed_at: dt.datetime | None,
    looked_at: dt.datetime | None,
    keeps: set[int],
    unread: set[int],
) -> InSent:
    if account_id is None or account_id in unread:
        return InSent.NOT_READ
    if looked_at is None or claimed_at is None or looked_at < claimed_at + KEPT_WITHIN:
        return InSent.NOT_YET
    return InSent.MISSING if account_id in keeps else InSent.NOT_THERE


def _keep_sent() -> set[int]:
    """Return the accounts whose folder Sent is known to keep what SMTP sends."""
    return {row[0] for row in Mailbox.select(Mailbox.account).where(Mailbox.keeps_sent_at.is_null(False)).tuples()}


def _unread() -> set[int]:
    """Return the accounts whose folder Sent is no evidence."""
    sent = MailboxFolder.select(MailboxFolder.account).where(MailboxFolder.role == Role.SENT)
    without = SmtpAccount.imap_host.is_null() | SmtpAccount.save_sent | SmtpAccount.id.not_in(sent)
    return {row[0] for row in SmtpAccount.select(SmtpAccount.id).where(without).tuples()}
