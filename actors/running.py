"""How a stage runs in a worker: commit → publish with confirm → acknowledge, and patience when something is away.

`stage_actor` makes an actor of a function from ids to handoffs. Around it: a database connection for the message,
faults isolated by `runtime.faults`, and the handoffs published. Database or broker away: the message stays
unacknowledged while the worker waits (`waiting`).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any

import dramatiq
from dramatiq import Middleware

from actors import waiting
from actors.intake import encode
from actors.waiting import PutBackError, until_available
from models import DeadLetter, database
from models.dead_letter import OPEN
from pipeline.flow import Handoff, Stage
from pipeline.runtime import faults, logs
from pipeline.runtime.failpoints import failpoint
from pipeline.runtime.logs import log
from pipeline.runtime.waiting import connected

_working = threading.Event()
#: At each of these a worker process of Dramatiq's command line stops; SIGINT it ignores.
_STOPS = (signal.SIGTERM, signal.SIGHUP)


class WorkerState(Middleware):
    """Knows whether workers run in this process, and keeps a message that has raised unacknowledged."""

    def after_process_boot(self, *_: Any) -> None:
        """Dramatiq's hook: a process of its command line begins."""
        logs.configure()
        heed_first_signal_alone()

    def before_worker_boot(self, *_: Any) -> None:
        """Dramatiq's hook: a worker begins."""
        _working.set()

    def after_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Dramatiq's hook: the worker has begun."""
        queues = worker.consumer_whitelist or broker.get_declared_queues()
        log.info("working", queues=[str(s) for s in Stage if s in queues], threads=worker.worker_threads)

    def before_worker_shutdown(self, *_: Any) -> None:
        """Dramatiq's hook: the worker begins to stop."""
        _working.clear()
        waiting.stop()

    def after_worker_shutdown(self, *_: Any) -> None:
        """Dramatiq's hook: the worker has stopped."""
        waiting.begin()

    def after_process_message(
        self,
        _broker: dramatiq.Broker,
        message: Any,
        *,
        result: Any = None,  # noqa: ARG002  (Dramatiq passes it)
        exception: BaseException | None = None,
    ) -> None:
        """Dramatiq's hook: a message was processed, or has raised."""
        if exception is not None:
            message.put_back = True


def heed_first_signal_alone() -> None:
    """Let this process heed the first signal to stop and no other: at a second one, Dramatiq's worker ends at once, in
    the middle of its dialogues. A service manager that signals the whole group sends one, and the main process passes
    on its own.
    """
    heed = {number: signal.getsignal(number) for number in _STOPS}
    first = threading.Lock()

    def handle(number: int, frame: FrameType | None) -> None:
        # One step, since the second can come in the midst of this.
        if not first.acquire(blocking=False):
            return
        for each in _STOPS:
            # Also when Python itself ends, and takes its handlers away.
            signal.signal(each, signal.SIG_IGN)
        stop = heed[signal.Signals(number)]
        assert callable(stop), "Dramatiq sets its handlers before its process begins"
        stop(number, frame)

    for number in _STOPS:
        signal.signal(number, handle)


def works_here() -> bool:
    """Tell whether a worker runs in this process."""
    return _working.is_set()


@dataclass(frozen=True)
class StageActor:
    """A stage as an actor: its queue, its name on the wire, and what it does with a message."""

    stage: Stage
    name: str
    act: Callable[..., None]

    def declare(self, broker: dramatiq.Broker) -> None:
        """Register it with `broker`, so that its workers run it."""
        dramatiq.actor(self.act, actor_name=self.name, queue_name=self.stage.value, broker=broker)  # type: ignore[call-overload]


def stage_actor(
    stage: Stage, give_up: Callable[..., list[Handoff]]
) -> Callable[[Callable[..., list[Handoff]]], StageActor]:
    """Make a function from ids (and options) to handoffs the actor of `stage`, under the function's name.

    Args:
        stage: whose queue it listens on.
        give_up: what becomes of a single id that can't be processed; takes it, the error, and the message's options.
    """

    def decorate(run: Callable[..., list[Handoff]]) -> StageActor:
        def work(ids: Sequence[int], **options: Any) -> None:
            failpoint(f"{stage}:got")
            do, do_without = partial(run, **options), partial(give_up, **options)
            handoffs = until_available(connected(lambda: faults.isolated(do, ids, do_without)))
            failpoint(f"{stage}:committed")
            for handoff in handoffs:
                until_available(connected(partial(publish, [handoff])))
            failpoint(f"{stage}:published")

        def act(ids: Sequence[int], **options: Any) -> None:
            try:
                work(ids, **options)
            except PutBackError:
                raise
            except Exception as error:
                # A fault of the program outside the stage. A few unacknowledged messages would stop the queue.
                log.error("fault", stage=str(stage), ids=list(ids)[:10], **faults.described(error))
                body = encode(stage, list(ids), **options).encode()
                until_available(connected(partial(faults.give_up_message, stage, body, error)))

        return StageActor(stage, run.__name__, act)

    return decorate


def publish(handoffs: Iterable[Handoff]) -> None:
    """Publish handoffs, each with its confirm.

    Raises:
        ConnectionClosed: one was not confirmed; publish it again.
    """
    broker: Any = dramatiq.get_broker()
    for handoff in handoffs:
        options = {} if handoff.slot_token is None else {"slot_token": handoff.slot_token}
        delay = 0.0
        if handoff.not_before is not None:
            delay = (handoff.not_before - database.now()).total_seconds()
        broker.send(encode(handoff.stage, list(handoff.ids), **options), delay=max(0.0, delay), backoff=handoff.backoff)


def show_dead_letters(which: Any) -> None:
    """Show the open dead letters among `which` (a condition on their rows) on RabbitMQ's management page."""
    broker: Any = dramatiq.get_broker()
    broker.show(DeadLetter.select().where(which & OPEN))
