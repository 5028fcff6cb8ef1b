"""The batch publisher: puts as many eligible contacts onto the route as there is capacity for.

Reads: accounts' capacity today, what is on its way, eligible contacts. Hands on: contact ids to *select contacts*.
Trouble: without capacity or a template, or while the window is closed, it picks nobody and says why. Two at once: the
stages skip what both have picked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from actors import entry
from models import Delivery, database, lookup
from models.states import NOT_CLAIMED
from pipeline.capacity import snapshot
from pipeline.rules.eligible import eligible, template_to_pick
from pipeline.runtime.settings import settings
from pipeline.throttle.window import SendingWindow


@dataclass(frozen=True)
class Batch:
    """What the batch publisher did.

    Attributes:
        contact_ids: the contacts that it picked.
        template_id: what is written; null while the window is closed or no template is active.
        capacity: mails that the accounts can still send today; 0 where `template_id` is null.
        on_its_way: deliveries that wait on the route, and use that up; 0 where `template_id` is null.
        reason: why nobody was picked.
        dry_run: whether it only says who would be picked.
    """

    contact_ids: tuple[int, ...] = ()
    template_id: int | None = None
    capacity: int = 0
    on_its_way: int = 0
    reason: str | None = None
    dry_run: bool = False


def publish(
    *, limit: int | None = None, min_priority: int | None = None, template_id: int | None = None, dry_run: bool = False
) -> Batch:
    """Publish one batch and return what was picked.

    Args:
        limit: contacts at most; None: as many as there is capacity for today.
        min_priority: 0 to 9; None: MAIL_PUBLISH_MIN_PRIORITY.
        template_id: what to write; None: the active template with the lowest id.
        dry_run: only say what would be picked.

    Raises:
        NotThereError: there is no such template.
    """
    batch = pick(limit=limit, min_priority=min_priority, template_id=template_id)
    if batch.contact_ids and not dry_run:
        entry.enter(batch.contact_ids, template_id=batch.template_id)
    return replace(batch, dry_run=dry_run)


def pick(*, limit: int | None = None, min_priority: int | None = None, template_id: int | None = None) -> Batch:
    """Return the contacts that a batch would have now; see `publish`."""
    template = template_to_pick() if template_id is None else lookup.template(template_id)
    now = database.now()
    window = SendingWindow.from_settings(settings())
    if not window.contains(now):
        return Batch(reason=f"the window is closed until {window.next_opening(now).isoformat()}")
    if template is None:
        return Batch(reason="no active template")
    capacity = snapshot.capacity(now)
    on_its_way = Delivery.select().where(Delivery.state.in_(NOT_CLAIMED)).count()
    room = max(0, capacity - on_its_way)
    wanted = room if limit is None else min(limit, room)
    if wanted == 0:
        reason = f"no capacity: {capacity} left today, {on_its_way} on their way"
        return Batch(template_id=template.id, capacity=capacity, on_its_way=on_its_way, reason=reason)
    priority = settings().mail_publish_min_priority if min_priority is None else min_priority
    ids = tuple(eligible(template, wanted, priority))
    return Batch(ids, template.id, capacity, on_its_way, None if ids else "no eligible contact")
