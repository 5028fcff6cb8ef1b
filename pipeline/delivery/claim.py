"""The claim: the one committed statement that gives the right to send the final dot.

Reads and locks: the account's row. Writes: `reserved` → `sending` with a fresh token, and an open attempt; or, refused,
the row back to `ready` (`skipped` if it must not be sent any more), in the same transaction.
Trouble: an answer to COMMIT that was lost is read back by the token.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import peewee

from models import Attempt, Cause, Delivery, Outcome, SmtpAccount, State, database, transition, transition_of
from models.compiled import Parameter, Question, asked_together, compiled, given
from models.delivery import of_ids, without_words
from pipeline.capacity import usage
from pipeline.delivery.refusals import Refusal, Use, earliest_after, refusal
from pipeline.rules.last import reasons_to_skip
from pipeline.runtime.clocks import elapsed
from pipeline.runtime.failpoints import failpoint
from pipeline.runtime.waiting import connected, until_stored

#: Seconds after the claim within which the dot must be sent; a process that slept longer must not send it.
DOT_WITHIN = 5.0


@dataclass(frozen=True)
class Claim:
    """The right to send one final dot. `locked_at` is this machine's own clock (`elapsed`), read while the lock was
    held.
    """

    delivery_id: int
    account_id: int
    token: str
    locked_at: float

    @property
    def expired(self) -> bool:
        """Tell whether it is too late to send the dot."""
        return elapsed() - self.locked_at > DOT_WITHIN


def claim(delivery_id: int, slot_token: str, account_id: int, questions: Sequence[Question] = ()) -> Claim | Refusal:
    """Claim the dot for a delivery, or say why not.

    It takes two requests: the locks and, behind them, the clock and all that is judged by; all that is written, and the
    COMMIT. What is judged by must be read by a statement of its own behind the locks: one
    that waits for a lock sees the rows of before it waited.

    Args:
        delivery_id, slot_token, account_id: the delivery, and its slot.
        questions: what is going to be asked (`refusals.questions`); what is not among them takes a request of its own.

    A refused delivery has given its slot back when this returns (if only the interval was too short, its slot has got a
    later time).
    The instant by which all limits are measured is the database's clock, read with the account's lock held.
    """
    token = secrets.token_hex(16)
    given: Claim | Refusal = Refusal.SLOT_LOST
    try:
        with database.transaction():
            lock_account().later(id=account_id)
            # Locked, too: a pause, a cancel or a pre-emption takes slots back without the account's lock.
            lock_delivery().later(id=delivery_id)
            account_row, holder = account_of().asks(id=account_id), _holder().asks(id=delivery_id, token=slot_token)
            with asked_together([account_row, holder, *questions]):
                now, locked_at = database.now(), elapsed()
                account = cast(SmtpAccount, account_row.first())
                delivery = cast(Delivery | None, holder.first())
                if delivery is None:
                    return Refusal.SLOT_LOST
                refused = refusal(Use([delivery], account, now))
            if refused is None:
                given = _take(delivery, Claim(delivery_id, account_id, token, locked_at), now)
                failpoint("claim:wrote")
            else:
                given = refused
                _refuse(delivery, account, slot_token, refused, now)
    except (peewee.OperationalError, peewee.InterfaceError):
        # The answer to COMMIT may have been lost on its way. It is asked for as often as it takes: a claim that nobody
        # knew of would be in doubt, although its dot was not sent.
        database.discard_connection()
        if not isinstance(given, Claim) or not until_stored(connected(lambda: _is_committed(token))):
            raise
    return given


def locked(account_id: int) -> SmtpAccount:
    """Return an account, its row locked until the transaction ends."""
    lock_account().later(id=account_id)
    (found,) = account_of().rows(id=account_id)
    return cast(SmtpAccount, found)


@compiled
def lock_account() -> Any:
    """Return the query that locks an account's row."""
    return database.for_update(SmtpAccount.select(SmtpAccount.id).where(SmtpAccount.id == Parameter("id")))


@compiled
def lock_delivery() -> Any:
    """Return the query that locks a delivery's row."""
    return database.for_update(Delivery.select(Delivery.id).where(Delivery.id == Parameter("id")))


@compiled
def account_of() -> Any:
    """Return the query of an account."""
    return SmtpAccount.select().where(SmtpAccount.id == Parameter("id"))


@compiled
def _holder() -> Any:
    mine = (Delivery.id == Parameter("id")) & (Delivery.token == Parameter("token"))
    return Delivery.select(*without_words()).where(mine & (Delivery.state == State.RESERVED))


def _take(delivery: Delivery, claim: Claim, now: dt.datetime) -> Claim:
    _open_attempt().later(
        delivery=delivery.id,
        campaign=delivery.campaign_id,
        account=claim.account_id,
        token=claim.token,
        local_on=usage.date_of(now),
        claimed_at=now,
        outcome=Outcome.OPEN,
    )
    about: dict[str, Any] = {"account": claim.account_id, "claim": claim.token, "at": now}
    transition_of(delivery, State.SENDING, cause=Cause.DELIVER, token=claim.token, **about)
    return claim


@compiled
def _open_attempt() -> Any:
    names = ("delivery", "campaign", "account", "token", "local_on", "claimed_at", "outcome")
    return Attempt.insert(**given(Attempt, names))


def _refuse(delivery: Delivery, account: SmtpAccount, slot_token: str, refused: Refusal, now: dt.datetime) -> None:
    mine = (Delivery.id == delivery.id) & (Delivery.token == slot_token)
    if refused is Refusal.KEPT_OUT:
        skip_kept_out([delivery], slot_token, now)
    elif refused is Refusal.TOO_SOON:
        postpone([delivery], account, slot_token)
    else:
        transition(State.RESERVED, State.READY, mine, cause=Cause.DELIVER, reason=refused, account=account.id)


def skip_kept_out(deliveries: Sequence[Delivery], slot_token: str, now: dt.datetime) -> list[int]:
    """Skip those that must not be sent any more, with their reasons; return their ids."""
    against = reasons_to_skip(deliveries, now)
    if not against:
        return []
    mine = of_ids(against) & (Delivery.token == slot_token)
    reasons = {i: ",".join(reasons) for i, reasons in against.items()}
    with database.transaction():
        database.lock_rows(Delivery, mine)
        return transition(State.RESERVED, State.SKIPPED, mine, cause=Cause.DELIVER, reason=reasons)


def postpone(deliveries: Sequence[Delivery], account: SmtpAccount, slot_token: str) -> None:
    """Bring a slot to the time from which the account's interval allows it."""
    last_transaction = usage.last_transaction_of(account.id)
    if last_transaction is not None:
        mine = of_ids(d.id for d in deliveries) & (Delivery.token == slot_token)
        database.lock_rows(Delivery, mine)
        query = Delivery.update(send_at=earliest_after(last_transaction))
        query.where(mine & (Delivery.state == State.RESERVED)).execute()


def _is_committed(token: str) -> bool:
    return bool(Attempt.select().where((Attempt.token == token) & (Attempt.outcome == Outcome.OPEN)).exists())
