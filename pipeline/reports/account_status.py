"""How the accounts stand at this moment, each for itself: state, limit, health, rests. Reads only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from peewee import fn

from models import Delivery, SmtpAccount, State, database
from models.delivery import in_states
from pipeline.accounts.health import health_of
from pipeline.capacity import usage
from pipeline.reports.account_states import (
    AccountState,
    BounceStatus,
    Limited,
    bounces_of,
    limited,
    note,
    state_of,
    why_limit,
)
from pipeline.reports.mailboxes import MailboxStatus, mailbox_status
from pipeline.runtime.settings import settings
from pipeline.throttle.limits import is_resting
from pipeline.throttle.window import SendingWindow


@dataclass(frozen=True)
class HealthStatus:
    """How an account has done: its last attempts since it was switched on, as far as they tell something about it.

    Attributes:
        accepted: how many of them were accepted.
        attempts: how many there were: accepted, or charged to the account, the content or the recipient's site.
        rate: accepted / attempts, 0 to 1; null before the first.
    """

    accepted: int
    attempts: int
    rate: float | None


@dataclass(frozen=True)
class AccountStatus:
    """An account.

    Attributes:
        id: the account.
        name: what you call it.
        state: whether it sends.
        used: how many mails of today's limit are used up.
        limit: mails that it may send today.
        limit_because: why so many.
        health: how it has done.
        next_slot: when it sends next (UTC).
        note: why it is off, paused, rests, or may send less than its own limit.
        resting_until: until when it rests (UTC); null: it doesn't.
        rests_after: the failure after which it rests.
        limited: what its provider has lowered its limit to; null: nothing.
        bounces: how many of its last mails bounced.
        mailbox: how its mailbox is read; null: it has none, and bounces that come by mail are unseen.
    """

    id: int
    name: str
    state: AccountState
    used: int
    limit: int
    limit_because: str
    health: HealthStatus
    next_slot: dt.datetime | None
    note: str | None
    resting_until: dt.datetime | None
    rests_after: str | None
    limited: Limited | None
    bounces: BounceStatus
    mailbox: MailboxStatus | None


def accounts(account_ids: Collection[int] | None = None) -> tuple[AccountStatus, ...]:
    """Return how the accounts stand, by id: all that have not been removed, or these of them."""
    now, window = database.now(), SendingWindow.from_settings(settings())
    there = SmtpAccount.removed_at.is_null()
    which = there if account_ids is None else there & SmtpAccount.id.in_(list(account_ids))
    day, slots = window.local_date(now), _next_slots()
    found = SmtpAccount.select().where(which).order_by(SmtpAccount.id)
    return tuple(_account(account, now, day, window.zone, slots.get(account.id)) for account in found)


def _account(
    account: SmtpAccount, now: dt.datetime, day: dt.date, zone: ZoneInfo, next_slot: dt.datetime | None
) -> AccountStatus:
    health, rests = health_of(account), is_resting(account.cooling_until, now)
    return AccountStatus(
        id=account.id,
        name=account.name,
        state=state_of(account, now),
        used=usage.used_on(account.id, day),
        limit=usage.limit_of(account, day),
        limit_because=why_limit(account, day),
        health=HealthStatus(health.accepted, health.attempts, health.rate),
        next_slot=next_slot,
        note=note(account, now, zone),
        resting_until=account.cooling_until if rests else None,
        rests_after=account.rests_after if rests else None,
        limited=limited(account, day),
        bounces=bounces_of(account),
        mailbox=mailbox_status(account),
    )


def _next_slots() -> dict[int, dt.datetime | None]:
    """Return when each account sends next, of those that have a slot."""
    slots = Delivery.select(Delivery.account, fn.MIN(Delivery.send_at)).where(in_states(State.RESERVED))
    return {i: Delivery.send_at.python_value(at) for i, at in slots.group_by(Delivery.account).tuples()}
