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
from pipeline.throttle.types import Waiting
from pipeline.throttle.window import SendingWindow

#: Of deliveries, the accounts that have failed each, with the time before which each leaves it alone.
FailedBy = Mapping[int, Mapping[int, dt.datetime]]

#: What the throttle wants to know of a delivery.
JUDGED_BY = (
    Delivery.id,
    Delivery.priority,
    Delivery.contact.alias("contact"),
    Delivery.template.alias("template"),
    Delivery.timezone,
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


def read(of_today: Sequence[Lane], size: HeadSize, now: dt.datetime, also: Sequence[int]) -> Head:
    """Return the head of these lanes: what is due at `now` (UTC), with the accounts that have failed it. These are
    returned for the deliveries `also`, too.
    """
    found: dict[Lane, list[Any]] = {lane: [] for lane in of_today}
    lane_of = {(lane.template_id, lane.zone): lane for lane in of_today}
    failed_by = usage.failed_by(also)
    unread, number = list(of_today), size.size
    while unread:
        behind = {lane: (found[lane][-1].priority, found[lane][-1].id) for lane in unread if found[lane]}
        page = lanes.head(unread, JUDGED_BY, now, number, behind)
        failed_by |= usage.failed_by([row.id for row in page])
        wanted = {lane: len(found[lane]) + number for lane in unread}
        for row in page:
            found[lane_of[row.template, row.timezone]].append(row)
        unread = [
            lane
            for lane in unread
            if len(found[lane]) == wanted[lane]
            and not size.is_enough([failed_by.get(row.id, ()) for row in found[lane]])
        ]
        number *= 2
    of_lane = {lane: [waiting(row.id, row, failed_by) for row in rows] for lane, rows in found.items()}
    return Head(of_lane, failed_by, size)


def unseen(head: Head, window: SendingWindow, now: dt.datetime, enough: int) -> dict[str, int]:
    """Return, for each zone that opens later today, how many beyond the head are more urgent than all that may go now,
    counted up to `enough`.
    """
    open_now = {lane for lane in head.of_lane if window.is_open(now, lane.zone)}
    first = head.size.first_to_go(head.of_lane[lane] for lane in open_now)
    if first is None:
        return {}
    place = (-first.priority, first.id)
    long = [
        lane
        for lane, found in head.of_lane.items()
        if lane not in open_now and len(found) >= head.size.size and (-found[-1].priority, found[-1].id) < place
    ]
    beyond = {lane.zone: -sum(len(head.of_lane[other]) for other in long if other.zone == lane.zone) for lane in long}
    # So many of each that `enough` are left when those of the head, which are counted with them, are taken off.
    most = enough + max((len(head.of_lane[lane]) for lane in long), default=0)
    for zone, number in lanes.more_urgent(long, (first.priority, first.id), now, most):
        beyond[zone] += number
    return beyond


def waiting(delivery_id: int, row: Any, failed_by: FailedBy) -> Waiting:
    """Return a delivery, given a row with what it is judged by."""
    share = jitter_share(row.contact, row.template)
    return Waiting(delivery_id, row.priority, failed_by.get(delivery_id, {}), share, row.timezone)
