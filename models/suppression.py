"""Addresses and domains that must never be mailed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from enum import StrEnum

import peewee
from peewee import EXCLUDED

from models.base import Base
from models.utc import UTCDateTimeField


class SuppressionKind(StrEnum):
    """What a suppression covers."""

    ADDRESS = "address"
    DOMAIN = "domain"


class Suppression(Base):
    """One suppressed address or domain, normalised. A forgotten person is kept as a hash only
    (`pipeline.rules.forgotten`). `until` is the end of one that a recipient wanted for some time only, `opt_out_id` the
    request that it is for, and goes with.
    """

    kind = peewee.TextField()
    value = peewee.TextField()
    reason = peewee.TextField(default="")
    created_at = UTCDateTimeField()
    until = UTCDateTimeField(null=True)
    # No foreign key: a version before, which may be at work, deletes suppressions and knows no opt-outs.
    opt_out_id = peewee.IntegerField(null=True)

    class Meta:
        """A thing is suppressed once."""

        indexes = ((("kind", "value"), True),)


Suppression.add_index(
    peewee.SQL("CREATE INDEX suppression_opt_out ON suppression (opt_out_id) WHERE opt_out_id IS NOT NULL")
)


def suppress(
    kind: SuppressionKind,
    values: Iterable[str],
    reason: str,
    at: dt.datetime,
    *,
    until: dt.datetime | None = None,
    opt_out_id: int | None = None,
) -> int:
    """Suppress normalised `values`. Those that are suppressed already stay as they are, unless this one is for longer,
    or for another reason than a request that can be taken back.

    Args:
        kind: what they are.
        values: addresses or domains.
        reason: why.
        at: since when (UTC).
        until: until when (UTC); None: for good.
        opt_out_id: the request of a recipient that it is for.

    Returns:
        How many are new, or changed.
    """
    new = {"kind": kind, "reason": reason, "created_at": at, "until": until, "opt_out_id": opt_out_id}
    rows = [{**new, "value": value} for value in values]
    if not rows:
        return 0
    is_longer = Suppression.until.is_null(False) & (EXCLUDED.until.is_null() | (EXCLUDED.until > Suppression.until))
    is_not_asked_for = Suppression.opt_out_id.is_null(False) & EXCLUDED.opt_out_id.is_null() & EXCLUDED.until.is_null()
    columns = (Suppression.reason, Suppression.created_at, Suppression.until, Suppression.opt_out_id)
    query = Suppression.insert_many(rows).on_conflict(
        conflict_target=(Suppression.kind, Suppression.value), preserve=columns, where=is_longer | is_not_asked_for
    )
    return len(list(query.returning(Suppression.id).execute()))
