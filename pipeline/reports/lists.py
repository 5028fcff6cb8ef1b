"""The lists of contacts, who is on them, and how many of them can be written to. Reads only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from peewee import fn

from models import Contact, ContactList, ListMember, lookup
from models.contact_list import members_of
from pipeline.reports import contacts
from pipeline.reports.contacts import ContactRow
from pipeline.rules import eligible


@dataclass(frozen=True)
class ListRow:
    """A named set of contacts.

    Attributes:
        id: the list.
        name: what you call it.
        members: contacts on it.
        writable: those of them that could be written to now, with a template that is new to them.
        created_at: when it was made (UTC).
    """

    id: int
    name: str
    members: int
    writable: int
    created_at: dt.datetime


@dataclass(frozen=True)
class ListDetails(ListRow):
    """A list, and who is on it.

    Attributes:
        contacts: its contacts by id, as many as are asked for.
    """

    contacts: tuple[ContactRow, ...]


def lists(progress: Callable[[int, int], object] = lambda _done, _of: None) -> list[ListRow]:
    """Return all lists by their names; `progress` is told how many have been looked at, and how many there are."""
    there = list(ContactList.select().order_by(ContactList.key))
    counted = ListMember.select(ListMember.list, fn.COUNT(ListMember.contact)).group_by(ListMember.list)
    members = dict(counted.tuples())
    rows = []
    for number, found in enumerate(there, 1):
        rows.append(_row(found, members.get(found.id, 0)))
        progress(number, len(there))
    return rows


def details(named: str, limit: int, after: int = 0) -> ListDetails:
    """Return a list and at most `limit` of its contacts by id, those with a higher id than `after`.

    Raises NotThereError.
    """
    found = lookup.contact_list(named)
    row = _row(found, ListMember.select().where(ListMember.list == found.id).count())
    shown = contacts.rows(Contact.id.in_(members_of([found.id])) & (Contact.id > after), limit)
    return ListDetails(**vars(row), contacts=tuple(shown))


def _row(found: ContactList, members: int) -> ListRow:
    return ListRow(found.id, found.name, members, eligible.writable_on(found.id), found.created_at)
