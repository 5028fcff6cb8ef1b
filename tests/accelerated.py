"""The route without a broker, on a clock that jumps: days of it in a second."""

from __future__ import annotations

import datetime as dt
import heapq
from collections.abc import Callable, Sequence
from itertools import count

from pipeline import check_duplicates, deliver_message, record_outcome, render_message, reserve_slot
from pipeline.flow import Handoff, Stage
from tests.conftest import Clock


class Accelerated:
    """The stages on a clock that jumps from message to message; a delivery takes a tenth of a second."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._number = count()
        self._queue: list[tuple[dt.datetime, int, Handoff]] = []

    def put(self, *handoffs: Handoff) -> None:
        """Put messages on their queues."""
        for handoff in handoffs:
            heapq.heappush(self._queue, (handoff.not_before or self.clock.at, next(self._number), handoff))

    def run(self, until: dt.datetime) -> None:
        """Deliver all messages that are due before `until`."""
        while self._queue and self._queue[0][0] < until:
            at, _, handoff = heapq.heappop(self._queue)
            self.clock.at = max(self.clock.at, at)
            if handoff.stage is Stage.DELIVER:
                self.put(*deliver_message.deliver(handoff.ids, handoff.slot_token or ""))
                self.clock.tick(0.1)
            else:
                self.put(*_STAGES[handoff.stage](handoff.ids))
        self.clock.at = max(self.clock.at, until)


_STAGES: dict[Stage, Callable[[Sequence[int]], list[Handoff]]] = {
    Stage.DEDUPE: check_duplicates.clear,
    Stage.RENDER: render_message.render,
    Stage.RESERVE: reserve_slot.reserve,
    Stage.RECORD: record_outcome.record,
}
