"""A property over random input: the short form is always the same, the full one has a new seed each time."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from typing import Any

import hypothesis
from hypothesis import strategies as st

from tests import effort

#: Set to what a run has printed, `script/faults -k fuzz` does the same again.
SEED = "SLOWPOST_FUZZ_SEED"
#: Cases that share what hypothesis remembers of them.
AT_A_TIME = 1_000


def seed() -> int:
    """Return the seed of this run, and print it: pytest shows that with a failure."""
    found = int(os.environ.get(SEED, secrets.randbits(32))) if effort.is_full() else 0
    print(f"{SEED}={found}")  # noqa: T201
    return found


def fuzz(judged: Callable[[Any], None], values: st.SearchStrategy[Any], *, cases: int) -> int:
    """Call `judged` with so many random values; return the seed, to be reported. A failure shows it, too, and the
    smallest value for which `judged` raises.
    """
    first = seed()
    for start in range(0, cases, AT_A_TIME):
        settings = hypothesis.settings(
            max_examples=min(AT_A_TIME, cases - start),
            database=None,
            deadline=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            print_blob=False,
        )
        try:
            hypothesis.seed(first + start)(settings(hypothesis.given(values)(judged)))()
        except BaseException as error:
            error.add_note(f"{SEED}={first}")
            raise
    return first
