"""Quotas: what a provider's "enough" means for an account. Reads its attempts; writes nothing.

Providers count 24 rolling hours (support.google.com/a/answer/166852), not a date of ours.
"""

from __future__ import annotations

import datetime as dt

from pipeline.capacity import usage
from pipeline.runtime.settings import settings
from pipeline.throttle.window import SendingWindow

#: What providers count their limits over.
ROLLING = dt.timedelta(hours=24)


def learned_limit(account_id: int, now: dt.datetime) -> int:
    """Return what an account had sent in the 24 hours before `now` (UTC), at least 1."""
    return max(1, usage.used_since(account_id, now - ROLLING))


def rests_until(now: dt.datetime) -> dt.datetime:
    """Return until when an account rests after such a reply (UTC): 24 hours, or, for one trial send, until the next
    day's opening if that is sooner.
    """
    return min(now + ROLLING, SendingWindow.from_settings(settings()).next_days_opening(now))
