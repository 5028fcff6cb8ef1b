"""Days in a moment: the stages from *reserve slot* on do what they hand on, each at its time, by a moved clock."""

from __future__ import annotations

import datetime as dt
import heapq
from itertools import count

from pipeline import deliver_message, record_outcome, reserve_slot
from pipeline.flow import Handoff, Stage
from tests.conftest import Clock


def run(clock: Clock, lasting: dt.timedelta) -> dt.datetime:
    """Do what the stages hand on, each at its time, for so long; return when it began."""
    began = clock.at
    number = count()
    waiting = [(began, next(number), Handoff(Stage.RESERVE))]
    while waiting and waiting[0][0] <= began + lasting:
        at, _, handoff = heapq.heappop(waiting)
        clock.at = max(clock.at, at)
        for following in _done(handoff):
            heapq.heappush(waiting, (_due(following, clock.at), next(number), following))
    clock.at = max(clock.at, began + lasting)
    return began


def _due(handoff: Handoff, now: dt.datetime) -> dt.datetime:
    backoff = dt.timedelta(seconds=handoff.backoff or 0)
    return max(now + backoff, handoff.not_before or now)


def _done(handoff: Handoff) -> list[Handoff]:
    """Return what a stage hands on."""
    match handoff.stage:
        case Stage.RESERVE:
            return reserve_slot.reserve()
        case Stage.DELIVER:
            return deliver_message.deliver(handoff.ids, str(handoff.slot_token))
        case _:
            return record_outcome.record(handoff.ids)
