"""Stage 4, the throttle: the head of the backlog gets an account and a minute.

A message to this stage is a trigger, not a ticket: whatever ids it carries, the stage takes the head of the whole
backlog.
Reads: accounts, slots and backlog as they stand. Writes: slots (`ready` → `reserved`), slots advanced or
pre-empted, and `wake_at`; `skipped` for a contact's zone that has no hour in common with the window, or is not known
here. Hands on: each new slot to *deliver*, at its time; a wake-up to itself.
Trouble: one stage at a time decides, under one lock; what was reserved and not published, the sweep publishes. A
delivery that can't be judged is `failed` (`fault`) with its dead letter, and the others go on.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Iterable, Sequence

from peewee import fn

from models import Campaign, Cause, Control, Delivery, Reason, SmtpAccount, State, address, database, transition
from models.control import ONLY
from models.delivery import by_id, in_states, of_ids
from pipeline.capacity import snapshot
from pipeline.capacity.slots import StoredSlot
from pipeline.capacity.snapshot import Snapshot
from pipeline.flow import Handoff, Stage
from pipeline.runtime import faults, waiting
from pipeline.runtime.failpoints import failpoint
from pipeline.runtime.settings import settings
from pipeline.throttle.decide import decide
from pipeline.throttle.types import Decision, Rules, Slot
from pipeline.throttle.window import Clock, SendingWindow, is_known

#: Why a slot went back: a more urgent delivery has it now.
PRE_EMPTED = "pre_empted"


def reserve(_ids: Sequence[int] = ()) -> list[Handoff]:
    """Reserve what can be reserved now.

    Returns:
        A handoff to *deliver* for each slot that is new or has changed, and a wake-up when the next moment that matters
        has moved nearer.
    """
    try:
        return _run()
    except Exception as error:
        if waiting.what_is_away(error) or not (given_up := _give_up_what_cannot_be_judged()):
            raise
        return given_up + _run()


def _run() -> list[Handoff]:
    # Look before taking the lock: most triggers at a full day, in a closed window or under a long backlog change
    # nothing, and this is all they cost.
    seen = snapshot.outline(database.now())
    if clocks := snapshot.without_common_hour(seen):
        _skip(clocks)
        seen = snapshot.outline(database.now())
    if not _changes_anything(seen, _decide(seen)):
        return []
    with database.transaction():
        database.lock_throttle()
        seen = snapshot.detailed(database.now())
        decision = _decide(seen)
        if not _changes_anything(seen, decision):
            return []
        displaced = _pre_empt(decision.pre_empted, seen.stored)
        handoffs = _store(decision, seen, displaced)
        failpoint("reserve:wrote")
    return handoffs


def _decide(seen: Snapshot) -> Decision:
    return decide(
        seen.accounts,
        seen.backlog,
        seen.now,
        SendingWindow.from_settings(settings()),
        Rules.from_settings(settings()),
        last_transaction_today=seen.last_transaction_today,
        advanced_at=seen.advanced_at,
    )


def _changes_anything(seen: Snapshot, decision: Decision) -> bool:
    return not seen.paused and (decision.changes_slots or _wake_moves(decision.wake_at, seen))


def _wake_moves(wake_at: dt.datetime | None, seen: Snapshot) -> bool:
    """Tell whether the next moment that matters is nearer than the one whose wake-up is under way, or that one has
    passed.
    """
    if seen.wake_at is not None and seen.wake_at <= seen.now:
        return True
    return wake_at is not None and (seen.wake_at is None or wake_at < seen.wake_at)


def _skip(clocks: Sequence[Clock]) -> None:
    """Skip what waits by these clocks and would wait for ever: it was let in under other settings, or its zone is not
    known here.
    """
    with database.transaction():
        for zone, hours in clocks:
            which = Delivery.timezone == zone
            if hours:
                which &= Delivery.campaign.in_(Campaign.select(Campaign.id).where(Campaign.hours == hours))
            reason = Reason.NO_COMMON_WINDOW if not zone or is_known(zone) else Reason.UNKNOWN_TIME_ZONE
            database.lock_rows(Delivery, which & in_states(State.READY))
            transition(State.READY, State.SKIPPED, which, cause=Cause.RESERVE, reason=reason)


def _pre_empt(slots: Sequence[Slot], stored: dict[int, StoredSlot]) -> dict[int, int]:
    """Put the holders of these accounts' slots back; return those that were still unclaimed, by account."""
    if not slots:
        return {}
    holder_of = {s.account_id: stored[s.account_id].slot.deliveries[0].id for s in slots}
    theirs = Delivery.token.in_([stored[a].token for a in holder_of])
    database.lock_rows(Delivery, theirs)
    gone = set(transition(State.RESERVED, State.READY, theirs, cause=Cause.RESERVE, reason=PRE_EMPTED))
    return {account_id: holder for account_id, holder in holder_of.items() if holder in gone}


def _store(decision: Decision, seen: Snapshot, displaced: dict[int, int]) -> list[Handoff]:
    new = [s for s in decision.pre_empted if s.account_id in displaced] + list(decision.reserved)
    handoffs = _reserve(new) + _advance(decision.advanced, seen.stored)
    changes: dict[str, dt.datetime | None] = {}
    if any(s.send_at < seen.stored[s.account_id].slot.send_at for s in (*decision.advanced, *decision.pre_empted)):
        changes["advanced_at"] = seen.now
    if _wake_moves(decision.wake_at, seen):
        changes["wake_at"] = decision.wake_at
        if decision.wake_at is not None:
            handoffs.append(Handoff(Stage.RESERVE, not_before=decision.wake_at))
    if changes:
        Control.update(**changes).where(Control.id == ONLY).execute()
    return handoffs


def _reserve(slots: Sequence[Slot]) -> list[Handoff]:
    if not slots:
        return []
    token_of = {s.account_id: secrets.token_hex(16) for s in slots}
    slot_of = {w.id: s for s in slots for w in s.deliveries}
    domain_of = _sender_domains(token_of)
    database.lock_rows(Delivery, of_ids(slot_of))
    reserved = set(
        transition(
            State.READY,
            State.RESERVED,
            of_ids(slot_of),
            cause=Cause.RESERVE,
            account={i: s.account_id for i, s in slot_of.items()},
            send_at=by_id({i: s.send_at for i, s in slot_of.items()}, Delivery.send_at),
            token=by_id({i: token_of[s.account_id] for i, s in slot_of.items()}),
            # Minted once: all attempts carry the same Message-ID, so a recipient's server can tell a second copy.
            message_id=fn.COALESCE(
                Delivery.message_id,
                by_id({i: f"<{secrets.token_hex(16)}@{domain_of[s.account_id]}>" for i, s in slot_of.items()}),
            ),
        )
    )
    return _to_deliver((s, [w.id for w in s.deliveries if w.id in reserved], token_of[s.account_id]) for s in slots)


def _advance(slots: Sequence[Slot], stored: dict[int, StoredSlot]) -> list[Handoff]:
    """Advance slots; a new token makes the message that was sent for the old time do nothing."""
    if not slots:
        return []
    old = [stored[s.account_id].token for s in slots]
    token_of = {s.account_id: secrets.token_hex(16) for s in slots}
    slot_of = {w.id: s for s in slots for w in s.deliveries}
    database.lock_rows(Delivery, of_ids(slot_of))
    rows = (
        Delivery.update(
            send_at=by_id({i: s.send_at for i, s in slot_of.items()}, Delivery.send_at),
            token=by_id({i: token_of[s.account_id] for i, s in slot_of.items()}),
            updated_at=database.now(),
        )
        .where(of_ids(slot_of) & (Delivery.state == State.RESERVED) & Delivery.token.in_(old))
        .returning(Delivery.id)
        .execute()
    )
    moved = {row.id for row in rows}
    return _to_deliver((s, [w.id for w in s.deliveries if w.id in moved], token_of[s.account_id]) for s in slots)


def _to_deliver(slots: Iterable[tuple[Slot, list[int], str]]) -> list[Handoff]:
    return [Handoff(Stage.DELIVER, ids, not_before=slot.send_at, slot_token=token) for slot, ids, token in slots if ids]


def _sender_domains(account_ids: Iterable[int]) -> dict[int, str]:
    rows = SmtpAccount.select(SmtpAccount.id, SmtpAccount.from_address).where(SmtpAccount.id.in_(list(account_ids)))
    return {a.id: address.normalise_domain(a.from_address.rpartition("@")[2]) for a in rows}


def _give_up_what_cannot_be_judged() -> list[Handoff]:
    """Look at each delivery that a decision depends on, and give up those that raise; return them to *record
    outcome*.
    """

    def judge(delivery_ids: Sequence[int]) -> list[Handoff]:
        snapshot.judge(delivery_ids)
        return []

    return faults.isolated(judge, snapshot.ids_in_view(database.now()), faults.give_up_delivery)
