"""The log of attempts: one row for each SMTP transaction, and whose fault its outcome is. Reads only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from peewee import fn

from models import Attempt, ChargedTo, Delivery, Outcome, SmtpAccount, database

#: How far back the log goes if nobody says.
DAYS = 7


@dataclass(frozen=True)
class AttemptRow:
    """One SMTP transaction.

    Attributes:
        id: the attempt.
        at: when it ended, or, while it is open, when it was claimed (UTC).
        delivery_id: the delivery.
        contact_id: to whom.
        template_id: what was written.
        account_id: from which account.
        account: the account's name.
        local_on: the date, in the window's zone, whose limit it counts for; null if it was refused before the claim
            through the account's fault.
        outcome: what came of it.
        charged_to: whose fault that is.
        verdict: what the server's reply was judged to mean.
        phase: how far the dialogue had come.
        reply_code: the server's reply code (RFC 5321).
        enhanced_code: the server's enhanced status code (RFC 3463).
        text: what the server said.
    """

    id: int
    at: dt.datetime
    delivery_id: int
    contact_id: int
    template_id: int
    account_id: int
    account: str
    local_on: dt.date | None
    outcome: Outcome
    charged_to: ChargedTo | None
    verdict: str | None
    phase: str
    reply_code: int | None
    enhanced_code: str | None
    text: str


def attempts(since: dt.datetime | None = None) -> Iterator[AttemptRow]:
    """Yield the attempts, oldest first; `since`: UTC, None: the last 7 days."""
    start = since or database.now() - dt.timedelta(days=DAYS)
    query = (
        Attempt.select(Attempt, Delivery, SmtpAccount)
        .join(Delivery)
        .switch(Attempt)
        .join(SmtpAccount)
        .where(fn.COALESCE(Attempt.finished_at, Attempt.claimed_at) >= start)
        .order_by(Attempt.id)
    )
    return map(_row, query.iterator())


def _row(attempt: Attempt) -> AttemptRow:
    return AttemptRow(
        id=attempt.id,
        at=attempt.finished_at or attempt.claimed_at,
        delivery_id=attempt.delivery_id,
        contact_id=attempt.delivery.contact_id,
        template_id=attempt.delivery.template_id,
        account_id=attempt.account_id,
        account=attempt.account.name,
        local_on=attempt.local_on,
        outcome=Outcome(attempt.outcome),
        charged_to=None if attempt.charged_to is None else ChargedTo(attempt.charged_to),
        verdict=attempt.verdict,
        phase=attempt.phase,
        reply_code=attempt.reply_code,
        enhanced_code=attempt.enhanced_code,
        text=attempt.text,
    )
