"""A simulated year of the throttle: does it ever break a limit or the window, and does it waste what it could send?

The same `decide` as the live stage, driven by `pipeline.forecast`. 200,000 contacts arrive at random over a year with
two changes of the clocks; a quarter of them has a time zone of its own. Of 40 accounts some ramp up, some fail now and
then, and some break down for days. What was sent is judged by this file's own reckoning on wall clocks.

    python -m benchmarks.year [--zone Europe/Berlin] [--contacts 200000] [--seed 1] [--json]

Utilisation of a day: sends ÷ min(demand, capacity). Demand: what could go that day, because it waited or arrived in
time, also by its contact's clock. Capacity: each account's limit that day, less if it was broken, or if what was left
of the day when contacts came, or when its rest was over, was too short for its interval.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.progress import track
from rich.table import Table

from pipeline.throttle.breaker import backoff_of_delivery, rest_after
from pipeline.throttle.forecast import Forecast, Planned
from pipeline.throttle.limits import jitter_share, limit_on
from pipeline.throttle.types import Account, Rules, Waiting
from pipeline.throttle.window import SendingWindow

ACCOUNTS = 40
FIRST, DAYS = dt.date(2026, 1, 1), 365
OPENS, CLOSES = 8, 17
#: Where contacts with a zone of their own live, beside the window's zone.
ZONES = {"America/New_York": ("Europe/London", "America/Los_Angeles"), "Europe/Berlin": ("Europe/London", "Asia/Dubai")}
RULES = Rules()
MIN_UTILISATION = 0.99
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
    """Accounts that fail, and rest after failures as the program lets them; it keeps who was resting when."""

    def __init__(self, mailboxes: dict[int, Mailbox], window: SendingWindow, rng: random.Random) -> None:
        """Start at the first midnight."""
        self.mailboxes, self.rng, self.zone = mailboxes, rng, window.zone
        self.failures: Counter[int] = Counter()
        self.failed_it: Counter[tuple[int, int]] = Counter()
        self.failed = 0
        self.rests: dict[int, list[tuple[dt.datetime, dt.datetime]]] = defaultdict(list)
        accounts = [Account(i, box.limit_on(FIRST)) for i, box in mailboxes.items()]
        start = dt.datetime.combine(FIRST, dt.time(0), window.zone).astimezone(dt.UTC)
        super().__init__(accounts, start, window, RULES, lambda i, date: mailboxes[i].limit_on(date))

    def attempt(self, account: Account, delivery: Waiting) -> tuple[Account, Waiting | None]:
        """Let it fail, or be accepted."""
        box = self.mailboxes[account.id]
        if self.now.astimezone(self.zone).date() not in box.broken and self.rng.random() >= box.fails:
            self.failures[account.id] = 0
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
                    Waiting(i, 5 if rng.random() < 0.05 else 0, share=jitter_share(i, 1), zone=rng.choice(zones))
                    for i in range(first, first + size)
                ),
            )
        )
        first += size
    return found


def simulate(year: Year, lists: list[Arrival], *, show: bool) -> Iterator[Planned]:
    """Yield what is sent in the year."""
    for arrival in track(lists, "a year", disable=not show, console=Console(stderr=True), transient=True):
        yield from year.run(arrival.at)
        year.add(arrival.deliveries)
    yield from year.run(year.now.astimezone(year.zone).replace(month=1, day=1, hour=0, year=FIRST.year + 1))


class Reckoning:
    """Judges a year on wall clocks, with none of the code that planned it."""

    def __init__(self, year: Year, lists: list[Arrival], sent: list[Planned]) -> None:
        """Look at what was sent, day by day."""
        self.year, self.zone = year, year.zone
        self.over_limit = self.outside = self.too_close = 0
        self.sends: Counter[dt.date] = Counter()
        self._judge(sent)
        self.utilisation = dict(self._days(lists, sent))

    def _judge(self, sent: list[Planned]) -> None:
        used: Counter[tuple[int, dt.date]] = Counter()
        last: dict[int, dt.datetime] = {}
        for mail in sent:
            here = mail.send_at.astimezone(self.zone)
            there = mail.send_at.astimezone(ZoneInfo(mail.delivery.zone)) if mail.delivery.zone else here
            self.outside += not all(OPENS <= clock.hour < CLOSES for clock in (here, there))
            used[mail.account_id, here.date()] += 1
            self.sends[here.date()] += 1
            if mail.account_id in last:
                self.too_close += mail.send_at - last[mail.account_id] < RULES.interval
            last[mail.account_id] = mail.send_at
        boxes = self.year.mailboxes
        self.over_limit = sum(number > boxes[i].limit_on(date) for (i, date), number in used.items())

    def _days(self, lists: list[Arrival], sent: list[Planned]) -> Iterator[tuple[dt.date, float]]:
        sent_on = {mail.delivery.id: mail.send_at.astimezone(self.zone).date() for mail in sent}
        demand: Counter[dt.date] = Counter()
        came: dict[dt.date, set[dt.datetime]] = defaultdict(set)
        for arrival in lists:
            came[arrival.at.astimezone(self.zone).date()].add(arrival.at)
            for delivery in arrival.deliveries:
                date = self._first_day(arrival.at, delivery.zone)
                until = sent_on.get(delivery.id, FIRST + dt.timedelta(days=DAYS - 1))
                while date <= until:
                    demand[date] += 1
                    date += dt.timedelta(days=1)
        of_day: dict[dt.date, list[Planned]] = defaultdict(list)
        for mail in sent:
            of_day[mail.send_at.astimezone(self.zone).date()].append(mail)
        for i in range(DAYS):
            date = FIRST + dt.timedelta(days=i)
            opens, closes = self._open(date, "")
            instants = {opens, *(at for at in came[date] if opens < at < closes)}
            possible = min(demand[date], *(self._capacity(date, at, of_day[date]) for at in instants))
            if possible:
                yield date, min(1.0, self.sends[date] / possible)

    def _first_day(self, at: dt.datetime, zone: str) -> dt.date:
        """Return the first date on which what arrives at `at` can go."""
        date = at.astimezone(self.zone).date()
        return date if at < self._open(date, zone)[1] else date + dt.timedelta(days=1)

    def _open(self, date: dt.date, zone: str) -> tuple[dt.datetime, dt.datetime]:
        zones = [self.zone, *([ZoneInfo(zone)] if zone else [])]
        opens, closes = (
            [dt.datetime.combine(date, dt.time(hour), z).astimezone(dt.UTC) for z in zones] for hour in (OPENS, CLOSES)
        )
        return max(opens), min(closes)

    def _capacity(self, date: dt.date, at: dt.datetime, sent: list[Planned]) -> int:
        """Return how many mails can go on a date if those before `at` are as they were."""
        used = Counter(mail.account_id for mail in sent if mail.send_at < at)
        return used.total() + sum(self._left(i, date, at, used[i]) for i in self.year.mailboxes)

    def _left(self, account_id: int, date: dt.date, at: dt.datetime, used: int) -> int:
        box = self.year.mailboxes[account_id]
        if date in box.broken:
            return 0
        closes = self._open(date, "")[1]
        usable = closes - at
        for start, end in self.year.rests.get(account_id, ()):
            usable -= max(dt.timedelta(0), min(end, closes) - max(start, at))
        return min(box.limit_on(date) - used, -(-usable // RULES.interval))


def main() -> int:
    """Run a year in each zone and print the table; exit 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--zone", choices=ZONES, action="append", help="the window's zone (default: all)")
    parser.add_argument("--contacts", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = [run(zone, given.contacts, given.seed) for zone in given.zone or ZONES]
    if given.json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    else:
        table = Table(box=None, header_style="bold")
        table.add_column("a simulated year")
        for row in rows:
            table.add_column(str(row["zone"]), justify="right")
        for name in rows[0]:
            table.add_row(name.replace("_", " "), *(str(row[name]) for row in rows))
        Console(width=120, highlight=False).print(table)
    broken = ("over_a_limit", "outside_the_window", "closer_than_the_interval")
    return int(any(row[name] for row in rows for name in broken))


def run(zone: str, contacts: int, seed: int) -> dict[str, object]:
    """Simulate a year in a zone and return its row."""
    rng = random.Random(seed)  # noqa: S311  (a simulation)
    window = SendingWindow(((dt.time(OPENS), dt.time(CLOSES)),), ZoneInfo(zone), frozenset(range(7)))
    lists = arrivals(contacts, zone, rng)
    year = Year(mailboxes(rng), window, rng)
    started = time.monotonic()
    sent = list(simulate(year, lists, show=sys.stderr.isatty()))
    took = time.monotonic() - started
    reckoning = Reckoning(year, lists, sent)
    used = reckoning.utilisation
    worst = min(used, key=used.__getitem__)
    return {
        "zone": zone,
        "contacts": contacts,
        "sent": len(sent),
        "still_waiting": year.waiting + sum(a.slot is not None for a in year.accounts.values()),
        "failed_attempts": year.failed,
        "over_a_limit": reckoning.over_limit,
        "outside_the_window": reckoning.outside,
        "closer_than_the_interval": reckoning.too_close,
        "utilisation": f"{sum(used.values()) / len(used):.3%}",
        "worst_day": f"{worst}: {used[worst]:.3%}",
        "days_below_99_%": sum(share < MIN_UTILISATION for share in used.values()),
        "seconds": f"{took:.1f}",
    }


if __name__ == "__main__":
    sys.exit(main())
