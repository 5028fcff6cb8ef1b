"""The backlog, lane by lane: what waits of one template, in one of the contacts' time zones.

Each lane is read through one index from the most urgent on, so that what is paused or closed is passed over unread,
however much of it there is. Reads only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

from peewee import SQL, Select, fn

from models import Control, Delivery, EmailTemplate, State, database
from pipeline.flow import chunks

#: Lanes whose heads one statement reads: SQLite allows 500 terms.
LANES_AT_ONCE = 100

_READY = Delivery.state == State.READY


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
    rows = database.json_rows(lane.c.template_id, lane.c.zone, count, top)
    return lane.select_from(rows).where(lane.c.zone.is_null(False))


def read(value: Any) -> list[Lane]:
    """Return the lanes that `gather` has found."""
    return [Lane(*row) for row in database.from_json(value)]


def head(lanes: Sequence[Lane], columns: Sequence[Any], now: dt.datetime | None, size: int) -> list[Any]:
    """Return the most urgent `size` of each lane, of those that are due at `now` or, without it, of all."""
    found: list[Any] = []
    due = True if now is None else _is_due(now)
    for some in chunks(lanes, LANES_AT_ONCE):
        heads = [
            in_order(
                Delivery.select(*columns).where(
                    _READY & (Delivery.template == lane.template_id) & (Delivery.timezone == lane.zone) & due
                )
            ).limit(size)
            for lane in some
        ]
        found.extend(reduce(add, heads).namedtuples())
    return found


def in_order(query: Any) -> Any:
    """Return a query of deliveries in the order of the backlog: priority, then age."""
    return query.order_by(Delivery.priority.desc(), Delivery.id)


def _is_due(now: Any) -> Any:
    return Delivery.not_before.is_null() | (Delivery.not_before <= now)
