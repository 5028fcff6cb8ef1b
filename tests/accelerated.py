"""The route without a broker, on a clock that jumps: days of it in a second."""

from __future__ import annotations

import datetime as dt
import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import count

from pipeline import check_duplicates, deliver_message, record_outcome, render_message, reserve_slot
from pipeline.flow import TRIGGER, Handoff, Stage
from pipeline.runtime.settings import settings
from pipeline.throttle.window import SendingWindow
from schedules import publish_batch
from tests.conftest import Clock

#: The batch publisher runs at each full and half hour.
EVERY = dt.timedelta(minutes=30)

Work = Callable[[], Iterable[Handoff]]


class Accelerated:
    """The stages on a clock that jumps from message to message; a delivery `takes` so many seconds."""

    def __init__(self, clock: Clock, *, takes: float = 0.1) -> None:
        self.clock, self.takes = clock, takes
        self._number = count(1)
        self._queue: list[tuple[dt.datetime, int, Work]] = []

    def put(self, *handoffs: Handoff) -> None:
        """Put messages on their queues."""
        for handoff in handoffs:
            due = max(self.clock.at + dt.timedelta(seconds=handoff.backoff or 0), handoff.not_before or self.clock.at)
            heapq.heappush(self._queue, (due, next(self._number), partial(self._done, handoff)))

    def publish_every_half_hour(self) -> None:
        """Let the batch publisher run, too, at each full and half hour inside the window, before all else that is due.

        Outside it would only say so.
        """
        at = self.clock.at.replace(minute=self.clock.at.minute // 30 * 30, second=0, microsecond=0) + EVERY
        heapq.heappush(self._queue, (at, 0, self._published))

    def run(self, until: dt.datetime) -> None:
        """Do all that is due before `until`."""
        for _ in self.instants(until):
            pass

    def instants(self, until: dt.datetime) -> Iterator[dt.datetime]:
        """Do all that is due before `until`, and yield each instant when nothing is left to do at it."""
        while self._queue and self._queue[0][0] < until:
            at, _, work = heapq.heappop(self._queue)
            self.clock.at = max(self.clock.at, at)
            self.put(*work())
            if not self._queue or self._queue[0][0] > self.clock.at:
                yield self.clock.at
        self.clock.at = max(self.clock.at, until)

    def _done(self, handoff: Handoff) -> list[Handoff]:
        if handoff.stage is not Stage.DELIVER:
            return _STAGES[handoff.stage](handoff.ids)
        following = deliver_message.deliver(handoff.ids, handoff.slot_token or "")
        self.clock.tick(self.takes)
        return following

    def _published(self) -> Iterable[Handoff]:
        self.publish_every_half_hour()
        is_open = SendingWindow.from_settings(settings()).contains(self.clock.at)
        return publish_batch.publish().handoffs if is_open else ()


def run(clock: Clock, lasting: dt.timedelta) -> dt.datetime:
    """Do what the stages hand on to one another, each at its time, for so long; return when it began."""
    began = clock.at
    route = Accelerated(clock, takes=0)
    route.put(TRIGGER)
    route.run(began + lasting)
    return began


_STAGES: dict[Stage, Callable[[Sequence[int]], list[Handoff]]] = {
    Stage.DEDUPE: check_duplicates.clear,
    Stage.RENDER: render_message.render,
    Stage.RESERVE: reserve_slot.reserve,
    Stage.RECORD: record_outcome.record,
}
