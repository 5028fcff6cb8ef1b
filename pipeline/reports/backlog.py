"""What is on the route and has not ended, by its state, what it waits for, and its age. Reads only.

It is read through indexes, and counted as far as a person needs to know: the cost does not grow with what waits.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from peewee import SQL, fn

from models import Campaign, Control, Delivery, EmailTemplate, Reason, State, database
from models.delivery import in_states, of_ids
from models.states import UNFINISHED
from pipeline.capacity import lanes, snapshot
from pipeline.reports import held
from pipeline.reports.reasons import Because, NotYet
from pipeline.runtime.settings import settings
from pipeline.throttle.types import Group
from pipeline.throttle.window import Clock, SendingWindow
from pipeline.watch.problems import OVERDUE

#: Deliveries of a lane, or of a state before the backlog, that are counted at most.
ENOUGH = 10_000


@dataclass(frozen=True)
class BacklogRow:
    """Deliveries that stand in one state, and wait for the same.

    Attributes:
        state: where they stand.
        because: what they wait for: the first of what `slowpost why` says of each; `turn`: only for others.
        count: how many.
        is_at_least: whether there may be more: of a template, campaign and time zone 10,000 are counted.
        oldest_at: since when the oldest of those that were counted is on the route (UTC).
        age_seconds: how long that is.
        template_ids: their templates.
    """

    state: State
    because: Because
    count: int
    is_at_least: bool
    oldest_at: dt.datetime
    age_seconds: int
    template_ids: tuple[int, ...]


@dataclass(frozen=True)
class _Part:
    """What is counted together; the fields are those of `BacklogRow`."""

    state: State
    because: Because
    count: int
    oldest_at: dt.datetime
    template_id: int
    is_at_least: bool = False


def backlog() -> list[BacklogRow]:
    """Return what has not ended, in the order of the route, of each state what is most first."""
    now = database.now()
    parts = [*_before_the_backlog(now), *_ready(now), *_after(now)]
    together: dict[tuple[State, Because], list[_Part]] = {}
    for part in parts:
        together.setdefault((part.state, part.because), []).append(part)
    rows = [_row(state, because, same, now) for (state, because), same in together.items()]
    order = {state: number for number, state in enumerate(UNFINISHED)}
    return sorted(rows, key=lambda row: (order[row.state], -row.count, row.because.reason))


def _row(state: State, because: Because, same: list[_Part], now: dt.datetime) -> BacklogRow:
    oldest_at = min(part.oldest_at for part in same)
    return BacklogRow(
        state=state,
        because=because,
        count=sum(part.count for part in same),
        is_at_least=any(part.is_at_least for part in same),
        oldest_at=oldest_at,
        age_seconds=max(0, int((now - oldest_at).total_seconds())),
        template_ids=tuple(sorted({part.template_id for part in same})),
    )


def _before_the_backlog(now: dt.datetime) -> Iterator[_Part]:
    """Yield what is still in the first stages."""
    campaigns, paused = _campaigns(), _paused_templates()
    window = _window()
    for state in (State.SELECTED, State.CLEARED):
        for template_id, campaign_id, number, oldest, is_cut in _in_order_of_age(state):
            # Only *render* passes a paused template by.
            is_paused = state is State.CLEARED and template_id in paused
            against = list(held.by_campaign(campaigns[campaign_id], window, now)) if campaign_id else []
            because = [*against, Because(NotYet.TEMPLATE_PAUSED if is_paused else NotYet.BEING_CHECKED)]
            yield _Part(state, because[0], number, oldest, template_id, is_cut)


def _in_order_of_age(state: State) -> Iterator[tuple[int, int | None, int, dt.datetime, bool]]:
    """Yield template, campaign, count, age, and whether not all are counted, of what is in a state."""
    first = Delivery.select(
        Delivery.template.alias("template"), Delivery.campaign.alias("campaign"), Delivery.created_at
    )
    first = first.where(in_states(state)).order_by(Delivery.updated_at).limit(ENOUGH).alias("found")
    by = (first.c.template, first.c.campaign)
    query = Control.select(*by, fn.COUNT(SQL("*")), fn.MIN(first.c.created_at)).from_(first).group_by(*by)
    rows = list(query.tuples())
    is_cut = sum(number for _, _, number, _ in rows) == ENOUGH
    for template_id, campaign_id, number, oldest in rows:
        yield template_id, campaign_id, number, _time(oldest), is_cut


def _time(value: Any) -> dt.datetime:
    """Return a time of an expression that peewee does not convert by itself."""
    return cast(dt.datetime, Delivery.created_at.python_value(value))


def _ready(now: dt.datetime) -> Iterator[_Part]:
    """Yield the backlog lane by lane: what its retries wait for, and what its others do."""
    found = lanes.counted(ENOUGH)
    if not found:
        return
    seen, window = snapshot.outline(now), _window()
    campaigns, paused = _campaigns(), _paused_templates()
    retries = {(row.template, row.lane): row for row in _retries(now)}
    first_retry = min((row.not_before for row in retries.values()), default=None)
    tried = [lane for lane, _ in found if (lane.template_id, lane.key) in retries]
    others = lanes.counted_due(tried, now, ENOUGH)
    ids = [i for _, i in (*found, *others.values()) if i is not None]
    created: dict[int, dt.datetime] = dict(
        Delivery.select(Delivery.id, Delivery.created_at).where(of_ids(ids)).tuples()
    )

    @cache
    def today(campaign_id: int | None, group: Group) -> Because:
        campaign = None if campaign_id is None else campaigns[campaign_id]
        return next(held.today(campaign, group, window, seen), Because(NotYet.TURN))

    for lane, oldest in found:
        campaign = None if lane.campaign_id is None else campaigns[lane.campaign_id]
        is_paused = lane.template_id in paused
        stopped = next(held.stopped(campaign, window, seen, template_is_paused=is_paused), None)
        number, first = lane.count, cast(int | None, oldest)
        if stopped is None and lane in others:
            retry = retries[lane.template_id, lane.key]
            because = Because(NotYet.RETRY, first_retry)
            yield _Part(State.READY, because, retry.number, retry.oldest_at, lane.template_id, retry.is_cut)
            number, first = others[lane]
        if first is not None:
            group = Group(
                Clock(lane.zone, "" if campaign is None else campaign.hours), lane.campaign_id, lane.sender_id
            )
            because = stopped or today(lane.campaign_id, group)
            yield _Part(State.READY, because, number, created[first], lane.template_id, number == ENOUGH)


@dataclass(frozen=True)
class _Retry:
    """How many of a lane wait for their next attempt, the first time of these, and since when the oldest is there."""

    template: int
    lane: str
    number: int
    not_before: dt.datetime
    oldest_at: dt.datetime
    is_cut: bool


def _retries(now: dt.datetime) -> Iterator[_Retry]:
    """Yield what waits for its next attempt, by lanes; those whose time comes first."""
    columns = (Delivery.template.alias("template"), Delivery.lane, Delivery.not_before, Delivery.created_at)
    later = Delivery.select(*columns).where(in_states(State.READY) & (Delivery.not_before > now))
    first = later.order_by(Delivery.not_before).limit(ENOUGH).alias("found")
    by = (first.c.template, first.c.lane)
    times = (fn.MIN(first.c.not_before), fn.MIN(first.c.created_at))
    rows = list(Control.select(*by, fn.COUNT(SQL("*")), *times).from_(first).group_by(*by).tuples())
    is_cut = sum(number for _, _, number, *_ in rows) == ENOUGH
    for template_id, lane, number, not_before, oldest in rows:
        yield _Retry(template_id, lane, number, _time(not_before), _time(oldest), is_cut)


def _after(now: dt.datetime) -> Iterator[_Part]:
    """Yield what has a slot, is being sent, or waits for a person."""
    for state, word in ((State.RESERVED, NotYet.SLOT), (State.SENDING, NotYet.BEING_SENT)):
        yield from _counted(
            state, Because(word), Delivery.send_at >= now - OVERDUE if state is State.RESERVED else True
        )
    overdue = Delivery.send_at < now - OVERDUE
    since = Delivery.select(fn.MIN(Delivery.send_at)).where(in_states(State.RESERVED) & overdue).scalar()
    if since is not None:
        yield from _counted(State.RESERVED, Because(NotYet.SLOT_OVERDUE, since), overdue)
    yield from _counted(State.IN_DOUBT, Because(Reason.NO_OUTCOME), True)


def _counted(state: State, because: Because, which: Any) -> Iterator[_Part]:
    """Yield what is in a state of which there are few, by templates."""
    query = Delivery.select(Delivery.template, fn.COUNT(SQL("*")), fn.MIN(Delivery.created_at))
    for template_id, number, oldest in query.where(in_states(state) & which).group_by(Delivery.template).tuples():
        yield _Part(state, because, number, oldest, template_id)


def _campaigns() -> dict[int, Campaign]:
    return {campaign.id: campaign for campaign in Campaign.select()}


def _paused_templates() -> frozenset[int]:
    paused = EmailTemplate.select(EmailTemplate.id).where(EmailTemplate.paused_at.is_null(False))
    return frozenset(i for (i,) in paused.tuples())


def _window() -> SendingWindow:
    return SendingWindow.from_settings(settings())
