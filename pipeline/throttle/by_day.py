"""A forecast in whole days, for what is far off: on which date a mail goes, not when. Pure.

Each day the publisher puts onto the route what there is room for, and what could go that day goes at its opening: no
slot is dealt, so that a whole day costs little more than a few mails do in the forecast proper.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from pipeline.throttle.forecast import Forecast, Planned
from pipeline.throttle.types import Account, Waiting, senders_of

#: Before the end of a day, it is looked once more; and each day so much later than on the one before.
_AT_THE_END, _LATER = dt.timedelta(seconds=2), dt.timedelta(milliseconds=2)
_LONG_AGO = dt.datetime.min.replace(tzinfo=dt.UTC)


def run_by_day(forecast: Forecast, until: dt.datetime) -> Iterator[list[Planned]]:
    """Yield what is sent on each day before `until` (UTC), and go on to that time."""
    window = forecast.window
    at = forecast.now if window.contains(forecast.now) else window.next_opening(forecast.now)
    later = dt.timedelta(0)
    while at < until:
        sent = []
        # What keeps somebody back for whole days passes at an hour of its own: it is looked again at the day's end, and
        # each day a moment later than the day before.
        for time in (at + later, max(at, window.day_end(at) - _AT_THE_END) + later):
            forecast.go_to(time)
            # What lets a step follow on the same day lets it be picked in the next round.
            while some := _round(forecast):
                sent += some
        yield sent
        at, later = window.next_days_opening(at), min(later + _LATER, _AT_THE_END / 2)
    forecast.go_to(max(forecast.now, until))


def _round(forecast: Forecast) -> list[Planned]:
    if forecast.publisher is not None:
        forecast.add(forecast.publisher.publish(forecast))
    sent, rest = [], []
    for delivery in forecast.take():
        account = _next_account(forecast, delivery)
        if account is None:
            rest.append(delivery)
        else:
            sent += list(forecast.send(account, [delivery]))
    forecast.add(rest)
    return sent


def _next_account(forecast: Forecast, delivery: Waiting) -> Account | None:
    """Return the account whose turn it is, as the throttle deals: fewest used, then longest idle, then lowest id."""
    group = delivery.group
    campaign = None if group.campaign is None else forecast.campaigns.get(group.campaign)
    if campaign is not None and campaign.limit is not None and campaign.used >= campaign.limit:
        return None
    its = senders_of(group, frozenset(forecast.accounts), forecast.campaigns)
    most = _most_in_a_day(forecast)
    able = [a for a in map(forecast.accounts.__getitem__, its) if min(a.limit, most) > a.used]
    able = [a for a in able if not a.is_cooling(forecast.now)]
    return min(able, key=lambda a: (a.used, a.last_attempt_at or _LONG_AGO, a.id), default=None)


def _most_in_a_day(forecast: Forecast) -> float:
    """Return how many mails the interval allows an account today."""
    interval = forecast.rules.interval
    return 1 + forecast.window.open_today(forecast.now).total // interval if interval else float("inf")
