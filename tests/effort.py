"""How much is tried: a little with `script/test`, so that it is soon over, and much with `script/faults`."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")

#: Set by `script/faults`: a file that takes a line for each experiment. Then the counts are full.
REPORT = "SLOWPOST_FAULTS_REPORT"


def is_full() -> bool:
    """Tell whether the full counts are wanted."""
    return REPORT in os.environ


def counts(short: T, full: T) -> T:
    """Return the number, or whatever else is more or less, for this run."""
    return full if is_full() else short
