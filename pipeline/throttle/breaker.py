"""The breaker: how long an account rests after failures, and how long it leaves a delivery alone that it has failed.

Pure.
"""

from __future__ import annotations

import datetime as dt

#: An account rests after this many failures in a row; the rest doubles with each further one.
FAILURES_BEFORE_REST = 3
FIRST_REST, LONGEST_REST = dt.timedelta(minutes=15), dt.timedelta(hours=24)
#: A delivery is given up when accounts have failed it this often over at least this long.
MAX_ACCOUNT_FAILURES = 10
MIN_ACCOUNT_FAILURES_SPAN = dt.timedelta(hours=24)


def rest_after(failures: int) -> dt.timedelta | None:
    """Return how long an account rests after so many failures in a row; None: it doesn't yet."""
    return _doubled(failures - FAILURES_BEFORE_REST) if failures >= FAILURES_BEFORE_REST else None


def is_on_trial(failures: int) -> bool:
    """Tell whether an account whose rest is over has to show by one send that it works again."""
    return failures >= FAILURES_BEFORE_REST


def backoff_of_delivery(failures: int) -> dt.timedelta:
    """Return how long an account leaves a delivery alone that it has failed so often, 1 or more."""
    return _doubled(failures - 1)


def _doubled(times: int) -> dt.timedelta:
    rest: dt.timedelta = FIRST_REST * 2 ** min(times, 10)
    return min(rest, LONGEST_REST)
