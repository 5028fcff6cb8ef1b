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

from models import Attempt, Delivery, EmailTemplate, Outcome, SmtpAccount, State, database
from models.control import control
from models.delivery import in_states, move
from models.states import HOLDS_SLOT
from models.suppression import suppressed_among
from pipeline.capacity import usage
from pipeline.rules.duplicates import REASON_OF
from pipeline.runtime.failpoints import failpoint
from pipeline.runtime.settings import settings
from pipeline.runtime.waiting import connected, until_stored
from pipeline.throttle.window import SendingWindow

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


def claim(delivery_id: int, slot_token: str, account_id: int) -> Claim | Refusal:
    """Claim the dot for a delivery, or say why not.

    A refused delivery has given its slot back when this returns (only the interval missing: its slot has moved on).
    The instant by which all limits are measured is the database's clock, read with the account's lock held.
    """
    token = secrets.token_hex(16)
    given: Claim | Refusal = Refusal.SLOT_LOST
    try:
        with database.transaction():
            account = locked(account_id)
            now, locked_at = database.now(), time.monotonic()
            delivery = _holder_of(delivery_id, slot_token)
            if delivery is None:
                return Refusal.SLOT_LOST
            given = _refusal(account, delivery, now) or Claim(delivery_id, account_id, token, locked_at)
            if isinstance(given, Claim):
                _take(delivery, account, slot_token, token, now)
                failpoint("claim:wrote")
            else:
                _refuse(delivery, account, slot_token, given)
    except (peewee.OperationalError, peewee.InterfaceError):
        # The answer to COMMIT may have been lost on its way. It is asked for as often as it takes: a claim that nobody
        # knew of would be in doubt, although its dot was not sent.
        database.discard_connection()
        if not isinstance(given, Claim) or not until_stored(connected(lambda: _is_committed(token))):
            raise
    return given


def refusal_of_account(account: SmtpAccount, now: dt.datetime) -> Refusal | None:
    """Return why `account` may not send at `now`, or None; asked before the dialogue, and under the lock for the
    claim.
    """
    window = SendingWindow.from_settings(settings())
    today = window.local_date(now)
    last_claim = usage.last_claim_of(account.id)
    checks: tuple[tuple[Refusal, Callable[[], bool]], ...] = (
        (Refusal.PAUSED, lambda: control().paused_at is not None or account.paused_at is not None),
        (Refusal.ACCOUNT_UNUSABLE, lambda: not account.enabled or account.removed_at is not None),
        (Refusal.ACCOUNT_UNUSABLE, lambda: account.cooling_until is not None and now < account.cooling_until),
        (Refusal.WINDOW_CLOSED, lambda: not window.contains(now)),
        (Refusal.LIMIT_REACHED, lambda: usage.used_on(account.id, today) >= usage.limit_of(account, today)),
        (Refusal.TOO_SOON, lambda: last_claim is not None and now < last_claim + _interval()),
    )
    return next((refusal for refusal, holds in checks if holds()), None)


def is_template_paused(delivery: Delivery) -> bool:
    """Tell whether the template of `delivery` is paused."""
    return bool(
        EmailTemplate.select()
        .where((EmailTemplate.id == delivery.template_id) & EmailTemplate.paused_at.is_null(False))
        .exists()
    )


def is_closed_for(delivery: Delivery, now: dt.datetime) -> bool:
    """Tell whether the window is closed on the clocks of the contact of `delivery`."""
    return not SendingWindow.from_settings(settings()).is_open(now, delivery.timezone)


def locked(account_id: int) -> SmtpAccount:
    """Return an account, its row locked until the transaction ends."""
    query = database.for_update(SmtpAccount.select().where(SmtpAccount.id == account_id))
    return query.get()


def _refusal(account: SmtpAccount, delivery: Delivery, now: dt.datetime) -> Refusal | None:
    if delivery.address in suppressed_among([delivery.address]):
        return Refusal.SUPPRESSED
    if is_template_paused(delivery):
        return Refusal.PAUSED
    if is_closed_for(delivery, now):
        return Refusal.WINDOW_CLOSED
    open_claim = (Delivery.account == account.id) & in_states(*HOLDS_SLOT) & (Delivery.state == State.SENDING)
    if Delivery.select().where(open_claim).exists():
        return Refusal.ACCOUNT_UNUSABLE
    return refusal_of_account(account, now)


def _holder_of(delivery_id: int, slot_token: str) -> Delivery | None:
    holds = (Delivery.id == delivery_id) & (Delivery.state == State.RESERVED) & (Delivery.token == slot_token)
    # Locked: a pause, a cancel or a hand-over takes slots back without the account's lock.
    return database.for_update(Delivery.select().where(holds)).first()


def _take(delivery: Delivery, account: SmtpAccount, slot_token: str, token: str, now: dt.datetime) -> None:
    moved = move(
        State.RESERVED, State.SENDING, (Delivery.id == delivery.id) & (Delivery.token == slot_token), token=token
    )
    if not moved:
        raise RuntimeError(f"delivery {delivery.id} lost its slot although the account is locked")
    Attempt.insert(
        delivery=delivery.id,
        account=account.id,
        token=token,
        local_on=SendingWindow.from_settings(settings()).local_date(now),
        claimed_at=now,
        outcome=Outcome.OPEN,
    ).execute()


def _refuse(delivery: Delivery, account: SmtpAccount, slot_token: str, refusal: Refusal) -> None:
    mine = (Delivery.id == delivery.id) & (Delivery.token == slot_token)
    if refusal is Refusal.SUPPRESSED:
        skip_suppressed({delivery.id: delivery.address}, slot_token)
    elif refusal is Refusal.TOO_SOON:
        last_claim = usage.last_claim_of(account.id)
        if last_claim is not None:
            Delivery.update(send_at=last_claim + _interval()).where(mine & (Delivery.state == State.RESERVED)).execute()
    else:
        move(State.RESERVED, State.READY, mine)


def skip_suppressed(addresses: dict[int, str], slot_token: str) -> list[int]:
    """Skip those reserved deliveries (id → address) whose address has been suppressed meanwhile; return their ids."""
    found = suppressed_among(addresses.values())
    skipped = []
    for kind, reason in REASON_OF.items():
        ids = [i for i, address in addresses.items() if found.get(address) is kind]
        if ids:
            which = Delivery.id.in_(ids) & (Delivery.token == slot_token)
            skipped += move(State.RESERVED, State.SKIPPED, which, reason=reason)
    return skipped


def _is_committed(token: str) -> bool:
    return bool(Attempt.select().where((Attempt.token == token) & (Attempt.outcome == Outcome.OPEN)).exists())


def _interval() -> dt.timedelta:
    return dt.timedelta(seconds=settings().mail_min_interval)
