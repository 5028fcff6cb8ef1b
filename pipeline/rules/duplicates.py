"""May this person be written to now: suppression, what was sent to the same address or website, what is on its way.
Reads only.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from models import Delivery, Reason, State, SuppressionKind, database
from models.delivery import in_states
from models.states import ON_ITS_WAY
from models.suppression import suppressed_among
from pipeline.runtime.settings import settings

#: The word for each kind of suppression.
REASON_OF = {
    SuppressionKind.ADDRESS: Reason.SUPPRESSED_ADDRESS,
    SuppressionKind.DOMAIN: Reason.SUPPRESSED_DOMAIN,
}


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
