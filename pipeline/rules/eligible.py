"""Who may be written to next with a template: what the batch publisher picks, so that it never picks what the
stages would only skip.

Reads: contacts, best first, through an index, in pages, until there are enough. Writes nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from peewee import SQL, fn

from models import Contact, Delivery, EmailTemplate, State, Website, database
from models.delivery import in_states
from models.states import TEMPLATE_DONE, UNFINISHED
from models.suppression import suppressed_among
from pipeline.runtime.settings import settings
from pipeline.throttle.window import SendingWindow

#: Contacts read at a time.
PAGE = 500


def eligible(template: EmailTemplate, limit: int, min_priority: int) -> list[int]:
    """Return the ids of at most `limit` contacts for `template`, best priority first, then the oldest; of one
    website only its best.

    Args:
        template: what is to be written.
        limit: how many at most.
        min_priority: 0 to 9; contacts below it are left out.
    """
    picked: list[int] = []
    websites: set[int] = set()
    addresses: set[str] = set()
    for contact in _candidates(template, min_priority):
        if len(picked) >= limit:
            break
        taken = contact.address in addresses or (_website_rule() and contact.website_id in websites)
        if not taken:
            picked.append(contact.id)
            addresses.add(contact.address)
            if contact.website_id:
                websites.add(contact.website_id)
    return picked


def template_to_pick() -> EmailTemplate | None:
    """Return what is written where nobody names a template: the active one with the lowest id that is not paused."""
    usable = EmailTemplate.active & EmailTemplate.paused_at.is_null()
    return EmailTemplate.select().where(usable).order_by(EmailTemplate.id).first()


def _candidates(template: EmailTemplate, min_priority: int) -> Iterator[Contact]:
    """Yield contacts page by page in the order of the index `contact_eligible`."""
    query = (
        Contact.select(Contact.id, Contact.address, Contact.website, Contact.priority, Contact.timezone)
        .where(
            # written as the partial index has it, so that the planner sees it
            SQL("t1.validated AND t1.address_valid AND t1.forgotten_at IS NULL")
            & (Contact.priority >= min_priority)
            & ~fn.EXISTS(_website_unfit())
            & ~fn.EXISTS(_deliveries(_of_contact() & in_states(*UNFINISHED)))
            & ~fn.EXISTS(_deliveries(_of_address() & in_states(*UNFINISHED)))
            & ~fn.EXISTS(_deliveries(_of_contact() & (Delivery.template == template.id) & in_states(*TEMPLATE_DONE)))
        )
        .order_by(Contact.priority.desc(), Contact.id)
        .limit(PAGE)
    )
    now, window = database.now(), SendingWindow.from_settings(settings())
    for condition in _not_contacted_recently(now):
        query = query.where(condition)
    page = list(query)
    while page:
        suppressed = suppressed_among(c.address for c in page)
        yield from (c for c in page if c.address not in suppressed and window.soonest(now, c.timezone or ""))
        last = page[-1]
        after = (Contact.priority < last.priority) | ((Contact.priority == last.priority) & (Contact.id > last.id))
        page = list(query.where(after)) if len(page) == PAGE else []


def _not_contacted_recently(now: dt.datetime) -> Iterator[Any]:
    sent = in_states(State.SENT)
    contact_days, website_days = settings().mail_dedupe_contact_days, settings().mail_dedupe_website_days
    if contact_days:
        since = now - dt.timedelta(days=contact_days)
        yield ~fn.EXISTS(_deliveries(_of_address() & sent & (Delivery.sent_at >= since)))
    if website_days:
        since = now - dt.timedelta(days=website_days)
        of_website = Delivery.website == Contact.website
        yield ~fn.EXISTS(_deliveries(of_website & sent & (Delivery.sent_at >= since)))
        yield ~fn.EXISTS(_deliveries(of_website & in_states(*UNFINISHED)))


def _website_rule() -> bool:
    return settings().mail_dedupe_website_days > 0


def _website_unfit() -> Any:
    return Website.select(SQL("1")).where((Website.id == Contact.website) & ~Website.meets_requirements)


def _deliveries(which: Any) -> Any:
    return Delivery.select(SQL("1")).where(which)


def _of_contact() -> Any:
    return Delivery.contact == Contact.id


def _of_address() -> Any:
    return Delivery.address == Contact.address
