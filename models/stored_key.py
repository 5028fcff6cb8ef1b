"""Keys of the program's own, made once and never changed, each wrapped by SECRET_KEY."""

from __future__ import annotations

from enum import StrEnum

import peewee

from models.base import Base
from models.utc import UTCDateTimeField


class Purpose(StrEnum):
    """What a key is for."""

    #: The hashes of forgotten people and of their websites.
    FORGOTTEN = "forgotten"
    #: The signatures of the links by which people unsubscribe.
    UNSUBSCRIBE = "unsubscribe"


class StoredKey(Base):
    """One key. `wrapped` is the key encrypted; what is encrypted never changes, since hashes can't be made anew."""

    purpose = peewee.TextField(unique=True)
    wrapped = peewee.TextField()
    created_at = UTCDateTimeField()
