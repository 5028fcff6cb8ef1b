"""What follows from a mail that came back, in the caller's transaction: for the delivery that it surely means.

Reads: the delivery, its contact and others with the same address, who are the same person. Writes: suppressions,
enrolments, what waits for the person cancelled, late bounces. The delivery itself stays as it is: its server did
accept it. Takes its locks in the order of `database.LOCK_ORDER`: the person's contacts before all else.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from peewee import EXCLUDED

from models import (
    Attempt,
    Cause,
    Contact,
    Delivery,
    Effect,
    Enrolment,
    EnrolmentState,
    LateBounce,
    Reason,
    State,
    Step,
    SuppressionKind,
    database,
    transition,
)
from models.address import forms, is_valid, normalise
from models.control import PROGRAM, record_action
from models.delivery import in_states
from models.enrolment import ends, of_addresses
from models.states import NOT_CLAIMED
from models.suppression import suppress
from pipeline.accounts.alerts import Alert, alert
from pipeline.campaigns.due import due_at, due_of
from pipeline.flow import TRIGGER, Handoff
from pipeline.inbound.bounce import verdict
from pipeline.inbound.kinds import Action, Classified, Kind, Recipient
from pipeline.operations import stops, unsubscribe
from pipeline.operations.cancel import cancel_where, lock_waiting
from pipeline.operations.unsubscribe import Choice, Way
from pipeline.runtime.settings import settings
from pipeline.smtp.reply import Verdict
from pipeline.throttle.window import SendingWindow

#: How long the next step waits after an automatic answer without a date.
WAIT_DAYS = 7
#: So many deliveries to a person, sent within so long, that were refused for now: the address is given up.
TOO_OFTEN, WITHIN = 3, dt.timedelta(days=30)
#: The same of steps of one enrolment.
TOO_MANY_STEPS = 2

#: What counts in the limits of bounces, and as what.
_COUNTS_AS = {
    Verdict.RECIPIENT_FOR_GOOD: Reason.RECIPIENT_REFUSED,
    Verdict.SITE_BY_POLICY: Reason.REFUSED_BY_POLICY,
}
_FOR_NOW = (Verdict.RECIPIENT_FOR_NOW, Verdict.GREYLISTED, Verdict.MAILBOX_FULL)


@dataclass
class Came:
    """A mail that came back for a delivery; what its effect leaves to be done after the commit.

    Attributes:
        found: what it is.
        delivery: which is surely meant.
        handoffs: what is to be handed on.
        counts: whether it counts in a limit of bounces, which is to be checked.
    """

    found: Classified
    delivery: Delivery
    handoffs: list[Handoff] = field(default_factory=list)
    counts: bool = False


def take(came: Came) -> Effect:
    """Do what follows, and say what that was."""
    act = _BY_KIND.get(came.found.kind)
    return act(came) if act is not None else Effect.NOTED


def failed_of(found: Classified, delivery: Delivery) -> Recipient | None:
    """Return the recipient of a report that our mail had: by its address, else the only one that failed. None: it names
    several, all of them others, such as an alias has.
    """
    failed = [one for one in found.recipients if one.action is Action.FAILED]
    for one in failed:
        if delivery.address in known([one.address, one.final_address]):
            return one
    return failed[0] if len(failed) == 1 else None


def known(addresses: Iterable[str | None]) -> list[str]:
    """Return the normalised forms of what a report calls addresses, where they are some."""
    return [normalise(one) for one in addresses if one and one.isprintable() and is_valid(one)]


def account_of(delivery: Delivery) -> int | None:
    """Return the account whose mail was accepted, or may have been: that of the last claim."""
    claimed = (Attempt.delivery == delivery.id) & Attempt.claimed_at.is_null(False)
    last = Attempt.select(Attempt.account).where(claimed).order_by(Attempt.id.desc()).limit(1)
    found: int | None = last.scalar()
    return found if found is not None else delivery.account_id


def _bounced(came: Came) -> Effect:
    recipient = failed_of(came.found, came.delivery)
    if recipient is None or not (own := _lock_person(came.delivery)):
        return Effect.NOTED
    meant = verdict(recipient)
    if meant not in _COUNTS_AS and meant not in _FOR_NOW:
        return Effect.NOTED
    reason = _COUNTS_AS.get(meant)
    lock_waiting(Delivery.contact.in_(own))
    if not _store(came.delivery, meant, reason):
        return Effect.NOTED
    came.counts = reason is not None
    if reason is Reason.RECIPIENT_REFUSED:
        _give_up(came, f"bounced by mail: {recipient.status or meant}")
        return Effect.BOUNCED
    if reason is Reason.REFUSED_BY_POLICY:
        return Effect.REFUSED_BY_POLICY
    if why := _too_often(came.delivery):
        _give_up(came, f"bounced by mail: {why}")
        return Effect.TOO_OFTEN
    return Effect.SOFT


def _store(delivery: Delivery, meant: Verdict, reason: Reason | None) -> bool:
    """Store that a delivery came back; tell whether that is news: it is once for now, and once more for good."""
    values = {"verdict": meant, "reason": reason, "at": database.now()}
    query = LateBounce.insert(
        delivery=delivery.id,
        account=account_of(delivery),
        campaign=delivery.campaign_id,
        template=delivery.template_id,
        **values,
    ).on_conflict(
        conflict_target=(LateBounce.delivery,),
        preserve=(LateBounce.verdict, LateBounce.reason, LateBounce.at),
        where=LateBounce.reason.is_null() & EXCLUDED.reason.is_null(False),
    )
    return bool(list(query.returning(LateBounce.id).execute()))


def _too_often(delivery: Delivery) -> str | None:
    """Return why a person whose server refuses for now is given up; None: not yet."""
    for_now = LateBounce.select(LateBounce.delivery).where(LateBounce.reason.is_null())
    here = Delivery.id.in_(for_now)
    if delivery.enrolment_id is not None:
        steps = Delivery.select().where(here & (Delivery.enrolment == delivery.enrolment_id)).count()
        if steps >= TOO_MANY_STEPS:
            return f"{steps} steps of a sequence were refused for now"
    to_person = here & Delivery.address.in_(forms(delivery.address)) & Delivery.sent_at.is_null(False)
    at = [d.sent_at for d in Delivery.select(Delivery.sent_at).where(to_person).order_by(Delivery.sent_at)]
    if any(last - first <= WITHIN for first, last in zip(at, at[TOO_OFTEN - 1 :], strict=False)):
        return f"{TOO_OFTEN} mails in {WITHIN.days} days were refused for now"
    return None


def _give_up(came: Came, why: str) -> None:
    """Suppress the address as a refusal at once would: all of the person's sequences end as bounced."""
    delivery, now = came.delivery, database.now()
    about = (EnrolmentState.BOUNCED, now, Reason.RECIPIENT_REFUSED)
    ends(of_addresses([delivery.address]), *about)
    ends(Enrolment.id == delivery.enrolment_id, *about, origins=(EnrolmentState.FINISHED,))
    _suppress(came, why, now)


def _suppress(came: Came, why: str, now: dt.datetime) -> None:
    person = normalise(came.delivery.address)
    came.handoffs += stops.suppressed([(SuppressionKind.ADDRESS, person)], now)
    suppress(SuppressionKind.ADDRESS, [person], why, now)
    record_action(PROGRAM, "suppress", f"contact {came.delivery.contact_id}", now, why)


def _complained(came: Came) -> Effect:
    if not (own := _lock_person(came.delivery)):
        return Effect.NOTED
    now = database.now()
    lock_waiting(Delivery.contact.in_(own))
    _suppress(came, "called a mail spam", now)
    about = {"account_id": account_of(came.delivery), "campaign_id": came.delivery.campaign_id}
    why = f"the recipient of delivery {came.delivery.id} has called it spam, and is suppressed"
    database.after_commit(partial(alert, Alert.COMPLAINT, why, now, **about))
    return Effect.COMPLAINED


def _replied(came: Came) -> Effect:
    why = f"a reply to delivery {came.delivery.id} came"
    done = stops.replied([came.delivery.contact_id], PROGRAM, why)
    came.handoffs += done.handoffs
    return Effect.REPLIED if done.contact_ids else Effect.NOTED


def _unsubscribed(came: Came) -> Effect:
    unsubscribe.ask(came.delivery.id, Choice.NEVER, Way.MAIL)
    return Effect.UNSUBSCRIBED


def _put_off(came: Came) -> Effect:
    """Let the next step wait until the day that is named, or some days, unless it is due later anyway."""
    now, window, until = database.now(), SendingWindow.from_settings(settings()), came.found.until
    days = (until - window.local_date(now)).days if until is not None else WAIT_DAYS
    return put_off(came, due_at(now, max(days, 1), window, working_days=False))


def put_off(came: Came, again: dt.datetime) -> Effect:
    """Let the next step wait until `again` (UTC), unless it is due later anyway; in the caller's transaction."""
    which = Enrolment.id == came.delivery.enrolment_id
    if came.delivery.enrolment_id is None or not _lock_person(came.delivery):
        return Effect.NOTED
    lock_waiting(Delivery.enrolment == came.delivery.enrolment_id)
    database.lock_rows(Enrolment, which)
    enrolment, now = Enrolment.get(which), database.now()
    if enrolment.state != EnrolmentState.ACTIVE or enrolment.sent_at is None:
        return Effect.NOTED
    if enrolment.delivery_id is not None:
        return _hold_back(came, Delivery.id == enrolment.delivery_id, again)
    step = Step.get_or_none((Step.campaign == enrolment.campaign_id) & (Step.position == enrolment.position))
    due = due_of(enrolment, step, SendingWindow.from_settings(settings()))
    if due is None or due >= again:
        return Effect.NOTED
    Enrolment.update(due_at=again, updated_at=now).where(which).execute()
    return Effect.PUT_OFF


def _hold_back(came: Came, mail: Any, again: dt.datetime) -> Effect:
    """Let the next step's mail, which is on its way and not claimed, wait; its slot is free for others."""
    sooner = mail & (Delivery.not_before.is_null() | (Delivery.not_before < again))
    if transition(State.RESERVED, State.READY, sooner, cause=Cause.INBOUND, reason=Effect.PUT_OFF):
        came.handoffs.append(TRIGGER)
    held = Delivery.update(not_before=again).where(sooner & in_states(*NOT_CLAIMED)).execute()
    return Effect.PUT_OFF if held else Effect.NOTED


def _has_left(came: Came) -> Effect:
    enrolment_id = came.delivery.enrolment_id
    if enrolment_id is None or not _lock_person(came.delivery):
        return Effect.NOTED
    lock_waiting(Delivery.enrolment == enrolment_id)
    # Before what waits is cancelled: nobody has stopped it by hand.
    ended = ends(Enrolment.id == enrolment_id, EnrolmentState.STOPPED, database.now(), Reason.HAS_LEFT)
    if cancel_where(Delivery.enrolment == enrolment_id, Cause.INBOUND, Reason.HAS_LEFT):
        came.handoffs.append(TRIGGER)
    return Effect.ENDED if ended else Effect.NOTED


def _lock_person(delivery: Delivery) -> list[int]:
    """Lock the contacts of the person a delivery was to, and return their ids; none: they have been forgotten.

    Whoever picks for them, or forgets them, has locked them, too.
    """
    same = (Contact.id == delivery.contact_id) | Contact.address.in_(forms(delivery.address))
    rows = Contact.select(Contact.id, Contact.forgotten_at).where(same).order_by(Contact.id)
    locked = {contact.id: contact.forgotten_at for contact in database.for_update(rows)}
    return [] if locked.get(delivery.contact_id) is not None else [i for i, at in locked.items() if at is None]


_BY_KIND: Mapping[Kind, Callable[[Came], Effect]] = {
    Kind.BOUNCE: _bounced,
    Kind.COMPLAINT: _complained,
    Kind.REPLY: _replied,
    Kind.UNSUBSCRIBE: _unsubscribed,
    Kind.AUTOMATIC: _put_off,
    Kind.HAS_LEFT: _has_left,
}
