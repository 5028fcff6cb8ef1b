"""When the throttle has to decide again: the next moment at which something deferred can go on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence

from pipeline.throttle.pace import Today
from pipeline.throttle.types import Account, Backlog, Waiting
from pipeline.throttle.window import Clock, SendingWindow


def moments(
    accounts: Sequence[Account], backlog: Backlog, today: Today, *, left_over: bool, busy: bool
) -> Iterator[dt.datetime]:
    """Yield the moments at which something deferred can go on. A busy account needs none: it triggers when it has
    sent.
    """
    now, window = today.now, today.window
    if backlog.next_not_before is not None:
        yield _when_open(backlog.next_not_before, window)
    for group, count in backlog.counts.items():
        clock = group.clock
        if count and clock != Clock() and not today.open(clock).contains(now) and (opening := today.opening(clock)):
            yield opening
    if left_over:
        yield from (a.cooling_until for a in accounts if a.cooling_until is not None and a.is_cooling(now))
        if not busy:
            yield from _soonest(backlog, today.end, window)


def ends_of_backoff(idle: Iterable[Account], rest: Sequence[Waiting], today: Today) -> Iterator[dt.datetime]:
    """Yield the times at which accounts without a slot may again try what every usable account has failed, of those
    that may send it.
    """
    alone = [delivery for delivery in rest if today.stands_behind(delivery)]
    for account in idle:
        ends = (d.failed_by[account.id] for d in alone if account.id in today.senders_of(d.group))
        yield from (_when_open(end, today.window) for end in ends if end > today.now)


def when_closed(backlog: Backlog, now: dt.datetime, window: SendingWindow) -> dt.datetime | None:
    moments = list(_soonest(backlog, now, window))
    if backlog.next_not_before is not None:
        moments.append(_when_open(backlog.next_not_before, window))
    return min(moments, default=None)


def _soonest(backlog: Backlog, at: dt.datetime, window: SendingWindow) -> Iterator[dt.datetime]:
    """Yield when, at or after `at`, each clock is open by which something waits."""
    for clock in {group.clock for group, count in backlog.counts.items() if count} | {w.clock for w in backlog.head}:
        if (opening := window.soonest(at, *clock)) is not None:
            yield opening


def _when_open(at: dt.datetime, window: SendingWindow) -> dt.datetime:
    return at if window.contains(at) else window.next_opening(at)
