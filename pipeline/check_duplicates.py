"""Stage 2: nobody is written twice.

Reads: `selected` deliveries, suppressions, what was sent to the same address or website and what is on its way there.
Writes: `cleared`, or `skipped` with all of the reasons that hold. Hands on: what is `cleared`, to *render*.
Trouble: two processes that look at one website at the same instant wait for each other: the website rows are locked in
id order, and others are looked at in a statement after the lock.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from models import Delivery, Reason, State, SuppressionKind, Website, database
from models.delivery import ON_ITS_WAY, by_id, in_states, move, of_ids
from models.suppression import suppressed_among

from . import logs
from .failpoints import reach
from .flow import Handoff, Stage, hand_on
from .settings import settings

#: The word for each kind of suppression.
REASON_OF = {
    SuppressionKind.ADDRESS: Reason.SUPPRESSED_ADDRESS,
    SuppressionKind.DOMAIN: Reason.SUPPRESSED_DOMAIN,
}


def run(delivery_ids: Sequence[int]) -> list[Handoff]:
    """Clear or skip those of `delivery_ids` that are `selected`; return handoffs to *render*."""
    with database.transaction():
        candidates = list(_in_state(delivery_ids, State.SELECTED).order_by(Delivery.priority.desc(), Delivery.id))
        _lock_websites({d.website_id for d in candidates if d.website_id})
        against = reasons_against(candidates)
        skipped = (
            move(
                State.SELECTED,
                State.SKIPPED,
                of_ids(against),
                reason=by_id({i: ",".join(reasons) for i, reasons in against.items()}),
            )
            if against
            else []
        )
        move(State.SELECTED, State.CLEARED, of_ids(d.id for d in candidates if d.id not in against))
        cleared = sorted(d.id for d in _in_state(delivery_ids, State.CLEARED))
        reach("dedupe:wrote")
    logs.moved(Stage.DEDUPE, skipped, State.SKIPPED, against)
    logs.moved(Stage.DEDUPE, cleared, State.CLEARED)
    return hand_on(Stage.RENDER, cleared)


def reasons_against(candidates: Sequence[Delivery]) -> dict[int, list[Reason]]:
    """Return, for each of `candidates` (best first) that must not be mailed now, all of the reasons.

    Others that are on their way to the same website count; of the candidates themselves, the first of a website goes.
    Also asked before a replay or a resend, with the delivery in question alone.
    """
    now = database.now()
    ids = [d.id for d in candidates]
    suppressed = suppressed_among(d.address for d in candidates)
    contacted = _sent_since(Delivery.address, {d.address for d in candidates}, _since(now, "contact"), ids)
    websites = {d.website_id for d in candidates if d.website_id}
    websites_since = _since(now, "website")
    website_contacted = _sent_since(Delivery.website, websites, websites_since, ids)
    website_taken = _websites_on_their_way(websites, ids) if websites_since else set()

    against: dict[int, list[Reason]] = defaultdict(list)
    for d in candidates:
        if d.address in suppressed:
            against[d.id].append(REASON_OF[suppressed[d.address]])
        if d.address in contacted:
            against[d.id].append(Reason.CONTACTED_RECENTLY)
        if d.website_id in website_contacted:
            against[d.id].append(Reason.WEBSITE_CONTACTED_RECENTLY)
        if d.website_id in website_taken:
            against[d.id].append(Reason.IN_FLIGHT)
        if d.id not in against and websites_since and d.website_id:
            website_taken.add(d.website_id)
    return dict(against)


def _in_state(ids: Sequence[int], state: State) -> Any:
    fields = (Delivery.id, Delivery.address, Delivery.website, Delivery.priority)
    return Delivery.select(*fields).where(of_ids(ids) & (Delivery.state == state))


def _lock_websites(ids: Iterable[int]) -> None:
    database.for_update(Website.select(Website.id).where(Website.id.in_(list(ids))).order_by(Website.id)).execute()


def _since(now: dt.datetime, rule: str) -> dt.datetime | None:
    days: int = getattr(settings(), f"mail_dedupe_{rule}_days")
    return now - dt.timedelta(days=days) if days else None


def _sent_since(field: Any, values: set[Any], since: dt.datetime | None, but: list[int]) -> set[Any]:
    if not values or since is None:
        return set()
    query = Delivery.select(field).where(
        field.in_(list(values)) & in_states(State.SENT) & (Delivery.sent_at >= since) & Delivery.id.not_in(but)
    )
    return {row[0] for row in query.tuples()}


def _websites_on_their_way(websites: set[int], but: list[int]) -> set[int]:
    query = Delivery.select(Delivery.website).where(
        Delivery.website.in_(list(websites)) & in_states(*ON_ITS_WAY) & Delivery.id.not_in(but)
    )
    return {row[0] for row in query.tuples()}
