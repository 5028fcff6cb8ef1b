"""A day driven by the throttle's decision alone."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from zoneinfo import ZoneInfo

from pipeline.throttle.decide import decide
from pipeline.throttle.types import Account, Backlog, Decision, Group, Rules, Waiting
from pipeline.throttle.window import Clock, SendingWindow

ZONE = ZoneInfo("America/New_York")
WINDOW = SendingWindow(((dt.time(8), dt.time(17)),), ZONE, frozenset(range(7)))
AT_ONCE = Rules(dt.timedelta(0), spread=False, jitter=0)


def local(hour: int, minute: int = 0, second: int = 0) -> dt.datetime:
    """Return a time on 2 June 2026 in New York as UTC."""
    return dt.datetime(2026, 6, 2, hour, minute, second, tzinfo=ZONE).astimezone(dt.UTC)


def in_zone(zone: str) -> Group:
    """Return the group of contacts with this time zone of their own; "" for none."""
    return Group(Clock(zone))


class Day:
    """A day driven by the decision alone: slots are sent at their time, and each send asks again."""

    def __init__(self, accounts: list[Account], waiting: list[Waiting], rules: Rules, window: SendingWindow = WINDOW):
        self.accounts = {a.id: a for a in accounts}
        self.waiting = sorted(waiting, key=urgency)
        self.rules, self.window = rules, window
        self.last: dt.datetime | None = None
        self.sent: list[tuple[dt.datetime, int, int]] = []

    def decide(self, now: dt.datetime) -> Decision:
        """Ask, and store what was decided."""
        accounts = list(self.accounts.values())
        capacity = sum(a.left for a in accounts)
        backlog = Backlog(tuple(self.waiting), {in_zone(""): min(len(self.waiting), max(capacity, 1))})
        decision = decide(accounts, backlog, now, self.window, self.rules, last_transaction_today=self.last)
        assert decision == decide(accounts, backlog, now, self.window, self.rules, last_transaction_today=self.last)
        assert all(slot.send_at >= now for slot in (*decision.reserved, *decision.advanced))
        for slot in decision.pre_empted:
            (displaced,) = self.accounts[slot.account_id].slot.deliveries  # type: ignore[union-attr]
            self.waiting.append(displaced)
        for slot in (*decision.reserved, *decision.pre_empted, *decision.advanced):
            self.accounts[slot.account_id] = replace(self.accounts[slot.account_id], slot=slot)
            self.waiting = [w for w in self.waiting if w not in slot.deliveries]
        self.waiting.sort(key=urgency)
        chosen = [w for slot in decision.reserved for w in slot.deliveries]
        assert all(urgency(w) < urgency(self.waiting[0]) for w in chosen if self.waiting)
        return decision

    def send_next(self) -> dt.datetime | None:
        """Send the soonest slot; return when, or None if there is none."""
        held = [a for a in self.accounts.values() if a.slot]
        if not held:
            return None
        account = min(held, key=lambda a: (a.slot.send_at, a.id))  # type: ignore[union-attr]
        slot = account.slot
        assert slot is not None
        for delivery in slot.deliveries:
            self.sent.append((slot.send_at, account.id, delivery.id))
        self.last = slot.send_at
        used = account.used + len(slot.deliveries)
        self.accounts[account.id] = replace(
            account, slot=None, used=used, last_transaction_at=slot.send_at, last_attempt_at=slot.send_at
        )
        return slot.send_at

    def advance(self, now: dt.datetime, until: dt.datetime) -> None:
        """Send what is due before `until`."""
        while any(a.slot and a.slot.send_at < until for a in self.accounts.values()):
            self.decide(max(now, self.send_next() or now))

    def run(self, now: dt.datetime) -> list[str]:
        """Send everything that goes today, from `now` on; return the local times."""
        self.decide(now)
        while (at := self.send_next()) is not None:
            self.decide(max(now, at))
        return [f"{at.astimezone(ZONE):%H:%M:%S}" for at, _, _ in self.sent]


def urgency(delivery: Waiting) -> tuple[int, int]:
    """Return what the backlog is ordered by: priority, then age."""
    return -delivery.priority, delivery.id
