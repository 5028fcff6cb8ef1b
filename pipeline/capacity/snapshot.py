"""A snapshot of accounts and backlog: everything the throttle decides by.

Reads: the control row, the accounts with their slots, and the size of the backlog in one `statement`; the head of the
backlog in two or more (`head`). All through indexes, so that the cost does not grow with what waits or with what was
sent, and all counted from rows: there are no stored counters. Writes nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from typing import Any

from models import Delivery, State, database
from models.delivery import in_states, of_ids
from pipeline.capacity import head, lanes, statement, usage
from pipeline.capacity.lanes import Lane
from pipeline.capacity.slots import StoredSlot
from pipeline.runtime.settings import settings
from pipeline.throttle.breaker import is_on_trial
from pipeline.throttle.decide import HeadSize, size_of_head
from pipeline.throttle.types import Account, Backlog, Rules, Slot, Waiting
from pipeline.throttle.window import SendingWindow


@dataclass(frozen=True)
class Snapshot:
    """Accounts and backlog at `now` (UTC).

    Attributes:
        paused: everything is paused.
        wake_at: the moment for which a wake-up is under way.
        advanced_at: when slots were last advanced.
        last_transaction_today: of any account, on the local date of `now`.
        accounts: those that are switched on, not removed and not paused, with their slots.
        stored: the slots as they are stored, by account.
        backlog: what waits; without the deliveries of paused templates.
    """

    now: dt.datetime
    paused: bool
    wake_at: dt.datetime | None
    advanced_at: dt.datetime | None
    last_transaction_today: dt.datetime | None
    accounts: tuple[Account, ...]
    stored: dict[int, StoredSlot]
    backlog: Backlog


def outline(now: dt.datetime) -> Snapshot:
    """Return a snapshot taken in one statement. Of the backlog's head it has only each zone's highest priority: enough
    to tell whether anything is to change.
    """
    rows = statement.rows(now)
    top: dict[str, int] = {}
    for lane in _lanes_of_today(rows, now):
        top[lane.zone] = max(lane.priority or 0, top.get(lane.zone, 0))
    return _assembled(rows, now, [Waiting(0, priority, zone=zone) for zone, priority in top.items()])


def detailed(now: dt.datetime) -> Snapshot:
    """Return a snapshot with the head of the backlog: enough to decide who gets which slot."""
    rows = statement.rows(now)
    accounts = _assembled(rows, now).accounts
    found = _lanes_of_today(rows, now)
    have_slots = [row.delivery_id for row in rows if row.state == State.RESERVED]
    seen = head.read(found, _size_of_head(accounts, found, now), now, have_slots)
    unseen = head.unseen(seen, _window(), now, sum(a.left for a in accounts))
    return _assembled(rows, now, seen.deliveries, seen.failed_by, unseen)


def backlog_from(now: dt.datetime, size: int) -> list[tuple[Waiting, dt.datetime | None]]:
    """Return the first deliveries that the throttle sees, or is going to see after the first stages, each with its own
    `not_before`, also those that may not go yet: `size` that no account has failed, and the failed ones among them.
    """
    found, number = _first(now, size), size
    while len(found) == number and (missing := size - sum(not w.failed_by for w, _ in found)) > 0:
        number += missing
        found = _first(now, number)
    return found


def _first(now: dt.datetime, number: int) -> list[tuple[Waiting, dt.datetime | None]]:
    coming = Delivery.select(*head.JUDGED_BY).where(
        in_states(State.SELECTED, State.CLEARED) & Delivery.template.not_in(statement.paused_templates())
    )
    waiting = lanes.head(_lanes_of(statement.rows(now)), head.JUDGED_BY, None, number)
    rows = [*waiting, *lanes.in_order(coming).limit(number).namedtuples()]
    rows = sorted(rows, key=lambda row: (-row.priority, row.id))[:number]
    failed_by = usage.failed_by([row.id for row in rows])
    return [(head.waiting(row.id, row, failed_by), row.not_before) for row in rows]


def stored_slots() -> dict[int, StoredSlot]:
    """Return the unclaimed slots, by account."""
    return outline(database.now()).stored


def capacity(now: dt.datetime) -> int:
    """Return how many mails may still go today from all usable accounts."""
    return sum(a.left for a in outline(now).accounts if not a.is_cooling(now))


def something_could_go() -> bool:
    """Tell, in one query, whether a delivery waits that may go and an account has neither slot nor open claim."""
    seen = outline(database.now())
    idle = (a for a in seen.accounts if a.slot is None and not a.sending and not a.is_cooling(seen.now))
    return any(_window().is_open(seen.now, w.zone) for w in seen.backlog.head) and any(idle)


def without_common_hour(seen: Snapshot) -> list[str]:
    """Return the zones of waiting deliveries that have no hour in common with the window."""
    return [zone for zone in seen.backlog.counts if zone and _window().soonest(seen.now, zone) is None]


def ids_in_view(now: dt.datetime) -> list[int]:
    """Return the deliveries that a decision depends on: those that have a slot, and the head of the backlog."""
    rows = statement.rows(now)
    found = _lanes_of(rows)
    size = _size_of_head(_assembled(rows, now).accounts, found, now).size
    first = lanes.head(found, head.JUDGED_BY, now, size)
    return [row.delivery_id for row in rows if row.state == State.RESERVED] + [row.id for row in first]


def judge(delivery_ids: Sequence[int]) -> list[Waiting]:
    """Return these deliveries as the throttle sees them; raises if it can't process one."""
    rows = Delivery.select(*head.JUDGED_BY).where(of_ids(delivery_ids)).namedtuples()
    failed_by = usage.failed_by(delivery_ids)
    return [head.waiting(row.id, row, failed_by) for row in rows]


def _lanes_of(rows: list[Any]) -> list[Lane]:
    return lanes.read(rows[0].lanes)


def _lanes_of_today(rows: list[Any], now: dt.datetime) -> list[Lane]:
    return [lane for lane in _lanes_of(rows) if lane.priority is not None and _window().opens_today(now, lane.zone)]


def _assembled(
    rows: list[Any],
    now: dt.datetime,
    deliveries: Sequence[Waiting] = (),
    failed_by: head.FailedBy = MappingProxyType({}),
    unseen: Mapping[str, int] = MappingProxyType({}),
) -> Snapshot:
    window, control = _window(), rows[0]
    today = window.local_date(now)
    last_transaction = usage.to_time(control.last_transaction)
    counts: dict[str, int] = {}
    for lane in _lanes_of(rows):
        if lane.count:
            counts[lane.zone] = counts.get(lane.zone, 0) + lane.count
    stored: dict[int, StoredSlot] = {}
    accounts = []
    for account_id, group in groupby((r for r in rows if r.account_id is not None), key=lambda r: r.account_id):
        of_account = list(group)
        holders = [r for r in of_account if r.state == State.RESERVED]
        if holders:
            held = tuple(head.waiting(r.delivery_id, r, failed_by) for r in holders)
            stored[account_id] = StoredSlot(holders[0].token, Slot(account_id, holders[0].send_at, held))
        is_sending = any(r.state == State.SENDING for r in of_account)
        accounts.append(_account(of_account[0], today, stored.get(account_id), is_sending=is_sending))
    return Snapshot(
        now=now,
        paused=control.paused_at is not None,
        wake_at=control.wake_at,
        advanced_at=control.advanced_at,
        last_transaction_today=last_transaction
        if last_transaction and window.local_date(last_transaction) == today
        else None,
        accounts=tuple(accounts),
        stored=stored,
        backlog=Backlog(tuple(deliveries), counts, unseen, usage.to_time(control.next_not_before)),
    )


def _account(row: Any, today: dt.date, stored: StoredSlot | None, *, is_sending: bool) -> Account:
    last_transaction = usage.to_time(row.last_transaction_of_account)
    tries_quota = row.quota_at is not None and (last_transaction is None or last_transaction <= row.quota_at)
    return Account(
        id=row.account_id,
        limit=usage.limit_of(row, today),
        used=row.used,
        last_attempt_at=usage.to_time(row.last_attempt_of_account),
        last_transaction_at=last_transaction,
        cooling_until=row.cooling_until,
        sending=is_sending,
        slot=stored.slot if stored else None,
        on_trial=is_on_trial(row.failures_in_row) or tries_quota,
    )


def _size_of_head(accounts: Sequence[Account], found: list[Lane], now: dt.datetime) -> HeadSize:
    top = max((lane.priority for lane in found if lane.priority is not None), default=0)
    return size_of_head(accounts, top, now, Rules.from_settings(settings()))


def _window() -> SendingWindow:
    return SendingWindow.from_settings(settings())
