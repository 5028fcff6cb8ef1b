"""The forecast as it starts from what is stored now: accounts, slots, backlog, campaigns, and the batch publisher."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from itertools import islice

from models import Campaign, SmtpAccount
from pipeline.campaigns import readiness
from pipeline.campaigns.expected import ExpectedPublisher
from pipeline.capacity import snapshot, statement, usage
from pipeline.runtime.clocks import elapsed
from pipeline.runtime.settings import settings
from pipeline.throttle.forecast import Forecast, Planned
from pipeline.throttle.types import Campaign as KnownCampaign
from pipeline.throttle.types import Rules, senders_of
from pipeline.throttle.window import SendingWindow

#: Sends that the forecast goes through, how far ahead, and seconds that it may take, to find one mail.
LOOKS_AT = 2_000
LOOKS_FOR = 10.0
LOOKS_AHEAD = dt.timedelta(days=14)
#: Deliveries and enrolments that are read at most.
MOST = 50_000


def start(
    now: dt.datetime, days: int, *, days_in_all: int | None = None, also: Collection[Campaign] = ()
) -> Forecast | None:
    """Return a forecast that starts with what stands at `now`; None while everything is paused.

    Args:
        now: UTC.
        days: it holds enough of the backlog, and of what is picked, for so many local dates.
        days_in_all: if there are campaigns, of these for so many; None: no more than `days`.
        also: campaigns that count as running, though they have not been started.
    """
    seen = snapshot.detailed(now)
    if seen.paused:
        return None
    window = SendingWindow.from_settings(settings())
    rows = {account.id: account for account in statement.usable_accounts()}
    campaigns = dict(seen.backlog.campaigns) | {campaign.id: _known(campaign) for campaign in also}

    def capacity_of(number: int) -> int:
        dates = [window.local_date(now) + dt.timedelta(days=i) for i in range(number)]
        return sum(usage.limit_of(rows[account.id], date) for account in seen.accounts for date in dates)

    capacity = capacity_of(days)
    most = max(capacity, min(MOST, capacity_of(days_in_all))) if days_in_all and campaigns else capacity
    forecast = Forecast(
        # A claim that is open now counts as used already, and is over in a moment.
        [replace(account, sending=False) for account in seen.accounts],
        now,
        window,
        Rules.from_settings(settings()),
        lambda account_id, date: usage.limit_of(rows[account_id], date),
        last_transaction_today=seen.last_transaction_today,
        advanced_at=seen.advanced_at,
        campaigns=campaigns.values(),
        publisher=ExpectedPublisher(now, window, campaigns, most, capacity),
    )
    for delivery, not_before in snapshot.backlog_from(now, most + len(seen.accounts)):
        forecast.add([delivery], not_before)
    return forecast


def _known(campaign: Campaign) -> KnownCampaign:
    """Return a campaign as the throttle would see it if it were running."""
    senders = SmtpAccount.select(SmtpAccount.id).where(readiness.sends(campaign))
    ids = frozenset(account.id for account in senders)
    return KnownCampaign(campaign.id, ids, campaign.daily_limit, 0, campaign.hours)


@dataclass(frozen=True)
class Found:
    """What the forecast says of a mail: when it goes and after how many others of the accounts that may send it, or how
    far was looked.
    """

    planned: Planned | None = None
    ahead: int = 0
    until: dt.datetime | None = None


def look_for(is_it: Callable[[Forecast, Planned], bool], now: dt.datetime) -> Found:
    """Look for a mail in the forecast."""
    forecast = start(now, LOOKS_AHEAD.days)
    if forecast is None or not forecast.accounts:
        return Found()
    sent_by: Counter[int] = Counter()
    ends = elapsed() + LOOKS_FOR
    for planned in islice(forecast.run(now + LOOKS_AHEAD), LOOKS_AT):
        if is_it(forecast, planned):
            ids = senders_of(planned.delivery.group, frozenset(forecast.accounts), forecast.campaigns)
            return Found(planned, sum(number for account_id, number in sent_by.items() if account_id in ids))
        sent_by[planned.account_id] += 1
        if elapsed() > ends:
            break
    return Found(until=forecast.now)
