"""How accounts and backlog stand: everything the throttle decides by, in a fixed number of statements; and slots
given back.

Reads through indexes: attempts of today, the last of each account, the head of the backlog. Nothing is a counter.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from peewee import SQL, fn

from models import COUNTS_AS_USED, Attempt, ChargedTo, Control, Delivery, EmailTemplate, SmtpAccount, State, database
from models.delivery import move

from .settings import settings
from .throttle import Account, Backlog, Slot, Waiting, jitter_share, limit_on
from .window import SendingWindow

_RESERVED = Delivery.state == State.RESERVED
_READY = Delivery.state == State.READY


@dataclass(frozen=True)
class Held:
    """An unclaimed slot as it is stored: its token, and which deliveries hold it."""

    token: str
    slot: Slot


def limit_of(account: SmtpAccount, day: dt.date) -> int:
    """Return an account's limit on a local date: its own or the default, with warm-up and quota."""
    limit = settings().mail_daily_limit if account.daily_limit is None else account.daily_limit
    warmup = None
    if account.warmup_start is not None and account.warmup_on is not None:
        warmup = (account.warmup_start, account.warmup_step or 0, account.warmup_on)
    quota = None if account.quota_limit is None else (account.quota_limit, account.quota_on)
    return limit_on(day, limit, warmup=warmup, quota=quota)


def used_on(account_id: int, day: dt.date) -> int:
    """Count an account's attempts on a local date that were accepted, are in doubt, or are claimed and still open."""
    return cast(int, _used_on(day).where(Attempt.account == account_id).count())


def last_claim_of(account_id: int) -> dt.datetime | None:
    """Return when an account last claimed a dot (UTC)."""
    return cast(
        "dt.datetime | None",
        Attempt.select(fn.MAX(Attempt.claimed_at)).where(Attempt.account == account_id).scalar(),
    )


def last_claim_on(day: dt.date) -> dt.datetime | None:
    """Return the last claim of any account on a local date (UTC)."""
    return cast("dt.datetime | None", _used_on(day).select(fn.MAX(Attempt.claimed_at)).scalar())


def _used_on(day: dt.date) -> Any:
    return Attempt.select().where((Attempt.local_on == day) & Attempt.outcome.in_(COUNTS_AS_USED))


def usable_accounts() -> Any:
    """Return the query of the accounts that the throttle sees: switched on, not removed, not paused."""
    return SmtpAccount.select().where(
        SmtpAccount.enabled & SmtpAccount.removed_at.is_null() & SmtpAccount.paused_at.is_null()
    )


def capacity(now: dt.datetime) -> int:
    """Return how many mails may still go today from all usable accounts."""
    return sum(a.left for a in accounts(now, {}) if not a.is_cooling(now))


def held_slots() -> dict[int, Held]:
    """Return the unclaimed slots, by account."""
    rows = list(Delivery.select().where(_RESERVED).order_by(Delivery.priority.desc(), Delivery.id))
    deliveries = dict(zip((d.id for d in rows), _as_waiting(rows), strict=True))
    by_account: dict[int, list[Delivery]] = defaultdict(list)
    for row in rows:
        by_account[row.account_id].append(row)
    return {
        account_id: Held(held[0].token, Slot(account_id, held[0].send_at, tuple(deliveries[d.id] for d in held)))
        for account_id, held in by_account.items()
    }


def accounts(now: dt.datetime, held: dict[int, Held]) -> list[Account]:
    """Return the usable accounts as they stand at `now`, with the slots in `held`."""
    day = SendingWindow.from_settings(settings()).local_date(now)
    used = dict(_used_on(day).select(Attempt.account, fn.COUNT(Attempt.id)).group_by(Attempt.account).tuples())
    sending = {row[0] for row in Delivery.select(Delivery.account).where(Delivery.state == State.SENDING).tuples()}
    of_account = Attempt.account == SmtpAccount.id
    last_claim = Attempt.select(fn.MAX(Attempt.claimed_at)).where(of_account & Attempt.claimed_at.is_null(False))
    last_attempt = (
        Attempt.select(fn.COALESCE(Attempt.finished_at, Attempt.claimed_at))
        .where(of_account)
        .order_by(Attempt.id.desc())
        .limit(1)
    )
    query = usable_accounts().select(SmtpAccount, last_claim.alias("last_claim"), last_attempt.alias("last_attempt"))
    to_time = Attempt.claimed_at.python_value
    return [
        Account(
            id=a.id,
            limit=limit_of(a, day),
            used=used.get(a.id, 0),
            last_attempt_at=to_time(a.last_attempt),
            last_claim_at=to_time(a.last_claim),
            cooling_until=a.cooling_until,
            sending=a.id in sending,
            slot=held[a.id].slot if a.id in held else None,
        )
        for a in query.order_by(SmtpAccount.id).objects()
    ]


def backlog(now: dt.datetime, end: dt.datetime | None, size: int, capacity: int) -> Backlog:
    """Return the head of what waits, at most `size`, and how many may go before `end` (None: now), at most
    `capacity`.
    """
    may_go = Delivery.not_before.is_null() | (Delivery.not_before <= now)
    head = list(_waiting().where(may_go).order_by(Delivery.priority.desc(), Delivery.id).limit(size))
    by_end = Delivery.not_before.is_null() | (Delivery.not_before < (end or now))
    count = _waiting().select(SQL("1")).where(by_end).limit(max(capacity, 1)).count()
    later = _waiting().select(fn.MIN(Delivery.not_before)).where(Delivery.not_before > now).scalar()
    return Backlog(tuple(_as_waiting(head)), count, cast("dt.datetime | None", later))


def something_could_go() -> bool:
    """Tell, in one query, whether a delivery waits that may go and an account has neither slot nor open claim."""
    now = database.now()
    return bool(Control.select(_a_delivery_waits(now) & _an_account_is_idle(now)).tuples().get()[0])


def could_change_anything(now: dt.datetime) -> bool:
    """Tell, in one query and without a lock, whether a trigger has anything to look at."""
    waits = fn.EXISTS(_waiting().select(SQL("1")))
    row = Control.select(Control.paused_at, Control.wake_at, waits.alias("waits")).objects().get()
    wake_is_due = row.wake_at is not None and row.wake_at <= now
    return row.paused_at is None and (wake_is_due or bool(row.waits))


def give_back(
    *,
    account_ids: Iterable[int] | None = None,
    template_ids: Iterable[int] | None = None,
    delivery_ids: Iterable[int] | None = None,
) -> list[int]:
    """Take unclaimed slots back, of all deliveries or of those named; return which are `ready` again. In the
    caller's transaction.
    """
    database.lock_throttle()
    which = _RESERVED
    for column, ids in (
        (Delivery.account, account_ids),
        (Delivery.template, template_ids),
        (Delivery.id, delivery_ids),
    ):
        if ids is not None:
            which &= column.in_(list(ids))
    return move(State.RESERVED, State.READY, which)


def _waiting() -> Any:
    """Return the query of what the throttle sees of the backlog; deliveries of paused templates are unseen."""
    return Delivery.select(Delivery).join(EmailTemplate).where(_READY & EmailTemplate.paused_at.is_null())


def _a_delivery_waits(now: dt.datetime) -> Any:
    may_go = Delivery.not_before.is_null() | (Delivery.not_before <= now)
    return fn.EXISTS(_waiting().select(SQL("1")).where(may_go))


def _an_account_is_idle(now: dt.datetime) -> Any:
    busy = Delivery.select(Delivery.account).where(Delivery.state.in_([State.RESERVED, State.SENDING]))
    rested = SmtpAccount.cooling_until.is_null() | (SmtpAccount.cooling_until <= now)
    return fn.EXISTS(usable_accounts().select(SQL("1")).where(rested & SmtpAccount.id.not_in(busy)))


def _as_waiting(rows: list[Delivery]) -> list[Waiting]:
    failed_by: dict[int, set[int]] = defaultdict(set)
    if rows:
        failed = (
            Attempt.select(Attempt.delivery, Attempt.account)
            .join(Delivery)
            .where(
                Attempt.delivery.in_([d.id for d in rows])
                & (Attempt.charged_to == ChargedTo.ACCOUNT)
                & (Attempt.finished_at >= Delivery.attempts_since)
            )
        )
        for delivery_id, account_id in failed.tuples():
            failed_by[delivery_id].add(account_id)
    return [
        Waiting(d.id, d.priority, frozenset(failed_by[d.id]), jitter_share(d.contact_id, d.template_id)) for d in rows
    ]
