"""Mails whose final dot may have been sent, and whose reply nobody saw. Reads only."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from peewee import fn

from models import Attempt, Delivery, State
from models.delivery import in_states


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
    """

    delivery_id: int
    contact_id: int
    account_id: int | None
    message_id: str | None
    claimed_at: dt.datetime | None
    detail: str | None


def in_doubt(*, limit: int | None = None, after: int = 0) -> list[DoubtRow]:
    """Return the deliveries that are in doubt, by id.

    Args:
        limit: so many at most; None: all.
        after: those with a higher id.
    """
    claimed = Attempt.select(fn.MAX(Attempt.claimed_at)).where(Attempt.delivery == Delivery.id)
    query = Delivery.select(Delivery, claimed.alias("claimed")).where(in_states(State.IN_DOUBT))
    return [
        DoubtRow(
            delivery_id=delivery.id,
            contact_id=delivery.contact_id,
            account_id=delivery.account_id,
            message_id=delivery.message_id,
            claimed_at=Attempt.claimed_at.python_value(delivery.claimed),
            detail=delivery.detail,
        )
        for delivery in query.where(Delivery.id > after).order_by(Delivery.id).limit(limit).objects()
    ]
