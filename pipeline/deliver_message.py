"""Stage 5: the mail is sent, by the right of a claim at the dot.

Reads: `reserved` deliveries that hold the slot of the message's token, their account, and what is attached to their
template. Writes: through `claim` and `outcome`. Hands on: each that was tried, to *record outcome*; what came early, to
itself; a trigger for what gave its slot back.
Trouble: before the claim a process that dies costs nothing; after it the delivery is in doubt. A refusal that is
charged to the account ends a list, and the untried rest goes back to `ready`, charged to nobody.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from models import Cause, Contact, Delivery, Event, Purpose, Reason, SmtpAccount, State, database, transition
from models.compiled import Parameter, among, asked_together, compiled
from models.delivery import of_ids
from pipeline.accounts import bounces, health
from pipeline.accounts.identity import endpoint_of
from pipeline.accounts.signing import KeyFileError
from pipeline.capacity.slots import RESERVED
from pipeline.content.message import MessageRefusedError
from pipeline.content.mime import File
from pipeline.delivery import claim as claims
from pipeline.delivery import outcome
from pipeline.delivery.attachments import files_of
from pipeline.delivery.claim import Claim
from pipeline.delivery.envelope import envelope_of
from pipeline.delivery.refusals import Refusal, Use, is_missed, missed, questions, refusal
from pipeline.flow import TRIGGER, Handoff, Stage
from pipeline.rules.forgotten import Hashes, hashes
from pipeline.runtime import keys
from pipeline.runtime.clocks import elapsed
from pipeline.runtime.failpoints import failpoint
from pipeline.runtime.logs import log
from pipeline.runtime.secret_key import SecretKeyError
from pipeline.runtime.waiting import connected, until_stored
from pipeline.smtp.connection import Endpoint
from pipeline.smtp.pool import Connections
from pipeline.smtp.reply import Phase, Reply, Result, Verdict
from pipeline.smtp.transaction import Transaction

#: The connections of this process.
connections = Connections()

#: After these the account won't take the next message either.
_ENDS_LIST = (
    Verdict.ACCOUNT_FOR_NOW,
    Verdict.ACCOUNT_QUOTA,
    Verdict.LOGIN_REFUSED,
    Verdict.ACCOUNT_FOR_GOOD,
    Verdict.UNKNOWN,
)

#: This is not checked in `deliver`: deliveries that are kept out have been skipped by then.
_NOT_ASKED = frozenset({Refusal.KEPT_OUT})
#: Verdicts after which there may be too many bounces to go on.
_BOUNCES = (Verdict.RECIPIENT_FOR_GOOD, Verdict.SITE_BY_POLICY)
#: A delivery whose slot was refused without an attempt is dealt anew at once, but after this if that happens again and
#: again: where two processes judge differently (by other settings, say), they must not hand it to and fro for ever.
AGAIN_AND_AGAIN, AFTER_THAT = dt.timedelta(minutes=1), dt.timedelta(seconds=30)
#: Why the rest of a list went back: the account won't take the next message either, or it would be late.
UNTRIED = "untried"


@dataclass(frozen=True)
class _Slot:
    """What is the same for all deliveries of a slot, and was read once for them."""

    account: SmtpAccount
    endpoint: Endpoint
    token: str
    known: Hashes
    at: dt.datetime
    since: float

    @property
    def about_now(self) -> dt.datetime:
        """The time for what needs it to the second: the database's when the slot was read, and what has passed here."""
        return self.at + dt.timedelta(seconds=elapsed() - self.since)

    @cached_property
    def files_of(self) -> Callable[[int], list[File]]:
        """What goes with the mails of a template."""
        return cache(files_of)


def deliver(delivery_ids: Sequence[int], slot_token: str) -> list[Handoff]:
    """Send those of `delivery_ids` that hold the slot `slot_token`.

    Returns:
        Handoffs to *record outcome* and the retry queue; to this stage, what came too early; a trigger for what went
        back.
    """
    holders = _held().asks(ids=delivery_ids, token=slot_token)
    with asked_together([holders, keys.question(Purpose.FORGOTTEN)]):
        deliveries, now, since = holders.rows(), database.now(), elapsed()
        known = hashes()
    if not deliveries:
        return []
    early = [d for d in deliveries if d.send_at > now]
    if early:
        return [_wait(early, slot_token)]
    account = deliveries[0].account
    handoffs = []
    with asked_together(questions(deliveries, account.id, now, known)):
        skipped = claims.skip_kept_out(deliveries, slot_token, now)
        if skipped:
            handoffs.append(TRIGGER)
        rest = [d for d in deliveries if d.id not in skipped]
        refused = refusal(Use(rest, account, now), but=_NOT_ASKED) if rest else None
    if refused is Refusal.TOO_SOON:
        return handoffs + _postpone(rest, account, slot_token)
    if refused is Refusal.SLOT_MISSED:
        # With all others that are missed: if each waited for its own message, what is behind them on the queue would
        # be missed before it is read, and so for ever, where many accounts have slots at once.
        return _give_back(RESERVED & missed(now), rest[0], refused)
    if refused is not None:
        return _give_back(_of(rest, slot_token), rest[0], refused)
    try:
        endpoint = endpoint_of(account)
    except SecretKeyError as error:
        # A verdict on the account, whose slots go back: nobody waits here for a key.
        health.switch_off(account, str(error))
        return [TRIGGER]
    slot = _Slot(account, endpoint, slot_token, known, now, since)
    while rest:
        done, ends = _deliver(rest.pop(0), slot)
        handoffs += done
        if rest and (ends or is_missed(rest[0], slot.about_now)):
            handoffs += _give_back(_of(rest, slot_token), rest[0], UNTRIED)
            break
    return handoffs


def _holders(delivery_ids: Sequence[int], slot_token: str) -> list[Delivery]:
    return _held().rows(ids=delivery_ids, token=slot_token)


@compiled
def _held() -> Any:
    holds = among(Delivery.id, "ids") & (Delivery.state == State.RESERVED) & (Delivery.token == Parameter("token"))
    query = Delivery.select(Delivery, SmtpAccount, Contact).join(SmtpAccount).switch(Delivery).join(Contact)
    return query.where(holds).order_by(Delivery.priority.desc(), Delivery.id)


def _wait(deliveries: list[Delivery], slot_token: str) -> Handoff:
    not_before = max(d.send_at for d in deliveries)
    return Handoff(Stage.DELIVER, [d.id for d in deliveries], not_before=not_before, slot_token=slot_token)


def _of(deliveries: Sequence[Delivery], slot_token: str) -> Any:
    return of_ids(d.id for d in deliveries) & (Delivery.token == slot_token)


def _give_back(which: Any, delivery: Delivery, why: str) -> list[Handoff]:
    """Give the slots of some deliveries back, among them that of `delivery`."""
    with database.transaction():
        database.lock_rows(Delivery, which)
        transition(State.RESERVED, State.READY, which, cause=Cause.DELIVER, reason=why)
    return [_trigger_after_refusal(delivery.id)]


def _trigger_after_refusal(delivery_id: int) -> Handoff:
    now = database.now()
    refused = (Event.delivery == delivery_id) & (Event.cause == Cause.DELIVER) & (Event.state == State.READY)
    lately = refused & Event.attempt.is_null() & (Event.at > now - AGAIN_AND_AGAIN)
    return TRIGGER if Event.select().where(lately).count() < 2 else Handoff(Stage.RESERVE, not_before=now + AFTER_THAT)


def _postpone(deliveries: list[Delivery], account: SmtpAccount, slot_token: str) -> list[Handoff]:
    """Bring the slot to the time that the account's interval allows, and wait for it."""
    with database.transaction():
        claims.postpone(deliveries, claims.locked(account.id), slot_token)
    return _wait_for(deliveries, slot_token)


def _wait_for(deliveries: list[Delivery], slot_token: str) -> list[Handoff]:
    log.info("slot postponed", delivery_ids=[d.id for d in deliveries], reason=str(Refusal.TOO_SOON))
    holders = _holders([d.id for d in deliveries], slot_token)
    return [_wait(holders, slot_token)] if holders else []


def _deliver(delivery: Delivery, slot: _Slot) -> tuple[list[Handoff], bool]:
    """Send one; return what comes next, and whether the account is to be left alone now."""
    account_id = slot.account.id
    try:
        envelope = envelope_of(delivery, slot.account, slot.about_now, slot.files_of(delivery.template_id))
    except MessageRefusedError as error:
        return outcome.give_up(delivery, slot.token, Reason.MESSAGE_REFUSED, str(error)), False
    except KeyFileError as error:
        unsigned = Result(Verdict.ACCOUNT_FOR_NOW, Phase.SIGN, Reply(None, str(error)))
        return outcome.settle_unclaimed(delivery, slot.token, unsigned), True
    with connections.transaction(slot.endpoint) as transaction:
        refused = transaction.offer(envelope)
        failpoint("smtp:offered")
        if refused is not None:
            handoffs = outcome.settle_unclaimed(delivery, slot.token, refused)
            return handoffs, _ends_list(delivery, account_id, refused)
        asked = questions([delivery], account_id, slot.about_now, slot.known)
        given = claims.claim(delivery.id, slot.token, account_id, asked)
        if isinstance(given, Refusal):
            transaction.abandon()
            return _after_refused_claim(delivery, slot.token, given), given is not Refusal.KEPT_OUT
        failpoint("claim:committed")
        return _send_dot(transaction, given, delivery)


def _send_dot(transaction: Transaction, claim: Claim, delivery: Delivery) -> tuple[list[Handoff], bool]:
    if claim.expired:
        transaction.abandon()
        why = f"the dot was not sent within {claims.DOT_WITHIN:g} s of its claim"
        return until_stored(connected(lambda: outcome.settle_unsent(claim, why))), True
    result = transaction.finish()
    failpoint("smtp:replied")
    handoffs = until_stored(connected(lambda: outcome.settle(claim, result)))
    failpoint("outcome:committed")
    return handoffs, _ends_list(delivery, claim.account_id, result)


def _ends_list(delivery: Delivery, account_id: int, result: Result) -> bool:
    """Tell whether the account is to be left alone after this, for it was charged or has too many bounces."""
    if result.verdict in _BOUNCES:
        return bounces.check([account_id], [delivery])
    return result.verdict in _ENDS_LIST


def _after_refused_claim(delivery: Delivery, slot_token: str, refusal: Refusal) -> list[Handoff]:
    if refusal is Refusal.SLOT_LOST:
        return []
    if refusal is Refusal.TOO_SOON:
        return _wait_for([delivery], slot_token)
    return [TRIGGER if refusal is Refusal.KEPT_OUT else _trigger_after_refusal(delivery.id)]
