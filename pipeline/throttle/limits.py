"""An account's limit on a date, and the jitter of a contact and a template."""

from __future__ import annotations

import datetime as dt
import hashlib


def limit_on(
    day: dt.date,
    limit: int,
    *,
    warmup: tuple[int, int, dt.date] | None = None,
    quota: tuple[int, int] | None = None,
) -> int:
    """Return an account's limit on a local date.

    Args:
        day: the date.
        limit: the account's own limit, or the default.
        warmup: start, step a day, and first day of a ramp up to the limit.
        quota: what the provider allowed, and on how many dates since the account has been able to send without such a
            reply; each of them gives back a fifth of it, at least 1.
    """
    if warmup is not None:
        start, step, since = warmup
        limit = min(limit, start + step * max(0, (day - since).days))
    if quota is not None:
        allowed, dates = quota
        limit = min(limit, allowed + max(1, allowed // 5) * dates)
    return max(0, limit)


def is_resting(until: dt.datetime | None, now: dt.datetime) -> bool:
    """Tell whether an account that rests `until` a time (UTC; None: it does not rest) still rests at `now`."""
    return until is not None and now < until


def jitter_share(contact_id: int, template_id: int) -> float:
    """Return the share, −1 to 1, by which a slot is shifted: the same contact and template, the same jitter."""
    digest = hashlib.sha256(f"{contact_id}:{template_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**63 - 1
