"""The forecast: the throttle driven through time, if nothing but the clock changes. Pure.

What is due is sent, every send asks the throttle again, and so does each moment that it wants to be woken at: as the
stages do it, without a database. `slowpost plan`, `slowpost why` and the simulations in `benchmarks/` are built on it.
"""

from __future__ import annotations

import bisect
import datetime as dt
import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from pipeline.throttle.decide import HeadSize, decide, size_of_head
from pipeline.throttle.types import (
    Account,
    Backlog,
    Campaign,
    Decision,
    Group,
    Rules,
    Waiting,
    senders_of,
)
from pipeline.throttle.window import SendingWindow


@dataclass(frozen=True)
class Planned:
    """A mail that is going to be sent: when (UTC), from which account."""

    send_at: dt.datetime
    account_id: int
    delivery: Waiting


class Publisher(Protocol):
    """What puts more onto the route in the course of time: the batch publisher."""

    def next_at(self, at: dt.datetime) -> dt.datetime:
        """Return when it runs next after `at` (UTC)."""

    def publish(self, forecast: Forecast) -> Iterable[Waiting]:
        """Return what it puts onto the route when the forecast has come so far."""

    def sent(self, planned: Planned) -> None:
        """Take note of a mail that has been sent."""


class Forecast:
    """Accounts and backlog as they are going to stand.

    Attributes:
        now: as far as it has come (UTC).
        window: when sending is allowed.
        rules: the settings that matter.
        accounts: by id.
        campaigns: those that run, by id.
        publisher: what puts more onto the route.
        waiting: how many deliveries wait, in all groups.
    """

    def __init__(
        self,
        accounts: Iterable[Account],
        now: dt.datetime,
        window: SendingWindow,
        rules: Rules,
        limit_on: Callable[[int, dt.date], int],
        *,
        last_transaction_today: dt.datetime | None = None,
        advanced_at: dt.datetime | None = None,
        campaigns: Iterable[Campaign] = (),
        publisher: Publisher | None = None,
    ) -> None:
        """Start with what stands at `now`; `limit_on` tells an account's limit on a local date."""
        self.accounts = {a.id: a for a in accounts}
        self.campaigns = {c.id: c for c in campaigns}
        self.now = now
        self.window, self.rules, self._limit_on = window, rules, limit_on
        self._date, self._next_midnight = window.local_date(now), window.next_midnight(now)
        self._last_transaction, self._advanced_at = last_transaction_today, advanced_at
        self._wake_at: dt.datetime | None = None
        self.publisher = publisher
        self._publishes_at = publisher.next_at(now) if publisher is not None else None
        # On their way through the first stages: they come behind what is due at the same time.
        self._picked: list[Waiting] = []
        # Each group's deliveries, the most urgent at the end; and those whose own time has not come.
        self._lanes: dict[Group, list[Waiting]] = {}
        self._later: list[tuple[dt.datetime, int, Waiting]] = []

    @property
    def waiting(self) -> int:
        """How many deliveries wait, in all groups."""
        return len(self._later) + sum(map(len, self._lanes.values()))

    def add(self, deliveries: Iterable[Waiting], not_before: dt.datetime | None = None) -> None:
        """Let deliveries wait, from `not_before` on; `run` asks the throttle about them first."""
        for delivery in deliveries:
            if not_before is not None and not_before > self.now:
                heapq.heappush(self._later, (not_before, delivery.id, delivery))
            else:
                bisect.insort(self._lanes.setdefault(delivery.group, []), delivery, key=_from_the_end)

    def on_its_way(self) -> Counter[Group]:
        """Count what could go today, and what holds a slot, by group."""
        end, found = self.window.day_end(self.now), Counter[Group]()
        for group, lane in self._lanes.items():
            found[group] += len(lane)
        for not_before, _, delivery in self._later:
            found[delivery.group] += not_before < end
        for group in [group for group in found if not self.window.opens_today(self.now, *group.clock)]:
            del found[group]
        for account in self.accounts.values():
            for delivery in account.slot.deliveries if account.slot else ():
                found[delivery.group] += 1
        return found

    def run(self, until: dt.datetime) -> Iterator[Planned]:
        """Yield what is sent before `until`, and go on to that time."""
        self._ask()
        while (at := self._next_event()) is not None and at < until:
            self.go_to(at)
            asks = self._wake_at is not None and self._wake_at <= at
            if self.publisher is not None and self._publishes_at == at:
                self._picked = list(self.publisher.publish(self))
                self._publishes_at = self.publisher.next_at(at)
            due = min((a for a in self.accounts.values() if a.slot), key=_due, default=None)
            if due is not None and due.slot is not None and due.slot.send_at <= at:
                yield from self._send(due)
                asks = True
            if asks:
                self._ask()
            if self._picked and self._next_event() != at:
                self.add(self._picked)
                self._picked = []
                self._ask()
        self.go_to(max(self.now, until))

    def attempt(self, account: Account, _delivery: Waiting) -> tuple[Account, Waiting | None]:
        """Return how an account stands after an attempt at `now`, and the delivery if it has to go again. Here
        everything is accepted.
        """
        used = account.used + 1
        return replace(account, used=used, last_transaction_at=self.now, last_attempt_at=self.now), None

    def _send(self, account: Account) -> Iterator[Planned]:
        assert account.slot is not None
        yield from self.send(replace(account, slot=None), account.slot.deliveries)

    def send(self, account: Account, deliveries: Iterable[Waiting]) -> Iterator[Planned]:
        """Yield deliveries as an account, which has no slot, sends them now."""
        for delivery in deliveries:
            used = account.used
            account, again = self.attempt(account, delivery)
            self._count(delivery.group.campaign, account.used - used)
            if account.last_transaction_at == self.now:
                self._last_transaction = self.now
            if again is None:
                planned = Planned(self.now, account.id, delivery)
                if self.publisher is not None:
                    self.publisher.sent(planned)
                yield planned
            else:
                self.add([again])
        self.accounts[account.id] = account

    def take(self) -> list[Waiting]:
        """Take out what could go today, the most urgent first, also what has a slot."""
        found: list[Waiting] = []
        for account in list(self.accounts.values()):
            found += account.slot.deliveries if account.slot else ()
            self.accounts[account.id] = replace(account, slot=None)
        for group in [group for group in self._lanes if self.window.opens_today(self.now, *group.clock)]:
            found += self._lanes.pop(group)
        return sorted(found, key=_from_the_end, reverse=True)

    def _count(self, campaign_id: int | None, used: int) -> None:
        if campaign_id is not None and (campaign := self.campaigns.get(campaign_id)) is not None:
            self.campaigns[campaign_id] = replace(campaign, used=campaign.used + used)

    def _next_event(self) -> dt.datetime | None:
        events = [a.slot.send_at for a in self.accounts.values() if a.slot]
        events += [at for at in (self._wake_at, self._publishes_at) if at is not None]
        return max(min(events), self.now) if events else None

    def go_to(self, at: dt.datetime) -> None:
        """Let time pass until `at` (UTC)."""
        self.now = at
        if at >= self._next_midnight:
            self._date, self._next_midnight = self.window.local_date(at), self.window.next_midnight(at)
            self._last_transaction = None
            for account in self.accounts.values():
                limit = self._limit_on(account.id, self._date)
                self.accounts[account.id] = replace(account, limit=limit, used=0)
            self.campaigns = {i: replace(campaign, used=0) for i, campaign in self.campaigns.items()}
        while self._later and self._later[0][0] <= at:
            self.add([heapq.heappop(self._later)[2]])

    def _ask(self) -> None:
        accounts = list(self.accounts.values())
        decision = decide(
            accounts,
            self._backlog(accounts),
            self.now,
            self.window,
            self.rules,
            last_transaction_today=self._last_transaction,
            advanced_at=self._advanced_at,
        )
        if self._wake_at is None or self._wake_at <= self.now or (decision.wake_at or self._wake_at) < self._wake_at:
            self._wake_at = decision.wake_at
        self._apply(decision)

    def _apply(self, decision: Decision) -> None:
        for slot in decision.pre_empted:
            held = self.accounts[slot.account_id].slot
            assert held is not None
            self.add(held.deliveries)
        for slot in (*decision.reserved, *decision.pre_empted):
            for delivery in slot.deliveries:
                lane = self._lanes[delivery.group]
                del lane[bisect.bisect_left(lane, _from_the_end(delivery), key=_from_the_end)]
        for slot in (*decision.advanced, *decision.pre_empted):
            before = self.accounts[slot.account_id].slot
            if before is not None and slot.send_at < before.send_at:
                self._advanced_at = self.now
        for slot in (*decision.reserved, *decision.advanced, *decision.pre_empted):
            self.accounts[slot.account_id] = replace(self.accounts[slot.account_id], slot=slot)

    def _backlog(self, accounts: list[Account]) -> Backlog:
        enough = max(1, sum(a.left for a in accounts))
        counts = {group: min(len(lane), enough) for group, lane in self._lanes.items() if lane}
        for not_before, _, delivery in self._later if self.window.contains(self.now) else ():
            if not_before < self.window.day_end(self.now):
                counts[delivery.group] = counts.get(delivery.group, 0) + 1
        head, unseen = self._head(accounts)
        next_not_before = self._later[0][0] if self._later else None
        return Backlog(tuple(head), counts, unseen, next_not_before, self.campaigns)

    def _head(self, accounts: list[Account]) -> tuple[list[Waiting], dict[Group, int]]:
        """Return the head, and how many more wait whose clocks open later today."""
        lanes = {g: lane for g, lane in self._lanes.items() if lane and self.window.opens_today(self.now, *g.clock)}
        top = max((lane[-1].priority for lane in lanes.values()), default=0)
        size = size_of_head(accounts, top, self.now, self.rules)
        heads = {group: _head_of(lane, size) for group, lane in lanes.items()}
        open_now = {group for group in lanes if self.window.is_open(self.now, *group.clock)}
        unseen = {}
        for group in lanes.keys() - open_now:
            senders = senders_of(group, frozenset(self.accounts), self.campaigns)
            rivals = (heads[g] for g in open_now if senders_of(g, senders, self.campaigns))
            if (first := size.first_to_go(rivals)) is not None:
                not_more_urgent = bisect.bisect_left(lanes[group], _from_the_end(first), key=_from_the_end)
                unseen[group] = max(0, len(lanes[group]) - not_more_urgent - len(heads[group]))
        return [delivery for head in heads.values() for delivery in head], unseen


def _head_of(lane: Sequence[Waiting], size: HeadSize) -> Sequence[Waiting]:
    number = size.size
    while not size.is_enough([d.failed_by for d in lane[: -number - 1 : -1]]) and number < len(lane):
        number *= 2
    return lane[: -number - 1 : -1]


def _from_the_end(delivery: Waiting) -> tuple[int, int]:
    return delivery.priority, -delivery.id


def _due(account: Account) -> tuple[dt.datetime, int]:
    assert account.slot is not None
    return account.slot.send_at, account.id
