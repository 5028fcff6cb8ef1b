"""The backlog, lane by lane: what waits of one template, in one of the contacts' time zones.

Each lane is read through one index from the most urgent on, so that what is paused or closed is passed over unread,
however much of it there is. Reads only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, TypeVar

from peewee import SQL, Select, Value, fn

from models import Control, Delivery, EmailTemplate, State, json_rows
from pipeline.flow import chunks

T = TypeVar("T")

#: Lanes that one statement reads: SQLite allows 500 terms.
LANES_AT_ONCE = 100

_READY = Delivery.state == State.READY


#: A delivery's priority and id: its place in the order of the backlog.
Place = tuple[int, int]


@dataclass(frozen=True)
class Lane:
    """A lane: how many of it may go in time (counted as far as it matters), and the highest priority among those that
    may go now.
    """

    template_id: int
    zone: str
    count: int
    priority: int | None


def gather(now: Any, enough: Any, before: Any) -> Any:
    """Return the query whose one value `read` turns into the lanes.

    Args:
        now: UTC.
        enough: a query; no lane is counted further.
        before: only what may go before it is counted (UTC).
    """

    def zone_after(template: Any, zone: Any) -> Any:
        of_template = _READY & (Delivery.template == template)
        return Delivery.select(fn.MIN(Delivery.timezone)).where(
            of_template if zone is None else of_template & (Delivery.timezone > zone)
        )

    # From each template on, the index is entered once for each zone that waits.
    usable = EmailTemplate.paused_at.is_null()
    first = EmailTemplate.select(EmailTemplate.id, zone_after(EmailTemplate.id, None)).where(usable)
    each = first.cte("lane", recursive=True, columns=("template_id", "zone"))
    there = each.c.zone.is_null(False)
    following = Select([each], [each.c.template_id, zone_after(each.c.template_id, each.c.zone)]).where(there)
    lane = each.union_all(following)

    def of_lane(column: Any) -> Any:
        here = (Delivery.template == lane.c.template_id) & (Delivery.timezone == lane.c.zone)
        return Delivery.select(column).where(_READY & here)

    # In order: PostgreSQL does not know how few it will need, and would read the table in place of the index.
    in_time = in_order(of_lane(SQL("1")).where(Delivery.not_before.is_null() | (Delivery.not_before < before)))
    count = Control.select(fn.COUNT(SQL("*"))).from_(in_time.limit(enough).alias("found"))
    top = in_order(of_lane(Delivery.priority).where(_is_due(now))).limit(1)
    rows = json_rows.collected(lane.c.template_id, lane.c.zone, count, top)
    return lane.select_from(rows).where(lane.c.zone.is_null(False))


def read(value: Any) -> list[Lane]:
    """Return the lanes that `gather` has found."""
    return [Lane(*row) for row in json_rows.rows_of(value)]


def head(
    lanes: Sequence[Lane],
    columns: Sequence[Any],
    now: dt.datetime | None,
    size: int,
    behind: Mapping[Lane, Place] | None = None,
) -> list[Any]:
    """Return the `size` most urgent deliveries of each lane, only those that are due at `now`, if given; of a lane that
    `behind` names, those behind that place.
    """
    due = True if now is None else _is_due(now)
    places = behind or {}

    def head_of(lane: Lane) -> Any:
        rows = Delivery.select(*columns).where(_of(lane) & due)
        return in_order(rows if lane not in places else rows.where(_behind(places[lane]))).limit(size)

    return _of_each(lanes, head_of)


def more_urgent(lanes: Sequence[Lane], than: Place, now: dt.datetime, enough: int) -> list[tuple[str, int]]:
    """Return zone and number of what is due at `now` in each lane and stands before a place: those of higher priority,
    and the older ones of the same, each counted up to `enough`.
    """
    priority, delivery_id = than
    sooner = (Delivery.priority > priority, (Delivery.priority == priority) & (Delivery.id < delivery_id))

    def number_of(which: tuple[Lane, Any]) -> Any:
        lane, before = which
        rows = in_order(Delivery.select(SQL("1")).where(_of(lane) & before & _is_due(now))).limit(enough)
        return Control.select(Value(lane.zone), fn.COUNT(SQL("*"))).from_(rows.alias("found"))

    return [(zone, number) for zone, number in _of_each([(lane, b) for lane in lanes for b in sooner], number_of)]


def _of_each(values: Sequence[T], query_of: Callable[[T], Any]) -> list[Any]:
    found: list[Any] = []
    for some in chunks(values, LANES_AT_ONCE):
        found.extend(reduce(add, map(query_of, some)).namedtuples())
    return found


def _of(lane: Lane) -> Any:
    return _READY & (Delivery.template == lane.template_id) & (Delivery.timezone == lane.zone)


def _behind(place: Place) -> Any:
    priority, delivery_id = place
    # Said twice, or a planner would not enter the index at the priority.
    return (Delivery.priority <= priority) & ((Delivery.priority < priority) | (Delivery.id > delivery_id))


def in_order(query: Any) -> Any:
    """Return a query of deliveries in the order of the backlog: priority, then age."""
    return query.order_by(Delivery.priority.desc(), Delivery.id)


def _is_due(now: Any) -> Any:
    return Delivery.not_before.is_null() | (Delivery.not_before <= now)
