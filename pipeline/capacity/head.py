"""The head of the backlog: the deliveries that a decision looks at, with the accounts that have failed them.

Each lane is read from its most urgent delivery on, as far as the decision has to see: further where an account has
failed what stands first, so that nothing behind that has to wait for it. Reads only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models import Delivery
from pipeline.capacity import lanes, usage
from pipeline.capacity.lanes import Lane
from pipeline.throttle.decide import HeadSize
from pipeline.throttle.limits import jitter_share
from pipeline.throttle.types import Account, Campaign, Group, Waiting, senders_of
from pipeline.throttle.window import Clock, SendingWindow

#: Of deliveries, the accounts that have failed each, with the time before which each leaves it alone.
FailedBy = Mapping[int, Mapping[int, dt.datetime]]

#: Running campaigns, by id.
Campaigns = Mapping[int, Campaign]

#: What the throttle wants to know of a delivery.
JUDGED_BY = (
    Delivery.id,
    Delivery.priority,
    Delivery.contact.alias("contact"),
    Delivery.template.alias("template"),
    Delivery.timezone,
    Delivery.campaign.alias("campaign"),
    Delivery.sender_id.alias("sender"),
    Delivery.lane,
    Delivery.not_before,
)


@dataclass(frozen=True)
class Head:
    """The head of some lanes.

    Attributes:
        of_lane: the deliveries of each lane, the most urgent first.
        failed_by: the accounts that have failed them.
        size: how far it had to be read.
    """

    of_lane: Mapping[Lane, Sequence[Waiting]]
    failed_by: FailedBy
    size: HeadSize

    @property
    def deliveries(self) -> tuple[Waiting, ...]:
        """The deliveries of all lanes."""
        return tuple(delivery for of_lane in self.of_lane.values() for delivery in of_lane)


def read(of_today: Sequence[Lane], size: HeadSize, now: dt.datetime, also: Sequence[int], campaigns: Campaigns) -> Head:
    """Return the head of these lanes: what is due at `now` (UTC), with the accounts that have failed it. These are
    returned for the deliveries `also`, too.
    """
    found: dict[Lane, list[Any]] = {lane: [] for lane in of_today}
    lane_of = {(lane.template_id, lane.key): lane for lane in of_today}
    failed_by = usage.failed_by(also)
    unread, number = list(of_today), size.size
    while unread:
        behind = {lane: (found[lane][-1].priority, found[lane][-1].id) for lane in unread if found[lane]}
        page = lanes.head(unread, JUDGED_BY, now, number, behind)
        failed_by |= usage.failed_by([row.id for row in page])
        wanted = {lane: len(found[lane]) + number for lane in unread}
        for row in page:
            found[lane_of[row.template, row.lane]].append(row)
        unread = [
            lane
            for lane in unread
            if len(found[lane]) == wanted[lane]
            and not size.is_enough([failed_by.get(row.id, ()) for row in found[lane]])
        ]
        number *= 2
    of_lane = {lane: [waiting(row.id, row, failed_by, campaigns) for row in rows] for lane, rows in found.items()}
    return Head(of_lane, failed_by, size)


def unseen(
    head: Head, window: SendingWindow, now: dt.datetime, accounts: Sequence[Account], campaigns: Campaigns
) -> dict[Group, int]:
    """Return, for each group whose clock opens later today, how many beyond the head are more urgent than all that the
    same accounts may send now, counted up to what the accounts have left.
    """
    group_of = {lane: group(lane, campaigns) for lane in head.of_lane}
    open_now = [lane for lane in head.of_lane if window.is_open(now, *group_of[lane].clock)]
    places: dict[Lane, lanes.Place] = {}
    for lane, found in head.of_lane.items():
        if lane in open_now or len(found) < head.size.size:
            continue
        senders = senders_of(group_of[lane], frozenset(a.id for a in accounts), campaigns)
        rivals = (other for other in open_now if senders_of(group_of[other], senders, campaigns))
        first = head.size.first_to_go(head.of_lane[other] for other in rivals)
        if first is not None and (-found[-1].priority, found[-1].id) < (-first.priority, first.id):
            places[lane] = first.priority, first.id
    beyond: dict[Group, int] = {}
    enough = sum(account.left for account in accounts)
    # So many of each that `enough` are left when those of the head, which are counted with them, are taken off.
    most = enough + max((len(head.of_lane[lane]) for lane in places), default=0)
    for lane, number in lanes.more_urgent(places, now, most).items():
        beyond[group_of[lane]] = beyond.get(group_of[lane], 0) + number - len(head.of_lane[lane])
    return beyond


def group(lane: Lane, campaigns: Campaigns) -> Group:
    """Return when and from which accounts a lane's deliveries may go."""
    return _group(lane.zone, lane.campaign_id, lane.sender_id, campaigns)


def waiting(delivery_id: int, row: Any, failed_by: FailedBy, campaigns: Campaigns) -> Waiting:
    """Return a delivery, given a row with what it is judged by."""
    share = jitter_share(row.contact, row.template)
    its = _group(row.timezone, row.campaign, row.sender, campaigns)
    return Waiting(delivery_id, row.priority, failed_by.get(delivery_id, {}), share, its)


def _group(zone: str, campaign_id: int | None, sender: int | None, campaigns: Campaigns) -> Group:
    campaign = None if campaign_id is None else campaigns.get(campaign_id)
    return Group(Clock(zone, "" if campaign is None else campaign.hours), campaign_id, sender)
