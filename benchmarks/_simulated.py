"""The simulated year: accounts that ramp up, fail and break down, contacts that arrive, and recipients that refuse.

The same `decide` as the live stage, driven by `pipeline.throttle.forecast`.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from pipeline.throttle.breaker import backoff_of_delivery, rest_after
from pipeline.throttle.forecast import Forecast
from pipeline.throttle.limits import jitter_share, limit_on
from pipeline.throttle.types import Account, Group, Rules, Waiting
from pipeline.throttle.window import Clock, SendingWindow

ACCOUNTS = 40
FIRST, DAYS = dt.date(2026, 1, 1), 365
OPENS, CLOSES = 8, 17
#: Where contacts with a zone of their own live, beside the window's zone: their days begin sooner, later, and so late
#: that one to three hours are in common.
ZONES = {
    "America/New_York": ("Europe/London", "America/Los_Angeles", "Pacific/Auckland"),
    "Europe/Berlin": ("Asia/Dubai", "Europe/London", "America/New_York"),
}
RULES = Rules()
#: Shares of contacts whose server refuses them for good, and defers them once, for so long.
REFUSED, DEFERRED, DEFERRED_FOR = 0.03, 0.03, dt.timedelta(minutes=15)
SIZES = (1, 1, 5, 20, 20, 50, 200)


@dataclass(frozen=True)
class Mailbox:
    """An account's year: its limit, its warm-up, how often it fails, and the days on which it is broken."""

    limit: int
    warmup: tuple[int, int, dt.date] | None
    fails: float
    broken: frozenset[dt.date]

    def limit_on(self, date: dt.date) -> int:
        """Return the limit on a local date."""
        return limit_on(date, self.limit, warmup=self.warmup)


class Year(Forecast):
    """Accounts that fail, and rest after failures as the program lets them, and recipients that refuse.

    Attributes:
        failed: attempts charged to accounts.
        refused: deliveries that a recipient's server has refused for good.
        deferred: deliveries that one has deferred, with the time at which they go again (UTC).
        rests: of each account, from when until when it rested.
    """

    def __init__(self, mailboxes: dict[int, Mailbox], window: SendingWindow, rng: random.Random) -> None:
        """Start at the first midnight."""
        self.mailboxes, self.rng, self.zone = mailboxes, rng, window.zone
        self.failures: Counter[int] = Counter()
        self.failed_it: Counter[tuple[int, int]] = Counter()
        self.failed = 0
        self.refused: set[int] = set()
        self.deferred: dict[int, dt.datetime] = {}
        self.rests: dict[int, list[tuple[dt.datetime, dt.datetime]]] = defaultdict(list)
        accounts = [Account(i, box.limit_on(FIRST)) for i, box in mailboxes.items()]
        start = dt.datetime.combine(FIRST, dt.time(0), window.zone).astimezone(dt.UTC)
        super().__init__(accounts, start, window, RULES, lambda i, date: mailboxes[i].limit_on(date))

    def attempt(self, account: Account, delivery: Waiting) -> tuple[Account, Waiting | None]:
        """Let it fail, or be accepted or refused."""
        box = self.mailboxes[account.id]
        if self.now.astimezone(self.zone).date() not in box.broken and self.rng.random() >= box.fails:
            self.failures[account.id] = 0
            self._answer(delivery)
            return super().attempt(replace(account, cooling_until=None), delivery)
        self.failed += 1
        self.failures[account.id] += 1
        until = None
        if rest := rest_after(self.failures[account.id]):
            until = self.now + rest
            self.rests[account.id].append((self.now, until))
        self.failed_it[delivery.id, account.id] += 1
        leaves_alone_until = self.now + backoff_of_delivery(self.failed_it[delivery.id, account.id])
        again = replace(delivery, failed_by={**delivery.failed_by, account.id: leaves_alone_until})
        return replace(account, last_attempt_at=self.now, cooling_until=until), again

    def _answer(self, delivery: Waiting) -> None:
        """Refuse some, and defer others once: both use up the account's limit as what is accepted does."""
        answer = self.rng.random()
        if answer < REFUSED:
            self.refused.add(delivery.id)
        elif answer < REFUSED + DEFERRED and delivery.id not in self.deferred:
            self.deferred[delivery.id] = self.now + DEFERRED_FOR
            self.add([delivery], self.now + DEFERRED_FOR)


def mailboxes(rng: random.Random) -> dict[int, Mailbox]:
    """Return 40 accounts: a quarter ramps up, a quarter fails now and then, an eighth breaks down for two weeks."""
    boxes = {}
    for i in range(1, ACCOUNTS + 1):
        limit = rng.randint(8, 26)
        warmup = (2, 1, FIRST + dt.timedelta(days=rng.randint(0, 120))) if i % 4 == 0 else None
        broken = frozenset[dt.date]()
        if i % 8 == 1:
            starts = (rng.randint(0, DAYS - 8) for _ in range(2))
            broken = frozenset(FIRST + dt.timedelta(days=first + d) for first in starts for d in range(7))
        boxes[i] = Mailbox(limit, warmup, 0.02 if i % 4 == 2 else 0.0, broken)
    return boxes


@dataclass(frozen=True)
class Arrival:
    """Contacts that came in together."""

    at: dt.datetime
    deliveries: tuple[Waiting, ...]


def arrivals(number: int, zone: str, rng: random.Random) -> list[Arrival]:
    """Return lists of contacts at random instants, some urgent, a quarter with a zone of its own."""
    lists, left = [], number
    while left:
        lists.append(min(rng.choice(SIZES), left))
        left -= lists[-1]
    start = dt.datetime.combine(FIRST, dt.time(0), ZoneInfo(zone)).astimezone(dt.UTC)
    instants = sorted(rng.random() * DAYS * 86_400 for _ in lists)
    found, first = [], 1
    for seconds, size in zip(instants, lists, strict=True):
        zones = ("", "", "", rng.choice(ZONES[zone]))
        found.append(
            Arrival(
                start + dt.timedelta(seconds=seconds),
                tuple(
                    Waiting(
                        i,
                        5 if rng.random() < 0.05 else 0,
                        share=jitter_share(i, 1),
                        group=Group(Clock(rng.choice(zones))),
                    )
                    for i in range(first, first + size)
                ),
            )
        )
        first += size
    return found
