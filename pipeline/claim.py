"""The claim: the one committed statement that gives the right to send the final dot.

Reads and locks: the account's row. Writes: `reserved` → `sending` with a fresh token, and an open attempt; or, refused,
the row back to `ready` (`skipped` if it has been suppressed meanwhile), in the same transaction.
Trouble: an answer to COMMIT that was lost is read back by the token.
"""

from __future__ import annotations

import datetime as dt
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import peewee

from models import Attempt, Control, Delivery, EmailTemplate, Outcome, Reason, SmtpAccount, State, SuppressionKind, database
from models.control import control
from models.delivery import move
from models.suppression import suppressed_among

from . import standing
from .settings import settings
from .window import SendingWindow

#: Seconds after the claim within which the dot must be sent; a process that slept longer must not send it.
DOT_WITHIN = 5.0


@dataclass(frozen=True)
class Claim:
    """The right to send one final dot. `locked_at` is this machine's monotonic clock, read while the lock was held."""

    delivery_id: int
    account_id: int
    token: str
    locked_at: float

    @property
    def expired(self) -> bool:
        """Tell whether it is too late to send the dot."""
        return time.monotonic() - self.locked_at > DOT_WITHIN


class Refusal(StrEnum):
    """Why a claim was not given."""

    SLOT_LOST = "slot_lost"
    SUPPRESSED = "suppressed"
    PAUSED = "paused"
    ACCOUNT_UNUSABLE = "account_unusable"
    WINDOW_CLOSED = "window_closed"
    LIMIT_REACHED = "limit_reached"
    TOO_SOON = "too_soon"
    TOO_LATE = "too_late"


def claim(delivery_id: int, slot_token: str, account_id: int) -> Claim | Refusal:
    """Claim the dot for a delivery, or say why not; a refused delivery has given its slot back when this returns."""
    token = secrets.token_hex(16)
    locked_at = 0.0
    try:
        with database.transaction():
            account = _locked(account_id)
            now, locked_at = database.now(), time.monotonic()
            delivery = _holder_of(delivery_id, slot_token)
            if delivery is None:
                return Refusal.SLOT_LOST
            refusal = refusal_of_account(account, now) or _refusal_of_delivery(delivery)
            if refusal is None and account.sending_elsewhere:
                refusal = Refusal.ACCOUNT_UNUSABLE
            if refusal is None:
                _take(delivery, account, token, now)
            else:
                give_way(delivery, slot_token, refusal, now)
    except peewee.OperationalError:
        if not _read_back(token):
            raise
    else:
        if refusal is not None:
            return refusal
    return Claim(delivery_id, account_id, token, locked_at)


def refusal_of_account(account: SmtpAccount, now: dt.datetime) -> Refusal | None:
    """Return why `account` may not send at `now`, or None."""
    window = SendingWindow.from_settings(settings())
    last_claim = standing.last_claim_of(account.id)
    checks: tuple[tuple[Refusal, Callable[[], bool]], ...] = (
        (Refusal.PAUSED, lambda: control().paused_at is not None or account.paused_at is not None),
        (Refusal.ACCOUNT_UNUSABLE, lambda: not standing.is_usable(account, now)),
        (Refusal.WINDOW_CLOSED, lambda: not window.contains(now)),
        (Refusal.LIMIT_REACHED, lambda: standing.left_on(account, window.local_date(now)) <= 0),
        (Refusal.TOO_SOON, lambda: last_claim is not None and now < last_claim + interval()),
    )
    return next((refusal for refusal, holds in checks if holds()), None)


def interval() -> dt.timedelta:
    """Return the least time between two sends of one account."""
    return dt.timedelta(seconds=settings().mail_min_interval)
