"""What is going to be sent on a day: by the plan, which can take a while to work out, or by the slots alone. Reads
only.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import islice

from models import Delivery, State, database
from models.delivery import in_states
from pipeline.campaigns.awaited import NOT_MADE
from pipeline.capacity import statement, usage
from pipeline.reports import foreseen

#: Mails that a plan is made for at most, and days ahead.
PLANS, PLANS_AHEAD = 2_000, dt.timedelta(days=14)
#: What can be planned in a moment: accounts, times the mails that they may send a day.
QUICK = 10_000


@dataclass(frozen=True)
class Coming:
    """A mail that is going to be sent: when (UTC), from which account; `delivery_id` None: it is still to be picked."""

    at: dt.datetime
    account_id: int
    delivery_id: int | None


def is_planned_quickly() -> bool:
    """Tell whether the plan of a day can be worked out in a moment."""
    accounts, today = list(statement.usable_accounts()), usage.date_of(database.now())
    return len(accounts) * sum(usage.limit_of(account, today) for account in accounts) <= QUICK


def by_plan(now: dt.datetime, start: dt.datetime, end: dt.datetime) -> tuple[list[Coming], dt.datetime | None]:
    """Return what is planned between two times (UTC), and how far was looked where that is not all of it; nothing while
    everything is paused, or for a time that is too far ahead.
    """
    if end <= now or start > now + PLANS_AHEAD:
        return [], None
    forecast = foreseen.start(now, (end - now).days + 1)
    if forecast is None:
        return [], None
    seen = list(islice(forecast.run(end), PLANS))
    ids = [(mail, mail.delivery.id if mail.delivery.id < NOT_MADE else None) for mail in seen if mail.send_at >= start]
    return [Coming(m.send_at, m.account_id, i) for m, i in ids], forecast.now if len(seen) == PLANS else None


def by_slots(start: dt.datetime, end: dt.datetime) -> list[Coming]:
    """Return the next mail of each account that has a slot between two times (UTC)."""
    inside = in_states(State.RESERVED) & (Delivery.send_at >= start) & (Delivery.send_at < end)
    return [
        Coming(*row) for row in Delivery.select(Delivery.send_at, Delivery.account, Delivery.id).where(inside).tuples()
    ]
