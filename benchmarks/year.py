"""A simulated year of the throttle: does it ever break a limit or the window, does it waste what it could send, and
does a contact wait longer because its zone opens late?

200,000 contacts arrive at random over a year with two changes of the clocks; a quarter of them has a time zone of its
own. Some are refused by their servers, for good or for a quarter of an hour, which uses up the limit like any mail. Of
40 accounts some ramp up, some fail now and then, and some break down for days. What was sent is judged by this file's
own reckoning on wall clocks.

    python -m benchmarks.year [--zone Europe/Berlin] [--contacts 200000] [--seed 1] [--json]

Utilisation of a day: sends ÷ min(demand, capacity). Demand: what could go that day, because it waited or arrived in
time, also by its contact's clock. Capacity: each account's limit that day, less if it was broken, or if what was left
of the day when contacts came, or when its rest was over, was too short for its interval.

Waiting time of a zone: the mean, from arrival to the first attempt, of its contacts of ordinary priority.
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
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks._simulated import CLOSES, DAYS, FIRST, OPENS, RULES, ZONES, Arrival, Year, arrivals, mailboxes
from pipeline.throttle.forecast import Planned
from pipeline.throttle.window import SendingWindow

#: Of all days, and of one that is counted as bad.
MIN_UTILISATION, BAD_DAY = 0.999, 0.99
#: How much longer the contacts of a zone may wait than those without one.
MAX_LONGER = dt.timedelta(days=1)


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
        self.waits = self._waits(lists, sent)

    def _judge(self, sent: list[Planned]) -> None:
        used: Counter[tuple[int, dt.date]] = Counter()
        last: dict[int, dt.datetime] = {}
        for mail in sent:
            here = mail.send_at.astimezone(self.zone)
            there = mail.send_at.astimezone(ZoneInfo(mail.delivery.clock.zone)) if mail.delivery.clock.zone else here
            self.outside += not all(OPENS <= clock.hour < CLOSES for clock in (here, there))
            used[mail.account_id, here.date()] += 1
            self.sends[here.date()] += 1
            if mail.account_id in last:
                self.too_close += mail.send_at - last[mail.account_id] < RULES.interval
            last[mail.account_id] = mail.send_at
        boxes = self.year.mailboxes
        self.over_limit = sum(number > boxes[i].limit_on(date) for (i, date), number in used.items())

    def _days(self, lists: list[Arrival], sent: list[Planned]) -> Iterator[tuple[dt.date, float]]:
        demand: Counter[dt.date] = Counter()
        came: dict[dt.date, set[dt.datetime]] = defaultdict(set)
        ready: dict[int, tuple[dt.datetime, str]] = {}
        for arrival in lists:
            came[arrival.at.astimezone(self.zone).date()].add(arrival.at)
            ready |= {delivery.id: (arrival.at, delivery.clock.zone) for delivery in arrival.deliveries}
        for mail in sent:
            demand.update(self._dates(*ready.pop(mail.delivery.id), mail.send_at.astimezone(self.zone).date()))
            again = self.year.deferred.get(mail.delivery.id)
            if again is not None and again > mail.send_at:
                ready[mail.delivery.id] = again, mail.delivery.clock.zone
        for at, zone in ready.values():
            demand.update(self._dates(at, zone, FIRST + dt.timedelta(days=DAYS - 1)))
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

    def _dates(self, at: dt.datetime, zone: str, until: dt.date) -> Iterator[dt.date]:
        """Yield the dates on which what is ready at `at` can go, up to the one on which it went."""
        date = at.astimezone(self.zone).date()
        date = date if at < self._open(date, zone)[1] else date + dt.timedelta(days=1)
        while date <= until:
            yield date
            date += dt.timedelta(days=1)

    @staticmethod
    def _waits(lists: list[Arrival], sent: list[Planned]) -> dict[str, dt.timedelta]:
        """Return each zone's waiting time."""
        first = {mail.delivery.id: mail.send_at for mail in reversed(sent)}
        waits: dict[str, list[dt.timedelta]] = defaultdict(list)
        for arrival in lists:
            for delivery in arrival.deliveries:
                if delivery.id in first and not delivery.priority:
                    waits[delivery.clock.zone].append(first[delivery.id] - arrival.at)
        return {zone: sum(of_zone, dt.timedelta(0)) / len(of_zone) for zone, of_zone in sorted(waits.items())}

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
    return int(any(row["broken_promises"] for row in rows))


def run(zone: str, contacts: int, seed: int) -> dict[str, object]:
    """Simulate a year in a zone and return its row."""
    rng = random.Random(seed)  # noqa: S311  (a simulation)
    window = SendingWindow(((dt.time(OPENS), dt.time(CLOSES)),), ZoneInfo(zone), frozenset(range(7)))
    lists = arrivals(contacts, zone, rng)
    year = Year(mailboxes(rng), window, rng)
    started = time.process_time()
    sent = list(simulate(year, lists, show=sys.stderr.isatty()))
    took = time.process_time() - started
    reckoning = Reckoning(year, lists, sent)
    used, waits = reckoning.utilisation, reckoning.waits
    worst = min(used, key=used.__getitem__)
    mean = sum(used.values()) / len(used)
    longest = max(waits.values()) - waits[""]
    promises = {
        "limits": not reckoning.over_limit,
        "window": not reckoning.outside,
        "interval": not reckoning.too_close,
        "utilisation": mean >= MIN_UTILISATION,
        "waiting time": longest <= MAX_LONGER,
    }
    return {
        "zone": zone,
        "contacts": contacts,
        "attempts": len(sent),
        "still_waiting": year.waiting + sum(a.slot is not None for a in year.accounts.values()),
        "refused, deferred_by_recipients": f"{len(year.refused)}, {len(year.deferred)}",
        "failed_attempts": year.failed,
        "over_a_limit": reckoning.over_limit,
        "outside_the_window": reckoning.outside,
        "closer_than_the_interval": reckoning.too_close,
        "utilisation": f"{mean:.3%}",
        "worst_day": f"{worst}: {used[worst]:.3%}",
        "days_below_99_%": sum(share < BAD_DAY for share in used.values()),
        "hours_of_waiting": "\n".join(f"{zone or 'no zone'} {_hours(wait)}" for zone, wait in waits.items()),
        "the_longest_more_than_without_zone": _hours(longest),
        "broken_promises": ", ".join(name for name, is_kept in promises.items() if not is_kept),
        "seconds_of_cpu_time": f"{took:.1f}",
    }


def _hours(time: dt.timedelta) -> str:
    return f"{time / dt.timedelta(hours=1):.1f}"


if __name__ == "__main__":
    sys.exit(main())
