"""A snapshot of accounts and backlog: everything the throttle decides by.

Reads: the control row, the accounts with their slots, and the size of the backlog in one `statement`; the head of the
backlog in two or more (`head`). All through indexes, so that the cost does not grow with what waits or with what was
sent, and all counted from rows: there are no stored counters. Writes nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from types import MappingProxyType
from typing import Any

from models import Delivery, State, database, json_rows
from models.delivery import in_states, of_ids
from pipeline.capacity import head, lanes, statement, usage
from pipeline.capacity.lanes import Lane
from pipeline.capacity.slots import StoredSlot
from pipeline.runtime.settings import settings
from pipeline.throttle.breaker import is_on_trial
from pipeline.throttle.decide import HeadSize, size_of_head
from pipeline.throttle.glance import glance
from pipeline.throttle.types import Account, Backlog, Campaign, Group, Rules, Slot, Waiting, senders_of
from pipeline.throttle.window import Clock, SendingWindow

#: What stands before a delivery is counted up to this in each lane.
COUNTED = 100_000


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
    """Return a snapshot taken in one statement, with a glance at the backlog (see `throttle.glance`): enough to tell
    whether anything is to change.
    """
    rows = statement.rows(now)
    campaigns = _campaigns_of(rows)
    top: dict[Group, int] = {}
    for lane in _lanes_of_today(rows, now, campaigns):
        group = head.group(lane, campaigns)
        top[group] = max(lane.priority or 0, top.get(group, 0))
    seen = _assembled(rows, now, campaigns)
    head_of_each, unseen = glance(top, seen.backlog.counts)
    return replace(seen, backlog=replace(seen.backlog, head=tuple(head_of_each), unseen=unseen))


def detailed(now: dt.datetime) -> Snapshot:
    """Return a snapshot with the head of the backlog: enough to decide who gets which slot."""
    rows = statement.rows(now)
    campaigns = _campaigns_of(rows)
    accounts = _assembled(rows, now, campaigns).accounts
    found = _lanes_of_today(rows, now, campaigns)
    have_slots = [row.delivery_id for row in rows if row.state == State.RESERVED]
    size = _size_of_head(accounts, found, now)
    if size.takers:
        # Nobody who gets a slot now may send the others.
        found = [lane for lane in found if senders_of(head.group(lane, campaigns), size.takers, campaigns)]
    seen = head.read(found, size, now, have_slots, campaigns)
    unseen = head.unseen(seen, _window(), now, accounts, campaigns)
    return _assembled(rows, now, campaigns, seen.deliveries, seen.failed_by, unseen)


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
    stands = statement.rows(now)
    campaigns = _campaigns_of(stands)
    coming = Delivery.select(*head.JUDGED_BY).where(
        in_states(State.SELECTED, State.CLEARED) & Delivery.template.not_in(statement.paused_templates()) & lanes.runs()
    )
    waiting = lanes.head(_lanes_of(stands), head.JUDGED_BY, None, number)
    rows = [*waiting, *lanes.in_order(coming).limit(number).namedtuples()]
    rows = sorted(rows, key=lambda row: (-row.priority, row.id))[:number]
    failed_by = usage.failed_by([row.id for row in rows])
    return [(head.waiting(row.id, row, failed_by, campaigns), row.not_before) for row in rows]


def stored_slots() -> dict[int, StoredSlot]:
    """Return the unclaimed slots, by account."""
    return outline(database.now()).stored


def something_could_go() -> bool:
    """Tell, in one query, whether a delivery waits that may go and an account has neither slot nor open claim."""
    seen = outline(database.now())
    idle = (a for a in seen.accounts if a.slot is None and not a.sending and not a.is_cooling(seen.now))
    open_now = [w.group for w in seen.backlog.head if _window().is_open(seen.now, *w.clock)]
    free = frozenset(account.id for account in idle)
    return any(senders_of(group, free, seen.backlog.campaigns) for group in open_now)


def without_common_hour(seen: Snapshot) -> list[Clock]:
    """Return the clocks of waiting deliveries that have no hour in common with the window."""
    clocks = {group.clock for group in seen.backlog.counts if group.clock != Clock()}
    return sorted(clock for clock in clocks if _window().soonest(seen.now, *clock) is None)


def ids_in_view(now: dt.datetime) -> list[int]:
    """Return the deliveries that a decision depends on: those that have a slot, and the head of the backlog."""
    rows = statement.rows(now)
    found = _lanes_of(rows)
    size = _size_of_head(_assembled(rows, now, _campaigns_of(rows)).accounts, found, now).size
    first = lanes.head(found, head.JUDGED_BY, now, size)
    return [row.delivery_id for row in rows if row.state == State.RESERVED] + [row.id for row in first]


def judge(delivery_ids: Sequence[int]) -> list[Waiting]:
    """Return these deliveries as the throttle sees them; raises if it can't process one."""
    rows = Delivery.select(*head.JUDGED_BY).where(of_ids(delivery_ids)).namedtuples()
    failed_by, campaigns = usage.failed_by(delivery_ids), _campaigns_of(statement.rows(database.now()))
    return [head.waiting(row.id, row, failed_by, campaigns) for row in rows]


def ahead_of(delivery: Waiting, now: dt.datetime) -> int:
    """Return how many deliveries that may go now stand before one, of those that the accounts may send that may send
    it.
    """
    rows = statement.rows(now)
    campaigns = _campaigns_of(rows)
    accounts = frozenset(account.id for account in _assembled(rows, now, campaigns).accounts)
    its = senders_of(delivery.group, accounts, campaigns)
    rivals = [lane for lane in _lanes_of(rows) if senders_of(head.group(lane, campaigns), its, campaigns)]
    place = delivery.priority, delivery.id
    return sum(lanes.more_urgent(dict.fromkeys(rivals, place), now, COUNTED).values())


def _lanes_of(rows: list[Any]) -> list[Lane]:
    return lanes.read(rows[0].lanes)


def _lanes_of_today(rows: list[Any], now: dt.datetime, campaigns: head.Campaigns) -> list[Lane]:
    window = _window()
    due = (lane for lane in _lanes_of(rows) if lane.priority is not None)
    return [lane for lane in due if window.opens_today(now, *head.group(lane, campaigns).clock)]


def _campaigns_of(rows: list[Any]) -> dict[int, Campaign]:
    senders: dict[int, set[int]] = {}
    for campaign_id, account_id in json_rows.rows_of(rows[0].senders):
        senders.setdefault(campaign_id, set()).add(account_id)
    return {
        campaign_id: Campaign(campaign_id, frozenset(senders.get(campaign_id, ())), limit, used, hours)
        for campaign_id, limit, hours, used in json_rows.rows_of(rows[0].campaigns)
    }


def _assembled(
    rows: list[Any],
    now: dt.datetime,
    campaigns: head.Campaigns,
    deliveries: Sequence[Waiting] = (),
    failed_by: head.FailedBy = MappingProxyType({}),
    unseen: Mapping[Group, int] = MappingProxyType({}),
) -> Snapshot:
    window, control = _window(), rows[0]
    today = window.local_date(now)
    last_transaction = usage.to_time(control.last_transaction)
    counts: dict[Group, int] = {}
    for lane in _lanes_of(rows):
        if lane.count:
            group = head.group(lane, campaigns)
            counts[group] = counts.get(group, 0) + lane.count
    stored: dict[int, StoredSlot] = {}
    accounts = []
    for account_id, its_rows in groupby((r for r in rows if r.account_id is not None), key=lambda r: r.account_id):
        of_account = list(its_rows)
        holders = [r for r in of_account if r.state == State.RESERVED]
        if holders:
            held = tuple(head.waiting(r.delivery_id, r, failed_by, campaigns) for r in holders)
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
        backlog=Backlog(tuple(deliveries), counts, unseen, usage.to_time(control.next_not_before), campaigns),
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
