"""The deliveries of a contact, each in one line. Reads only."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from models import Attempt, ChargedTo, Delivery, EmailTemplate, State
from pipeline.reports.reasons import reasons_of


@dataclass(frozen=True)
class DeliveryRow:
    """A delivery: the intent to send one template to one contact, and what became of it.

    Attributes:
        id: the delivery.
        template_id: what is written.
        template: the template's name.
        state: where it stands.
        reason: why it ended like that, or waits for a person; several are joined by a comma.
        reasons: the same as a list.
        detail: what a server or the template said.
        priority: 0 to 9, higher first.
        account_id: the account whose slot or claim it holds.
        send_at: when its slot is (UTC).
        not_before: the time before which it is not tried again (UTC).
        attempts: how many attempts were charged to the recipient or the content.
        created_at: since when it is on the route (UTC).
        sent_at: when a server accepted it (UTC).
        follows: the delivery before it in its conversation.
        message_id: its Message-ID; null before its first slot.
        wire_message_id: the Message-ID that the provider gave the mail in its place, where that is known.
    """

    id: int
    template_id: int
    template: str
    state: State
    reason: str | None
    reasons: tuple[str, ...]
    detail: str | None
    priority: int
    account_id: int | None
    send_at: dt.datetime | None
    not_before: dt.datetime | None
    attempts: int
    created_at: dt.datetime
    sent_at: dt.datetime | None
    follows: int | None
    message_id: str | None
    wire_message_id: str | None


@dataclass(frozen=True)
class LastAttempt:
    """What came of a delivery's last attempt.

    Attributes:
        at: when it ended (UTC).
        account_id: from which account.
        charged_to: whose fault that is.
        verdict: what the reply was judged to mean.
        text: the phase of the dialogue, and what the server said in it.
    """

    at: dt.datetime
    account_id: int
    charged_to: ChargedTo | None
    verdict: str | None
    text: str


def last_attempt(delivery: Delivery) -> LastAttempt | None:
    """Return what came of a waiting delivery's last attempt; None before the first, and of one that does not wait."""
    if delivery.state not in (State.READY, State.RESERVED):
        return None
    ended = (Attempt.delivery == delivery.id) & Attempt.finished_at.is_null(False)
    last = Attempt.select().where(ended).order_by(Attempt.id.desc()).first()
    if last is None:
        return None
    return LastAttempt(
        at=last.finished_at,
        account_id=last.account_id,
        charged_to=None if last.charged_to is None else ChargedTo(last.charged_to),
        verdict=last.verdict,
        text=f"{last.phase}: {last.reply_code or ''} {last.text}".strip(": "),
    )


def of_contact(contact_id: int) -> tuple[DeliveryRow, ...]:
    """Return all deliveries of a contact, oldest first."""
    of_it = Delivery.select(Delivery, EmailTemplate).join(EmailTemplate).where(Delivery.contact == contact_id)
    return tuple(map(_row, of_it.order_by(Delivery.id)))


def _row(delivery: Delivery) -> DeliveryRow:
    return DeliveryRow(
        id=delivery.id,
        template_id=delivery.template_id,
        template=delivery.template.name,
        state=State(delivery.state),
        reason=delivery.reason,
        reasons=reasons_of(delivery.reason),
        detail=delivery.detail,
        priority=delivery.priority,
        account_id=delivery.account_id,
        send_at=delivery.send_at,
        not_before=delivery.not_before,
        attempts=delivery.attempts,
        created_at=delivery.created_at,
        sent_at=delivery.sent_at,
        follows=delivery.follows_id,
        message_id=delivery.message_id,
        wire_message_id=delivery.wire_message_id,
    )
