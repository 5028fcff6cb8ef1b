"""Addresses and domains that must never be mailed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from enum import StrEnum

import peewee

from models.base import Base
from models.utc import UTCDateTimeField


class SuppressionKind(StrEnum):
    """What a suppression covers."""

    ADDRESS = "address"
    DOMAIN = "domain"


class Suppression(Base):
    """One suppressed address or domain, normalised. A forgotten person is kept as a hash only
    (`pipeline.rules.forgotten`).
    """

    kind = peewee.TextField()
    value = peewee.TextField()
    reason = peewee.TextField(default="")
    created_at = UTCDateTimeField()

    class Meta:
        """A thing is suppressed once."""

        indexes = ((("kind", "value"), True),)


def suppress(kind: SuppressionKind, values: Iterable[str], reason: str, at: dt.datetime) -> int:
    """Suppress normalised `values`; those that are suppressed already stay as they are. Return how many are new."""
    rows = [{"kind": kind, "value": v, "reason": reason, "created_at": at} for v in values]
    if not rows:
        return 0
    query = Suppression.insert_many(rows).on_conflict(action="nothing").returning(Suppression.id)
    return len(list(query.execute()))
