"""The plan: who is going to be mailed when and from which account, if nothing changes. Sends nothing, writes nothing.

Reads: accounts, slots and backlog as they stand, and asks the forecast. What is still in the first stages is taken for
ready, though it can yet be skipped; what the batch publisher has not picked is not on the route, and not in the plan.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace

from models import database
from pipeline.capacity import snapshot, usage
from pipeline.runtime.settings import settings
from pipeline.throttle.forecast import Forecast, Planned
from pipeline.throttle.types import Rules
from pipeline.throttle.window import SendingWindow


def upcoming(until: dt.datetime) -> Iterator[Planned]:
    """Yield what is going to be sent before `until` (UTC), soonest first; nothing while everything is paused."""
    now = database.now()
    days = max(1, (until - now).days + 2)
    forecast = start(now, days)
    return iter(()) if forecast is None else forecast.run(until)


def start(now: dt.datetime, days: int) -> Forecast | None:
    """Return a forecast that starts with what stands at `now`, and holds enough of the backlog for so many local dates;
    None while everything is paused.
    """
    seen = snapshot.detailed(now)
    if seen.paused:
        return None
    window = SendingWindow.from_settings(settings())
    rows = {account.id: account for account in snapshot.usable_accounts()}
    dates = [window.local_date(now) + dt.timedelta(days=i) for i in range(days)]
    forecast = Forecast(
        # A claim that is open now counts as used already, and is over in a moment.
        [replace(account, sending=False) for account in seen.accounts],
        now,
        window,
        Rules.from_settings(settings()),
        lambda account_id, date: usage.limit_of(rows[account_id], date),
        last_claim_today=seen.last_claim_today,
        advanced_at=seen.advanced_at,
    )
    capacity = sum(usage.limit_of(rows[account.id], date) for account in seen.accounts for date in dates)
    for delivery, not_before in snapshot.backlog_from(now, capacity + len(seen.accounts)):
        forecast.add([delivery], not_before)
    return forecast
