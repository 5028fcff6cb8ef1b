"""Stage 4, the throttle: the head of the backlog gets an account and a minute.

A message to this stage is a trigger, not a ticket: whatever ids it carries, the stage takes the head of the whole
backlog.
Reads: accounts, slots and backlog as they stand. Writes: slots (`ready` → `reserved`), slots brought forward or
handed over, and `wake_at`. Hands on: each new slot to *deliver*, at its time; a wake-up to itself.
Trouble: one stage at a time decides, under one lock; what was reserved and not published is the sweep's.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from peewee import fn

from models import Control, Delivery, SmtpAccount, State, database
from models.control import ONLY, control
from models.delivery import by_id, move, of_ids

from . import address, logs, standing
from .flow import Handoff, Stage
from .settings import settings
from .standing import Held
from .throttle import Decision, Rules, Slot, decide
from .window import SendingWindow


def run() -> list[Handoff]:
    """Reserve what can be reserved now.

    Returns:
        A handoff to *deliver* for each slot that is new or has changed, and a wake-up when the next moment that matters
        has moved nearer.
    """
    now = database.now()
    if not standing.could_change_anything(now):
        return []
    # Look before taking the lock: most triggers at a full day or in a closed window change nothing.
    decision = _look(now).decision
    if not (decision.changes_slots or _wake_moves(decision.wake_at, now)):
        return []
    with database.transaction():
        database.lock_throttle()
        now = database.now()
        handoffs = _store(_look(now), now)
    logs.moved(Stage.RESERVE, [i for handoff in handoffs for i in handoff.ids], State.RESERVED)
    return handoffs


@dataclass(frozen=True)
class Look:
    """A decision and the slots it was made against."""

    decision: Decision
    held: dict[int, Held]


def _look(now: dt.datetime) -> Look:
    """Read how everything stands and decide; changes nothing."""
    window = SendingWindow.from_settings(settings())
    rules = Rules.from_settings(settings())
    held = standing.held_slots()
    accounts = standing.accounts(now, held)
    capacity = sum(a.left for a in accounts if not a.is_cooling(now))
    free = sum(min(a.left, rules.list_size) for a in accounts if a.slot is None and not a.sending)
    end = window.day_end(now) if window.contains(now) else None
    # One more than can be reserved tells whether something is left over.
    backlog = standing.backlog(now, end, free + len(held) + 1, capacity)
    decision = decide(
        accounts,
        backlog,
        now,
        window,
        rules,
        last_claim_today=standing.last_claim_on(window.local_date(now)),
        moved_at=control().replanned_at,
    )
    return Look(decision, held)


def _store(look: Look, now: dt.datetime) -> list[Handoff]:
    decision = look.decision
    displaced = _take_over(decision.handed_over, look.held)
    new = [s for s in decision.handed_over if s.account_id in displaced] + list(decision.reserved)
    handoffs = _reserve(new) + _move(decision.moved, look.held)
    if decision.moved:
        Control.update(replanned_at=now).where(Control.id == ONLY).execute()
    if _wake_moves(decision.wake_at, now):
        Control.update(wake_at=decision.wake_at).where(Control.id == ONLY).execute()
        if decision.wake_at is not None:
            handoffs.append(Handoff(Stage.RESERVE, not_before=decision.wake_at))
    return handoffs


def _take_over(slots: Sequence[Slot], held: dict[int, Held]) -> set[int]:
    """Put the holders of these accounts' slots back; return the accounts whose slot was still unclaimed."""
    if not slots:
        return set()
    tokens = [held[s.account_id].token for s in slots]
    gone = set(move(State.RESERVED, State.READY, Delivery.token.in_(tokens)))
    return {s.account_id for s in slots if held[s.account_id].slot.deliveries[0].id in gone}


def _reserve(slots: Sequence[Slot]) -> list[Handoff]:
    if not slots:
        return []
    token_of = {s.account_id: secrets.token_hex(16) for s in slots}
    slot_of = {w.id: s for s in slots for w in s.deliveries}
    domain_of = _sender_domains(token_of)
    reserved = set(
        move(
            State.READY,
            State.RESERVED,
            of_ids(slot_of),
            account=by_id({i: s.account_id for i, s in slot_of.items()}),
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


def _move(slots: Sequence[Slot], held: dict[int, Held]) -> list[Handoff]:
    """Bring slots forward; a new token makes the message that was sent for the old time do nothing."""
    if not slots:
        return []
    old = [held[s.account_id].token for s in slots]
    token_of = {s.account_id: secrets.token_hex(16) for s in slots}
    slot_of = {w.id: s for s in slots for w in s.deliveries}
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


def _wake_moves(wake_at: dt.datetime | None, now: dt.datetime) -> bool:
    """Tell whether the next moment that matters is nearer than the one whose wake-up is under way, or that one has
    passed.
    """
    stored = control().wake_at
    if stored is not None and stored <= now:
        return True
    return wake_at is not None and (stored is None or wake_at < stored)


def _sender_domains(account_ids: Iterable[int]) -> dict[int, str]:
    rows = SmtpAccount.select(SmtpAccount.id, SmtpAccount.from_address).where(SmtpAccount.id.in_(list(account_ids)))
    return {a.id: address.normalise_domain(a.from_address.rpartition("@")[2]) for a in rows}
