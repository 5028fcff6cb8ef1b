"""Stage 2: nobody is written to twice.

Reads: `selected` deliveries, suppressions, what was sent to the same address or website and what is on its way there,
sequences that go on.
Writes: `cleared`, or `skipped` with all of the reasons that apply. Hands on: what is `cleared`, to *render*.
Trouble: of two processes with contacts of one website, the second waits for the first: website rows are locked in id
order, and other deliveries are read in a statement after the lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models import Cause, Delivery, State, Website, database, transition
from models.delivery import of_ids
from pipeline.flow import Handoff, Stage, hand_on
from pipeline.rules.duplicates import reasons_against
from pipeline.runtime.failpoints import failpoint


def clear(delivery_ids: Sequence[int]) -> list[Handoff]:
    """Clear or skip those of `delivery_ids` that are `selected`; return handoffs to *render*."""
    with database.transaction():
        candidates = list(_in_state(delivery_ids, State.SELECTED).order_by(Delivery.priority.desc(), Delivery.id))
        database.lock_rows(Website, Website.id.in_({d.website_id for d in candidates if d.website_id}))
        database.lock_rows(Delivery, of_ids(d.id for d in candidates))
        against = reasons_against(candidates)
        if against:
            reasons = {i: ",".join(reasons) for i, reasons in against.items()}
            transition(State.SELECTED, State.SKIPPED, of_ids(against), cause=Cause.DEDUPE, reason=reasons)
        safe = of_ids(d.id for d in candidates if d.id not in against)
        transition(State.SELECTED, State.CLEARED, safe, cause=Cause.DEDUPE)
        cleared = sorted(d.id for d in _in_state(delivery_ids, State.CLEARED))
        failpoint("dedupe:wrote")
    return hand_on(Stage.RENDER, cleared)


def _in_state(ids: Sequence[int], state: State) -> Any:
    who = (Delivery.contact, Delivery.address, Delivery.website)
    of_campaign = (Delivery.campaign, Delivery.enrolment, Delivery.position)
    return Delivery.select(Delivery.id, *who, *of_campaign).where(of_ids(ids) & (Delivery.state == state))
