"""The outcome of an attempt: one transaction that sets the delivery, its attempt, its account, a suppression, a
dead letter.

Reads: what the server said, judged by `smtp.reply`. Writes: all that follows from it, at once, guarded by the token:
the slot's for what was refused before the claim, the claim's afterwards. Hands on: to *record outcome*, and to the
retry queue.
Trouble: a token that is not the row's any more changes nothing, but a 250 is always written to its own attempt.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from models import (
    Attempt,
    Cause,
    ChargedTo,
    Delivery,
    EnrolmentState,
    Outcome,
    Reason,
    SmtpAccount,
    State,
    SuppressionKind,
    database,
    transition,
    transition_of,
)
from models.compiled import Parameter, asked_together, compiled, given
from models.dead_letter import file_deliveries
from models.delivery import FORGOTTEN, without_words
from models.enrolment import ends, of_addresses
from models.suppression import suppress
from pipeline.accounts.charge import charge
from pipeline.capacity import usage
from pipeline.delivery.claim import Claim, account_of, lock_account, lock_delivery, locked
from pipeline.delivery.following import Following, what_follows
from pipeline.flow import Handoff, Stage
from pipeline.runtime.failpoints import failpoint
from pipeline.smtp.reply import MAX_TEXT, TRANSACTION, Reply, Result, Verdict
from pipeline.smtp.wire import wire_message_id

#: Why a claim was given back: its dot was surely not sent.
DOT_NOT_SENT = "dot_not_sent"
#: Outcomes of an attempt of which nobody has said yet what came of it.
_UNKNOWN_YET = (Outcome.OPEN, Outcome.IN_DOUBT)


@dataclass(frozen=True)
class _About:
    """What an event says beside states and reason."""

    account_id: int
    attempt_id: int | None = None
    reply_code: int | None = None


def settle_unclaimed(delivery: Delivery, slot_token: str, result: Result) -> list[Handoff]:
    """Record a refusal before the claim, if the delivery still holds this slot."""
    with database.transaction():
        account = locked(delivery.account_id)
        now = database.now()
        following = what_follows(delivery, result, now)
        if not _holds(delivery, slot_token):
            return []
        # What the account is not charged with uses up its limit: the provider counts it too, if it has seen it.
        counts = result.verdict.charged_to is not ChargedTo.ACCOUNT and result.phase in TRANSACTION
        attempt = Attempt.insert(
            delivery=delivery.id,
            campaign=delivery.campaign_id,
            account=account.id,
            outcome=Outcome.FAILED,
            local_on=usage.date_of(now) if counts else None,
            **_said(result),
            finished_at=now,
        ).execute()
        about = _About(account.id, attempt, result.reply.code)
        _apply(delivery, State.RESERVED, slot_token, following, about, now)
        tell = charge(account, delivery.id, result, now)
    tell()
    return _hand_on(delivery.id, following)


def settle(claim: Claim, result: Result) -> list[Handoff]:
    """Record what came of a claim, by its token."""
    with database.transaction(), _seen(claim) as (account, delivery, attempt, now):
        if delivery.recipient == FORGOTTEN:
            # It was in doubt when the person was forgotten: what the server says now may name them again.
            result = replace(result, reply=Reply(result.reply.code))
        following = what_follows(delivery, result, now)
        about = _About(claim.account_id, attempt.id, result.reply.code)
        moved = delivery.token == claim.token and delivery.state in _origins(following)
        if moved:
            transition_of(delivery, following.state, **_said_of(following, about, now), **_changes(following))
            _settle_others(delivery, following, now)
        elif following.state is State.SENT:
            moved = _sent_after_all(claim, following, about, now)
        # An outcome whose commit's answer was lost comes twice, and is charged once.
        tell = None
        if attempt.outcome in _UNKNOWN_YET:
            ended = {"outcome": _outcome(result.verdict), "finished_at": now} | _said(result)
            _end_attempt(tuple(ended)).later(token=claim.token, **ended)
            tell = charge(account, delivery.id, result, now)
            _store_name_on_the_wire(delivery.id, wire_message_id(account.host, result.reply))
        failpoint("outcome:wrote")
    if tell is not None:
        tell()
    return _hand_on(claim.delivery_id, following) if moved else []


@contextmanager
def _seen(claim: Claim) -> Iterator[tuple[SmtpAccount, Delivery, Attempt, dt.datetime]]:
    """Lock the account and the delivery of a claim; give both, its attempt, and the clock behind the locks."""
    lock_account().later(id=claim.account_id)
    # A person in doubt is not forgotten between here and the commit.
    lock_delivery().later(id=claim.delivery_id)
    asked = (
        account_of().asks(id=claim.account_id),
        _delivery().asks(id=claim.delivery_id),
        _attempt().asks(token=claim.token),
    )
    with asked_together(asked):
        account, delivery, attempt = (question.first() for question in asked)
        now = database.now()
    yield account, delivery, attempt, now


@compiled
def _delivery() -> Any:
    return Delivery.select(*without_words()).where(Delivery.id == Parameter("id"))


@compiled
def _attempt() -> Any:
    return Attempt.select(Attempt.id, Attempt.outcome).where(Attempt.token == Parameter("token"))


@compiled
def _end_attempt(names: Sequence[str]) -> Any:
    is_open = (Attempt.token == Parameter("token")) & Attempt.outcome.in_(_UNKNOWN_YET)
    return Attempt.update(**given(Attempt, names)).where(is_open)


def _store_name_on_the_wire(delivery_id: int, message_id: str | None) -> None:
    if message_id is not None:
        database.later(Delivery.update(wire_message_id=message_id).where(Delivery.id == delivery_id))


def _origins(following: Following) -> tuple[State, ...]:
    """Return the states from which the token's holder may bring a delivery there.

    What is in doubt is never made ready by the program, not even by a late refusal: that is a person's to decide.
    """
    if following.state in (State.IN_DOUBT, State.READY):
        return (State.SENDING,)
    return (State.SENDING, State.IN_DOUBT)


def settle_unsent(claim: Claim, why: str) -> list[Handoff]:
    """Give a claim back whose dot was surely not sent: charged to nobody, and not counted for its day."""
    with database.transaction():
        transition(
            State.SENDING,
            State.READY,
            (Delivery.id == claim.delivery_id) & (Delivery.token == claim.token),
            cause=Cause.DELIVER,
            reason=DOT_NOT_SENT,
            account=claim.account_id,
            attempt=Attempt.select(Attempt.id).where(Attempt.token == claim.token).scalar(),
        )
        Attempt.update(outcome=Outcome.FAILED, charged_to=ChargedTo.NOBODY, text=why, finished_at=database.now()).where(
            (Attempt.token == claim.token) & (Attempt.outcome != Outcome.ACCEPTED)
        ).execute()
    return [Handoff(Stage.RECORD, [claim.delivery_id])]


def give_up(delivery: Delivery, slot_token: str, reason: Reason, detail: str) -> list[Handoff]:
    """Fail a delivery that can't be made a message, with its dead letter; no attempt was made."""
    following = Following(State.FAILED, reason, detail, gives_up=True)
    with database.transaction():
        about = _About(delivery.account_id)
        moved = _apply(delivery, State.RESERVED, slot_token, following, about, database.now())
    return _hand_on(delivery.id, following) if moved else []


def _holds(delivery: Delivery, slot_token: str) -> bool:
    """Tell whether a delivery still holds this slot, and lock its row."""
    mine = (Delivery.id == delivery.id) & (Delivery.state == State.RESERVED) & (Delivery.token == slot_token)
    return database.for_update(Delivery.select(Delivery.id).where(mine)).first() is not None


def _apply(
    delivery: Delivery, origin: State, token: str, following: Following, about: _About, now: dt.datetime
) -> bool:
    mine = (Delivery.id == delivery.id) & (Delivery.token == token)
    moved = bool(transition(origin, following.state, mine, **_said_of(following, about, now), **_changes(following)))
    if moved:
        _settle_others(delivery, following, now)
    return moved


def _settle_others(delivery: Delivery, following: Following, now: dt.datetime) -> None:
    """Write what follows beside the delivery itself."""
    if following.state is State.BOUNCED and delivery.recipient != FORGOTTEN:
        suppress(SuppressionKind.ADDRESS, [delivery.address], "bounced", now)
        # Also those in which nothing is on its way for them now.
        ends(of_addresses([delivery.address]), EnrolmentState.BOUNCED, now, following.reason)
    if following.gives_up and following.reason:
        file_deliveries({delivery.id: (following.reason, following.detail or "")}, now)


def _said_of(following: Following, about: _About, now: dt.datetime) -> dict[str, Any]:
    """Return what the event says."""
    return {
        "cause": Cause.DELIVER,
        "reason": following.reason or following.why,
        "account": about.account_id,
        "attempt": about.attempt_id,
        "reply_code": about.reply_code,
        "at": now,
    }


def _changes(following: Following) -> dict[str, Any]:
    return {"detail": following.detail, "recorded_at": None} | following.changes


def _sent_after_all(claim: Claim, following: Following, about: _About, now: dt.datetime) -> bool:
    """A 250 that came after a person had put the delivery back: it is sent, if nothing newer has been claimed."""
    this = Attempt.get(Attempt.token == claim.token)
    newer = (Attempt.delivery == claim.delivery_id) & (Attempt.id > this.id) & Attempt.claimed_at.is_null(False)
    if Attempt.select().where(newer).exists():
        return False
    changes: dict[str, Any] = {"sent_at": now, "recorded_at": None}
    of_claim = Delivery.id == claim.delivery_id
    said = _said_of(following, about, now)
    return any(transition(origin, State.SENT, of_claim, **said, **changes) for origin in (State.READY, State.RESERVED))


def _outcome(verdict: Verdict) -> Outcome:
    if verdict is Verdict.ACCEPTED:
        return Outcome.ACCEPTED
    return Outcome.IN_DOUBT if verdict is Verdict.UNKNOWN else Outcome.FAILED


def _said(result: Result) -> dict[str, Any]:
    return {
        "charged_to": result.verdict.charged_to,
        "verdict": result.verdict,
        "phase": result.phase,
        "reply_code": result.reply.code,
        "enhanced_code": result.reply.enhanced,
        "text": result.reply.text[:MAX_TEXT],
    }


def _hand_on(delivery_id: int, following: Following) -> list[Handoff]:
    handoffs = [Handoff(Stage.RECORD, [delivery_id])]
    if following.backoff is not None:
        handoffs.append(Handoff(Stage.RESERVE, [delivery_id], backoff=following.backoff))
    return handoffs
