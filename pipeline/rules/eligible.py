"""Who may be written to next with a template: what the batch publisher picks, so that it never picks what the
stages would only skip.

Reads: contacts, best first, through an index, in pages, until there are enough. Writes nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

from peewee import SQL, fn

from models import Contact, Delivery, EmailTemplate, ListMember, Variant, database
from models.contact_list import members_of
from models.delivery import in_states
from models.states import TEMPLATE_DONE
from pipeline.rules import contact as contact_rules
from pipeline.rules import duplicates
from pipeline.rules.suppressed import suppressed_among
from pipeline.runtime.settings import settings
from pipeline.throttle.window import SendingWindow

#: Contacts read at a time.
PAGE = 500
#: Contacts read at a time where all are counted; and members up to which lists are read as a whole, and nobody else. Of
#: longer ones the best contacts are read, and those that are on none are passed over.
FEW = 5_000


def eligible(
    template: EmailTemplate,
    limit: int,
    min_priority: int,
    *,
    today: dt.datetime | None = None,
    lists: Sequence[int] = (),
) -> list[int]:
    """Return the ids of at most `limit` contacts for `template`, best priority first, then the oldest; of one
    website only its best.

    Args:
        template: what is to be written.
        limit: how many at most.
        min_priority: 0 to 9; contacts below it are left out.
        today: an instant inside the window (UTC): only those who could be written to from then to that day's end, on
            their own clocks, too; the others are found again on a day on which they can. None: on whatever day.
        lists: only contacts that are on one of these (ids); none: of all.
    """
    ids: list[int] = []
    picked = duplicates.Picked()
    for contact in _candidates(template, min_priority, today, lists, PAGE):
        if len(ids) >= limit:
            break
        if picked.add(contact.address, contact.website_id):
            ids.append(contact.id)
    return ids


def writable_on(list_id: int) -> int:
    """Return how many contacts of a list could be written to now, on whatever day, with a template that is new to
    them.
    """
    return sum(1 for _ in _candidates(None, 0, None, [list_id], FEW))


def template_to_pick() -> EmailTemplate | None:
    """Return what is written where nobody names a template: the active one with the lowest id that is not paused and
    belongs to no campaign.
    """
    usable = for_everybody() & EmailTemplate.paused_at.is_null()
    found: EmailTemplate | None = EmailTemplate.select().where(usable).order_by(EmailTemplate.id).first()
    return found


def for_everybody() -> Any:
    """Return the condition that a template is active, and not a step of a campaign."""
    of_step = Variant.select(SQL("1")).where(Variant.template == EmailTemplate.id)
    return EmailTemplate.active & ~fn.EXISTS(of_step)


def is_done(contact: Contact, template: EmailTemplate) -> bool:
    """Tell whether a template has been tried with a contact, so that it is never picked for it again."""
    return bool(_done(contact.id, template).exists())


def _done(contact_id: Any, template: EmailTemplate) -> Any:
    """Return the query of a contact's deliveries that end a template for it."""
    tried = (Delivery.contact == contact_id) & (Delivery.template == template.id) & in_states(*TEMPLATE_DONE)
    return Delivery.select(SQL("1")).where(tried)


def _candidates(
    template: EmailTemplate | None,
    min_priority: int,
    today: dt.datetime | None,
    lists: Sequence[int],
    at_a_time: int,
) -> Iterator[Contact]:
    """Yield contacts page by page in the order of the index `contact_eligible`."""
    query = (
        Contact.select(Contact.id, Contact.address, Contact.website, Contact.priority, Contact.timezone)
        .where(Contact.priority >= min_priority)
        .order_by(Contact.priority.desc(), Contact.id)
        .limit(at_a_time)
    )
    now = database.now()
    for condition in (*contact_rules.conditions(now), *duplicates.conditions(now)):
        query = query.where(condition)
    if template is not None:
        query = query.where(~fn.EXISTS(_done(Contact.id, template)))
    if lists:
        query = query.where(_is_on(lists))
    closed: set[str] = set()
    page = list(query)
    while page:
        suppressed = suppressed_among((c.address for c in page), now)
        fit = [c for c in page if c.address not in suppressed and not contact_rules.unseen_by_conditions(c, now)]
        closed |= _closed_today({c.timezone for c in fit if c.timezone} - closed, today)
        yield from (c for c in fit if c.timezone not in closed)
        last = page[-1]
        after = (Contact.priority < last.priority) | ((Contact.priority == last.priority) & (Contact.id > last.id))
        if closed:
            # However many wait for another day, they are not read.
            after &= Contact.timezone.is_null() | Contact.timezone.not_in(sorted(closed))
        page = list(query.where(after)) if len(page) == at_a_time else []


def _is_on(lists: Sequence[int]) -> Any:
    """Return the condition that a contact is on one of these lists."""
    members = members_of(lists)
    some = [contact_id for (contact_id,) in members.limit(FEW + 1).tuples()]
    # Said as ids, since planners don't find out by themselves how few there are.
    if len(some) <= FEW:
        return Contact.id.in_(set(some))
    return fn.EXISTS(members.where(ListMember.contact == Contact.id))


def _closed_today(zones: set[str], today: dt.datetime | None) -> set[str]:
    if today is None:
        return set()
    window = SendingWindow.from_settings(settings())
    return {zone for zone in zones if not window.opens_today(today, zone)}
