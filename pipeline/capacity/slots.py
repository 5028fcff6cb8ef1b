"""Slots as they are stored, and slots given back. Writes only in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from models import Cause, Delivery, State, database, transition
from models.delivery import in_states
from models.states import HOLDS_SLOT
from pipeline.throttle.types import Slot

#: A delivery has a slot or its claim. Like the partial index, or SQLite's planner would read the whole table.
HOLDS = in_states(*HOLDS_SLOT)
#: A delivery has a slot that is not claimed.
RESERVED = HOLDS & (Delivery.state == State.RESERVED)


@dataclass(frozen=True)
class StoredSlot:
    """An unclaimed slot as it is stored: its token, and which deliveries have it."""

    token: str
    slot: Slot


def give_back(
    cause: Cause,
    *,
    account_ids: Iterable[int] | None = None,
    template_ids: Iterable[int] | None = None,
    campaign_ids: Iterable[int] | None = None,
    delivery_ids: Iterable[int] | None = None,
) -> list[int]:
    """Take unclaimed slots back, of all deliveries or of those named, in the caller's transaction.

    Args:
        cause: the act that takes them.
        account_ids, template_ids, campaign_ids, delivery_ids: whose slots; None: of all.

    Returns:
        The deliveries that are `ready` again.
    """
    database.lock_throttle()
    which = RESERVED
    for column, ids in (
        (Delivery.account, account_ids),
        (Delivery.template, template_ids),
        (Delivery.campaign, campaign_ids),
        (Delivery.id, delivery_ids),
    ):
        if ids is not None:
            which &= column.in_(list(ids))
    database.lock_rows(Delivery, which)
    return transition(State.RESERVED, State.READY, which, cause=cause)
