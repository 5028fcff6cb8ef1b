"""Room: how many more mails the batch publisher may put onto the route today, and for whom.

Reads: accounts, and what is on its way, the backlog through its lanes: the cost does not grow with what waits. Writes
nothing.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from peewee import SQL, fn

from models import Control, Delivery, EmailTemplate, State
from models.delivery import in_states
from models.states import ON_ROUTE
from pipeline.capacity import head, lanes, snapshot, statement
from pipeline.runtime.settings import settings
from pipeline.throttle.shares import Senders, shares
from pipeline.throttle.types import Account, Campaign, Group, senders_of
from pipeline.throttle.window import SendingWindow

#: On the route and not in the backlog: few, since the stages take no time and an account has one slot. Like the partial
#: index, or SQLite's planner would read the whole table.
_BESIDE_BACKLOG = in_states(*ON_ROUTE) & (Delivery.state != State.SENDING)


@dataclass(frozen=True)
class Room:
    """What accounts can still send today, and what uses that up.

    Attributes:
        accounts: how many mails may still go today from each usable account, by id.
        on_its_way: how many deliveries on the route could go today, by the accounts that may send them.
        campaigns: those that run, by id; `used` counts what is on its way, too.
    """

    accounts: Mapping[int, int]
    on_its_way: Mapping[Senders, int]
    campaigns: Mapping[int, Campaign]

    @classmethod
    def of(cls, accounts: Iterable[Account], counts: Mapping[Group, int], campaigns: Mapping[int, Campaign]) -> Room:
        """Return the room of accounts that don't rest.

        Args:
            accounts: those.
            counts: how many deliveries on the route could go today, by group.
            campaigns: those that run, by id.
        """
        left = {account.id: account.left for account in accounts}
        on_its_way: Counter[Senders] = Counter()
        of_campaign: Counter[int | None] = Counter()
        for group, count in counts.items():
            on_its_way[senders_of(group, frozenset(left), campaigns)] += count
            of_campaign[group.campaign] += count
        busy = {i: replace(campaign, used=campaign.used + of_campaign[i]) for i, campaign in campaigns.items()}
        return cls(left, on_its_way, busy)

    @property
    def capacity(self) -> int:
        """Mails that may still go today from all usable accounts."""
        return sum(self.accounts.values())

    @property
    def taken(self) -> int:
        """How much of the capacity is used up by what is on its way."""
        return sum(shares(self.accounts, self.on_its_way).values())

    @property
    def left(self) -> int:
        """How many more contacts can be written to today, if any account may do it."""
        return self.capacity - self.taken


def room(now: dt.datetime, template: EmailTemplate | None = None) -> Room:
    """Return the room that is left today.

    What can't go today takes no room: deliveries of paused templates and campaigns, of contacts whose zone opens no
    more today, and those that may not go before a later day. Deliveries of `template` count even if it is paused:
    otherwise each run would add as many again.

    Args:
        now: UTC, inside the window.
        template: what is going to be written.
    """
    seen = snapshot.outline(now)
    usable = [account for account in seen.accounts if not account.is_cooling(now)]
    window, campaigns = SendingWindow.from_settings(settings()), seen.backlog.campaigns
    enough = sum(account.left for account in usable)
    counts = _on_the_route(template, now, window, enough, campaigns)
    goes = {group: count for group, count in counts.items() if window.opens_today(now, *group.clock)}
    return Room.of(usable, goes, campaigns)


def _on_the_route(
    template: EmailTemplate | None, now: dt.datetime, window: SendingWindow, enough: int, campaigns: head.Campaigns
) -> Counter[Group]:
    """Count by group what is not claimed and may go before the day's end; of each lane no more than `enough`."""
    counts: Counter[Group] = Counter()
    before = window.day_end(now)
    for lane in lanes.read(Control.select(lanes.gather(now, window.local_date(now), enough, before)).scalar()):
        counts[head.group(lane, campaigns)] += lane.count
    goes = Delivery.template.not_in(statement.paused_templates()) & lanes.runs()
    if template is not None:
        goes |= Delivery.template == template.id
    counts += _by_group(_BESIDE_BACKLOG & goes, before, campaigns)
    if template is not None and template.paused_at is not None:
        counts += _by_group(in_states(State.READY) & (Delivery.template == template.id), before, campaigns)
    return counts


def _by_group(which: Any, before: dt.datetime, campaigns: head.Campaigns) -> Counter[Group]:
    in_time = Delivery.not_before.is_null() | (Delivery.not_before < before)
    query = Delivery.select(Delivery.lane, fn.COUNT(SQL("*"))).where(which & in_time).group_by(Delivery.lane)
    counts: Counter[Group] = Counter()
    for key, number in query.tuples():
        counts[head.group(lanes.Lane(0, key, number, None), campaigns)] += number
    return counts
