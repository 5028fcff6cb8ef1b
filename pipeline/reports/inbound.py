"""What came back by mail, and what followed from it. Reads only."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from models import Delivery, Effect, InboundMail, NamedBy


@dataclass(frozen=True)
class InboundRow:
    """A mail that came back.

    Attributes:
        id: its number.
        read_at: when it was read (UTC).
        kind: what it is: bounce, delivery_notice, complaint, automatic, has_left, receipt, calendar, challenge,
            unsubscribe, reply, sent or other.
        effect: what followed. `guess`: nothing, since only a recipient's address says which delivery is meant.
        delivery_id: the delivery that it is about.
        contact_id: to whom that was.
        campaign_id: its campaign, if it has one.
        named_by: how the mail tells which delivery is meant.
        reply_code: of a bounce: what the server said.
        enhanced_code: of a bounce: its enhanced status code (RFC 3463).
        verdict: of a bounce: what that was judged to mean.
        mailbox_id: the account in whose mailbox it lay, if that was said.
        evidence: why it was taken for what it is; of a forgotten person nothing.
    """

    id: int
    read_at: dt.datetime
    kind: str
    effect: Effect
    delivery_id: int
    contact_id: int
    campaign_id: int | None
    named_by: NamedBy
    reply_code: int | None
    enhanced_code: str | None
    verdict: str | None
    mailbox_id: int | None
    evidence: str


def inbound(limit: int) -> list[InboundRow]:
    """Return the last `limit` mails that came back, the latest first."""
    return [_row(mail) for mail in _mails().order_by(InboundMail.id.desc()).limit(limit)]


def of_contact(contact_id: int) -> tuple[InboundRow, ...]:
    """Return what came back of the mails to a contact, in the order in which it was read."""
    return tuple(_row(mail) for mail in _mails().where(Delivery.contact == contact_id).order_by(InboundMail.id))


def _mails() -> Any:
    return InboundMail.select(InboundMail, Delivery).join(Delivery)


def _row(mail: InboundMail) -> InboundRow:
    return InboundRow(
        id=mail.id,
        read_at=mail.read_at,
        kind=mail.kind,
        effect=Effect(mail.effect),
        delivery_id=mail.delivery_id,
        contact_id=mail.delivery.contact_id,
        campaign_id=mail.delivery.campaign_id,
        named_by=NamedBy(mail.named_by),
        reply_code=mail.reply_code,
        enhanced_code=mail.enhanced_code,
        verdict=mail.verdict,
        mailbox_id=mail.mailbox_id,
        evidence=mail.evidence,
    )
