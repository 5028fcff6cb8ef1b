"""The backlog, lane by lane: what waits of one template, of one campaign or none, for one account or any that may send
it, in one of the contacts' time zones.

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

from models import Campaign, CampaignState, Control, Delivery, EmailTemplate, State, json_rows
from models.campaign import within_dates
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
    may go now. `key` is what its deliveries have in their column `lane`.
    """

    template_id: int
    key: str
    count: int
    priority: int | None

    @property
    def zone(self) -> str:
        """The contacts' own time zone; "" for none."""
        return self.key.split(":", 2)[2]

    @property
    def campaign_id(self) -> int | None:
        """The campaign; None for plain deliveries."""
        return _number(self.key.split(":", 2)[0])

    @property
    def sender_id(self) -> int | None:
        """The only account that may send them; None for any that may."""
        return _number(self.key.split(":", 2)[1])


def _number(text: str) -> int | None:
    return int(text[1:]) or None


def campaign_of(lane: Any) -> Any:
    """Return the expression of the campaign's id, 0 for none, of the column `lane`."""
    return fn.SUBSTR(lane, 2, 10).cast("INTEGER")


def gather(now: Any, today: Any, enough: Any, before: Any) -> Any:
    """Return the query whose one value `read` turns into the lanes: plain ones, and those of running campaigns that
    have begun and are not over.

    Args:
        now: UTC.
        today: the date of the window's zone.
        enough: a query; no lane is counted further.
        before: only what may go before it is counted (UTC).
    """

    lane = _each_lane(EmailTemplate.paused_at.is_null())

    def of_lane(column: Any) -> Any:
        here = (Delivery.template == lane.c.template_id) & (Delivery.lane == lane.c.key)
        return Delivery.select(column).where(_READY & here)

    # In order: PostgreSQL does not know how few it will need, and would read the table in place of the index.
    in_time = in_order(of_lane(SQL("1")).where(Delivery.not_before.is_null() | (Delivery.not_before < before)))
    count = Control.select(fn.COUNT(SQL("*"))).from_(in_time.limit(enough).alias("found"))
    top = in_order(of_lane(Delivery.priority).where(_is_due(now))).limit(1)
    rows = json_rows.collected(lane.c.template_id, lane.c.key, count, top)
    campaign = campaign_of(lane.c.key)
    # Else the claim would refuse what is dealt, again and again, and its account would stand idle meanwhile.
    sent_today = running_campaigns().where(within_dates(today))
    return lane.select_from(rows).where(lane.c.key.is_null(False) & ((campaign == 0) | campaign.in_(sent_today)))


def _each_lane(templates: Any) -> Any:
    """Return the common table expression of template and key of each lane in which something waits with one of
    `templates`, a condition.
    """

    def key_after(template: Any, key: Any) -> Any:
        of_template = _READY & (Delivery.template == template)
        return Delivery.select(fn.MIN(Delivery.lane)).where(
            of_template if key is None else of_template & (Delivery.lane > key)
        )

    # From each template on, the index is entered once for each lane in which something waits.
    first = EmailTemplate.select(EmailTemplate.id, key_after(EmailTemplate.id, None)).where(templates)
    each = first.cte("each_lane", recursive=True, columns=("template_id", "key"))
    there = each.c.key.is_null(False)
    following = Select([each], [each.c.template_id, key_after(each.c.template_id, each.c.key)]).where(there)
    return each.union_all(following)


def counted(enough: int) -> list[tuple[Lane, int]]:
    """Return all lanes, also those of paused templates and of campaigns that do not run, each with its count, at most
    `enough`, and the id of the oldest of those that were counted. What priority they have is not asked.
    """
    lane = _each_lane(EmailTemplate.id.is_null(False))
    here = _READY & (Delivery.template == lane.c.template_id) & (Delivery.lane == lane.c.key)
    first = in_order(Delivery.select(Delivery.id).where(here)).limit(enough).alias("found")
    count = Control.select(json_rows.together(fn.COUNT(SQL("*")), fn.MIN(first.c.id))).from_(first)
    rows = lane.select_from(lane.c.template_id, lane.c.key, count.alias("counted")).where(lane.c.key.is_null(False))
    found = []
    for template_id, key, value in rows.tuples():
        number, oldest = json_rows.values_of(value)
        if number:
            found.append((Lane(template_id, key, number, None), oldest))
    return found


def counted_due(of: Sequence[Lane], now: dt.datetime, enough: int) -> dict[Lane, tuple[int, int | None]]:
    """Return of each of these lanes how many are due at `now`, at most `enough`, and the id of the oldest of these."""

    def due_of(which: tuple[int, Lane]) -> Any:
        index, lane = which
        first = in_order(Delivery.select(Delivery.id).where(_of(lane) & _is_due(now))).limit(enough).alias("found")
        return Control.select(Value(index), fn.COUNT(SQL("*")), fn.MIN(first.c.id)).from_(first)

    return {of[index]: (number, oldest) for index, number, oldest in _of_each(list(enumerate(of)), due_of)}


def running_campaigns() -> Any:
    """Return the query of the ids of running campaigns."""
    return Campaign.select(Campaign.id).where(Campaign.state == SQL(f"'{CampaignState.RUNNING}'"))


def runs() -> Any:
    """Return the condition that a delivery is a plain one, or one of a running campaign."""
    return Delivery.campaign.is_null() | Delivery.campaign.in_(running_campaigns())


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


def more_urgent(places: Mapping[Lane, Place], now: dt.datetime, enough: int) -> dict[Lane, int]:
    """Return how many are due at `now` in each lane and stand before a place: those of higher priority, and the older
    ones of the same, each counted up to `enough`.
    """

    def sooner(place: Place) -> tuple[Any, Any]:
        priority, delivery_id = place
        return Delivery.priority > priority, (Delivery.priority == priority) & (Delivery.id < delivery_id)

    def number_of(which: tuple[int, Lane, Any]) -> Any:
        index, lane, before = which
        rows = in_order(Delivery.select(SQL("1")).where(_of(lane) & before & _is_due(now))).limit(enough)
        return Control.select(Value(index), fn.COUNT(SQL("*"))).from_(rows.alias("found"))

    found = dict.fromkeys(places, 0)
    of_index = list(places)
    asked = [(i, lane, before) for i, lane in enumerate(of_index) for before in sooner(places[lane])]
    for index, number in _of_each(asked, number_of):
        found[of_index[index]] += number
    return found


def _of_each(values: Sequence[T], query_of: Callable[[T], Any]) -> list[Any]:
    found: list[Any] = []
    for some in chunks(values, LANES_AT_ONCE):
        found.extend(reduce(add, map(query_of, some)).namedtuples())
    return found


def _of(lane: Lane) -> Any:
    return _READY & (Delivery.template == lane.template_id) & (Delivery.lane == lane.key)


def _behind(place: Place) -> Any:
    priority, delivery_id = place
    # Said twice, or a planner would not enter the index at the priority.
    return (Delivery.priority <= priority) & ((Delivery.priority < priority) | (Delivery.id > delivery_id))


def in_order(query: Any) -> Any:
    """Return a query of deliveries in the order of the backlog: priority, then age."""
    return query.order_by(Delivery.priority.desc(), Delivery.id)


def _is_due(now: Any) -> Any:
    return Delivery.not_before.is_null() | (Delivery.not_before <= now)
