"""This machine's own clock, for what must not take longer than so many seconds."""

from __future__ import annotations

import time


def elapsed() -> float:
    """Return seconds that only grow, also while the machine is suspended: `time.monotonic` stands still then
    (clock_gettime(2)).
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
