"""Lists: named sets of contacts, whom people pick from. A contact can be on several."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from itertools import product
from typing import Any

import peewee

from models import json_rows
from models.base import Base
from models.contact import Contact
from models.database import UTCDateTimeField
from models.json_rows import Conflict


class ContactList(Base):
    """A named set of contacts. `name` is as written; `key` is its one form, by which lists are told apart."""

    name = peewee.TextField()
    key = peewee.TextField(unique=True)
    created_at = UTCDateTimeField()


class ListMember(Base):
    """A contact on a list."""

    list = peewee.ForeignKeyField(ContactList, backref="members", on_delete="CASCADE", index=False)
    contact = peewee.ForeignKeyField(Contact, backref="memberships")

    class Meta:
        """A contact is on a list once. Read from a list to its contacts by this, the other way by the contact's own."""

        primary_key = peewee.CompositeKey("list", "contact")


def key_of(name: str) -> str:
    """Return the one form of all spellings of a list's or a campaign's name: without regard to case, on every database
    alike.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def members_of(list_ids: Iterable[int]) -> Any:
    """Return the query of the ids of contacts that are on these lists; who is on several, comes several times."""
    return ListMember.select(ListMember.contact).where(ListMember.list.in_(list(list_ids)))


def enlist(list_ids: Iterable[int], contact_ids: Iterable[int]) -> int:
    """Put each contact on each list; return how many places are new."""
    rows = [{"list": where, "contact": who} for where, who in product(sorted(list_ids), sorted(contact_ids))]
    return len(json_rows.insert(ListMember, rows, conflict=Conflict.DOES_NOTHING, returning=("contact_id",)))
