"""Room: how many contacts the batch publisher may still put onto the route today.

Reads: accounts, and what is on its way, the backlog through its lanes: the cost does not grow with what waits. Writes
nothing.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from typing import Any

from peewee import SQL, fn

from models import Control, Delivery, EmailTemplate, State
from models.delivery import in_states
from models.states import ON_ROUTE
from pipeline.capacity import lanes, snapshot, statement
from pipeline.runtime.settings import settings
from pipeline.throttle.window import SendingWindow

#: On the route and not in the backlog: few, since the stages take no time and an account has one slot. Like the partial
#: index, or SQLite's planner would read the whole table.
_BESIDE_BACKLOG = in_states(*ON_ROUTE) & (Delivery.state != State.SENDING)


@dataclass(frozen=True)
class Room:
    """What accounts can still send today, and what uses that up.

    Attributes:
        capacity: mails that may still go today from all usable accounts.
        on_its_way: deliveries on the route that could go today, counted no further than `capacity`.
    """

    capacity: int
    on_its_way: int

    @property
    def left(self) -> int:
        """How many more contacts can be written to today."""
        return self.capacity - self.on_its_way


def room_for(template: EmailTemplate, now: dt.datetime) -> Room:
    """Return the room that is left today.

    What can't go today takes no room: deliveries of paused templates, of contacts whose zone opens no more today, and
    those that may not go before a later day. Deliveries of `template` count even if it is paused: otherwise each run
    would add as many again.

    Args:
        template: what is going to be written.
        now: UTC, inside the window.
    """
    capacity = snapshot.capacity(now)
    window = SendingWindow.from_settings(settings())
    counts = _on_the_route(template, now, window.day_end(now), capacity)
    could_go = sum(count for zone, count in counts.items() if window.opens_today(now, zone))
    return Room(capacity, min(capacity, could_go))


def _on_the_route(template: EmailTemplate, now: dt.datetime, before: dt.datetime, enough: int) -> Counter[str]:
    """Count by zone what is not claimed and may go before `before` (UTC); of each lane no more than `enough`."""
    counts: Counter[str] = Counter()
    for lane in lanes.read(Control.select(lanes.gather(now, enough, before)).scalar()):
        counts[lane.zone] += lane.count
    of_template = Delivery.template == template.id
    of_others = Delivery.template.not_in(statement.paused_templates())
    counts += _by_zone(_BESIDE_BACKLOG & (of_template | of_others), before)
    if template.paused_at is not None:
        counts += _by_zone(in_states(State.READY) & of_template, before)
    return counts


def _by_zone(which: Any, before: dt.datetime) -> Counter[str]:
    in_time = Delivery.not_before.is_null() | (Delivery.not_before < before)
    query = Delivery.select(Delivery.timezone, fn.COUNT(SQL("*"))).where(which & in_time)
    return Counter(dict(query.group_by(Delivery.timezone).tuples()))
