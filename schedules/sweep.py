"""Every minute: put back on the route what the broker lost, and mark what is in doubt."""

from __future__ import annotations

from actors import entry
from pipeline import sweep
from pipeline.flow import Handoff


def run() -> list[Handoff]:
    """Sweep once; return what was put back."""
    handoffs = sweep.run()
    entry.hand_over(handoffs)
    return handoffs
