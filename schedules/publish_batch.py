"""The batch publisher: puts as many steps of campaigns and eligible contacts onto the route as could be sent today.

Reads: accounts' capacity today, what is on its way, enrolments whose step is due, eligible contacts. Writes: their
deliveries. It does stage 1 itself, in the transaction in which it picks: no run picks again what an earlier one has
picked, and RabbitMQ need not be there. Hands on: what is `selected`, to *check duplicates*.
Trouble: without capacity or a template, or while the window is closed, it picks nobody and says why. Two at once: the
second waits for the first, and sees what that has picked.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from models import Contact, EmailTemplate, Kind, database, lookup
from pipeline.campaigns import picking
from pipeline.capacity.room import room
from pipeline.flow import Handoff
from pipeline.operations import campaign_states
from pipeline.operations.campaign_states import CampaignStopped
from pipeline.operations.done import Done
from pipeline.operations.send import template_to_begin_with
from pipeline.rules import forgotten
from pipeline.rules.eligible import eligible, template_to_pick
from pipeline.runtime import faults
from pipeline.runtime.failpoints import failpoint
from pipeline.runtime.settings import settings
from pipeline.select_contacts import asked, give_up_contact, select, select_steps
from pipeline.throttle.window import SendingWindow
from pipeline.watch import hearts

#: Before an opening, the window counts as open for so long: who starts the publisher on the hour goes by another clock.
EARLY = dt.timedelta(seconds=60)


@dataclass(frozen=True)
class Batch(Done):
    """What the batch publisher did.

    Attributes:
        enrolment_ids: the enrolments of campaigns whose next step it picked.
        contact_ids: the contacts that it picked beside them.
        template_id: what is written; null while the window is closed or no template is active.
        capacity: mails that the accounts can still send today; 0 where `template_id` is null.
        on_its_way: deliveries that wait on the route and could go today, counted no further than `capacity`, which
            they use up; 0 where `template_id` is null.
        reason: why nobody was picked.
        dry_run: whether it only says who would be picked.
    """

    contact_ids: tuple[int, ...] = ()
    enrolment_ids: tuple[int, ...] = ()
    template_id: int | None = None
    capacity: int = 0
    on_its_way: int = 0
    reason: str | None = None
    dry_run: bool = False


def publish(
    *,
    limit: int | None = None,
    min_priority: int | None = None,
    template_id: int | None = None,
    lists: Sequence[str] = (),
    dry_run: bool = False,
) -> Batch:
    """Put one batch onto the route, commit, and return what was picked; what it hands on is not published yet.

    Args:
        limit: contacts at most; None: as many as there is capacity for today.
        min_priority: 0 to 9; None: MAIL_PUBLISH_MIN_PRIORITY.
        template_id: what to write; None: the active template with the lowest id.
        lists: only contacts of these, by their names or ids; none: of all.
        dry_run: only say what would be picked, of those that are enrolled.

    Raises:
        NotThereError: there is no such template or list.
        OperationRefusedError: the template is a follow-up's.
        KeyLockedError: forgotten people can't be told from others.
    """
    asked = partial(_publish, limit=limit, min_priority=min_priority, template_id=template_id, lists=lists)
    ended: list[CampaignStopped] = []
    if not dry_run and template_id is None and not lists:
        # What they have on the route takes up no room.
        ended = campaign_states.end_over()
        with database.transaction():
            database.lock_publisher()
            picking.prepare(database.now())
            failpoint("publish:prepared")
    with database.transaction(undo=dry_run):
        database.lock_publisher()
        batch = asked()
        failpoint("publish:wrote")
    failpoint("publish:committed")
    if dry_run:
        return replace(batch, handoffs=(), dry_run=True)
    hearts.ran(Kind.PUBLISHER)
    return replace(batch, handoffs=(*(handoff for done in ended for handoff in done.handoffs), *batch.handoffs))


def _publish(*, limit: int | None, min_priority: int | None, template_id: int | None, lists: Sequence[str]) -> Batch:
    # Whether it would find anybody or not: a key that is missing is said at once.
    forgotten.hashes()
    template = template_to_pick() if template_id is None else template_to_begin_with(template_id)
    list_ids = [lookup.contact_list(name).id for name in lists]
    now, window = database.now(), SendingWindow.from_settings(settings())
    opening = now if window.contains(now) else window.next_opening(now)
    if opening - now > EARLY:
        return Batch(reason=f"the window is closed until {opening.isoformat()}")
    steps = Batch() if template_id is not None or lists else _steps(opening, limit)
    if template is None:
        return steps if steps.enrolment_ids else replace(steps, reason="no active template")
    rest = None if limit is None else limit - len(steps.enrolment_ids)
    batch = _contacts(template, opening, rest, min_priority, list_ids)
    return replace(
        batch,
        enrolment_ids=steps.enrolment_ids,
        handoffs=steps.handoffs + batch.handoffs,
        reason=None if steps.enrolment_ids else batch.reason,
    )


def _steps(now: dt.datetime, limit: int | None) -> Batch:
    """Put the steps of campaigns onto the route that are due and for which there is room."""
    today = room(now)
    ids = picking.pick(today, now, limit=limit) if today.campaigns else []
    handoffs = select_steps(ids, source=str(uuid.uuid4())) if ids else []
    return Batch(enrolment_ids=tuple(ids), capacity=today.capacity, on_its_way=today.taken, handoffs=tuple(handoffs))


def _contacts(
    template: EmailTemplate, now: dt.datetime, limit: int | None, min_priority: int | None, list_ids: Sequence[int]
) -> Batch:
    """Put contacts onto the route for whom there is room beside what is on it."""
    today = room(now, template)
    batch = Batch(template_id=template.id, capacity=today.capacity, on_its_way=today.taken)
    wanted = today.left if limit is None else min(limit, today.left)
    if wanted == 0:
        return replace(batch, reason=f"no capacity: {today.capacity} left today, {today.taken} on their way")
    priority = settings().mail_publish_min_priority if min_priority is None else min_priority
    ids = tuple(eligible(template, wanted, priority, today=now, lists=list_ids))
    if not ids:
        return replace(batch, reason="no eligible contact" + (" on these lists" if list_ids else ""))
    return replace(batch, contact_ids=ids, handoffs=tuple(_enter(ids, template)))


def _enter(contact_ids: Sequence[int], template: EmailTemplate) -> list[Handoff]:
    """Make deliveries of contacts; one that stage 1 can't process is a dead letter, and holds up no other."""
    options: dict[str, Any] = {"template_id": template.id}
    ids = sorted(contact_ids)
    # All at once: stage 1 takes a list after the other, and would lock contacts after the deliveries of the one before.
    database.lock_rows(Contact, Contact.id.in_(ids))
    pairs = asked(str(uuid.uuid4()), ids)
    return faults.isolated(partial(select, **options), pairs, partial(give_up_contact, **options))
