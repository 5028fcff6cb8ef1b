"""What must never be mailed: addresses, domains, and forgotten people as a hash. Reads only."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from models import Suppression, SuppressionKind, database
from pipeline.rules.suppressed import covering


@dataclass(frozen=True)
class SuppressionRow:
    """An address or a domain that must never be mailed.

    Attributes:
        id: the suppression.
        kind: what it covers; a domain covers all its subdomains, too.
        value: the address or the domain, normalised; of a forgotten person only a hash, `hmac:…`.
        reason: why.
        created_at: since when (UTC).
        until: until when (UTC), of somebody who wants no mails for some time; null: for good.
    """

    id: int
    kind: SuppressionKind
    value: str
    reason: str
    created_at: dt.datetime
    until: dt.datetime | None


def suppressions() -> list[SuppressionRow]:
    """Return all suppressions, oldest first."""
    return [_row(suppression) for suppression in Suppression.select().order_by(Suppression.id)]


def of_address(address: str) -> tuple[SuppressionRow, ...]:
    """Return what keeps a normalised address from being mailed."""
    found = Suppression.select().where(covering([address], database.now())).order_by(Suppression.id)
    return tuple(_row(suppression) for suppression in found)


def _row(suppression: Suppression) -> SuppressionRow:
    return SuppressionRow(
        id=suppression.id,
        kind=SuppressionKind(suppression.kind),
        value=suppression.value,
        reason=suppression.reason,
        created_at=suppression.created_at,
        until=suppression.until,
    )
