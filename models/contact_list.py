"""Lists: named sets of contacts, whom people pick from. A contact can be on several."""

from __future__ import annotations

import unicodedata

import peewee

from models.base import Base
from models.contact import Contact
from models.database import UTCDateTimeField


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
    """Return the one form of all spellings of a list's name: without regard to case, on every database alike."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
