"""How a stage runs in a worker: commit → publish with confirm → acknowledge, and patience when something is away.

`stage_actor` makes an actor of a function from ids to handoffs. Around it: a database connection for the message,
faults isolated by `runtime.faults`, and the handoffs published. Database or broker away: the message stays
unacknowledged while the worker waits (`waiting`).
"""

from __future__ import annotations

import datetime as dt
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any

import dramatiq
from dramatiq import Message, Middleware

from actors import waiting
from actors.gathering import Ready
from actors.intake import encode
from actors.outgoing import Outgoing
from actors.waiting import PutBackError, until_available
from models import DeadLetter, Kind, database
from models.dead_letter import OPEN
from pipeline.flow import Handoff, Stage, joined
from pipeline.runtime import faults, logs
from pipeline.runtime.failpoints import failpoint
from pipeline.runtime.logs import log
from pipeline.runtime.waiting import connected
from pipeline.select_contacts import asked
from pipeline.watch.hearts import Heart

_working = threading.Event()
#: At each of these a worker process of Dramatiq's command line stops; SIGINT it ignores.
_STOPS = (signal.SIGTERM, signal.SIGHUP)


class WorkerState(Middleware):
    """Knows whether workers run in this process, and keeps a message that has raised unacknowledged. A process of
    Dramatiq's command line says that it lives; any other one does so itself.
    """

    _heart: Heart | None = None

    def after_process_boot(self, *_: Any) -> None:
        """Dramatiq's hook: a process of its command line begins."""
        logs.configure()
        heed_first_signal_alone()
        self._heart = Heart(Kind.WORKER)
        self._heart.start()

    def before_worker_boot(self, _broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Dramatiq's hook: a worker begins."""
        _working.set()
        worker.work_queue = Ready()

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
        if self._heart is not None:
            self._heart.stop()
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
    """A stage as an actor.

    Attributes:
        stage: whose queue it listens on.
        run: the stage: from ids (and options) to handoffs. Its name is the actor's, on the wire, too.
        give_up: what becomes of a single id that can't be processed; takes it, the error, and the message's options.
    """

    stage: Stage
    run: Callable[..., list[Handoff]]
    give_up: Callable[..., list[Handoff]]

    def declare(self, broker: dramatiq.Broker) -> None:
        """Register it with `broker`, so that its workers run it."""
        dramatiq.actor(  # type: ignore[call-overload]
            self.act, actor_name=self.run.__name__, queue_name=self.stage.value, broker=broker
        )

    def act(self, ids: Sequence[int], *, others: Sequence[Message[Any]] = (), **options: Any) -> None:
        """Do what a message asks for, and with it what `others` ask for that were gathered.

        Raises:
            PutBackError: the process stops; another one is to do it.
        """
        messages = [(ids, options), *((other.args[0], other.kwargs) for other in others)]
        if len(messages) == 1 or not self._act_together(messages):
            for one in messages:
                self._act_alone(*one)

    def _act_together(self, messages: Sequence[tuple[Sequence[int], dict[str, Any]]]) -> bool:
        """Take messages in one call; tell whether that could be done."""
        taken = [as_taken(self.stage, ids, options) for ids, options in messages]
        ids, options = [i for ids, _ in taken for i in ids], taken[0][1]

        def run() -> list[Handoff]:
            handoffs = self.run(ids, **options)
            failpoint("group:committed")
            return handoffs

        try:
            failpoint("group:gathered")
            self._commit_and_publish(run)
        except PutBackError:
            raise
        except Exception as error:
            log.error("fault", stage=str(self.stage), messages=len(messages), **faults.described(error))
            return False
        return True

    def _act_alone(self, ids: Sequence[int], options: dict[str, Any]) -> None:
        taken, asked_for = as_taken(self.stage, ids, options)
        run, give_up = partial(self.run, **asked_for), partial(self.give_up, **asked_for)
        try:
            self._commit_and_publish(partial(faults.isolated, run, taken, give_up))
        except PutBackError:
            raise
        except Exception as error:
            # A fault of the program outside the stage. A few unacknowledged messages would stop the queue.
            log.error("fault", stage=str(self.stage), ids=list(ids)[:10], **faults.described(error))
            body = encode(self.stage, list(ids), **options).encode()
            until_available(connected(partial(faults.give_up_message, self.stage, body, error)))

    def _commit_and_publish(self, run: Callable[[], list[Handoff]]) -> None:
        failpoint(f"{self.stage}:got")
        handoffs = until_available(connected(run))
        failpoint(f"{self.stage}:committed")
        until_available(partial(publish, handoffs))
        failpoint(f"{self.stage}:published")


def stage_actor(
    stage: Stage, give_up: Callable[..., list[Handoff]]
) -> Callable[[Callable[..., list[Handoff]]], StageActor]:
    """Make a function the actor of `stage`, under its name; see `StageActor`."""

    def decorate(run: Callable[..., list[Handoff]]) -> StageActor:
        return StageActor(stage, run, give_up)

    return decorate


def as_taken(stage: Stage, ids: Sequence[int], options: dict[str, Any]) -> tuple[Sequence[Any], dict[str, Any]]:
    """Return a message's ids and options as its stage takes them: on `intake` each id with its source."""
    if stage is not Stage.INTAKE:
        return ids, options
    return asked(options["source"], ids), {name: value for name, value in options.items() if name != "source"}


def publish(handoffs: Iterable[Handoff]) -> None:
    """Publish handoffs, and wait until all are confirmed.

    Raises:
        ConnectionClosed: one was not confirmed; publish them all again.
    """
    fewer = joined(handoffs)
    if not fewer:
        return
    now = connected(database.now)() if any(handoff.not_before for handoff in fewer) else None
    broker: Any = dramatiq.get_broker()
    broker.send_all([_outgoing(handoff, now) for handoff in fewer])


def _outgoing(handoff: Handoff, now: dt.datetime | None) -> Outgoing:
    options = {} if handoff.slot_token is None else {"slot_token": handoff.slot_token}
    delay = 0.0
    if handoff.not_before is not None and now is not None:
        delay = max(0.0, (handoff.not_before - now).total_seconds())
    return Outgoing(encode(handoff.stage, list(handoff.ids), **options), delay, handoff.backoff)


def show_dead_letters(which: Any) -> None:
    """Show the open dead letters among `which` (a condition on their rows) on RabbitMQ's management page."""
    broker: Any = dramatiq.get_broker()
    broker.show(DeadLetter.select().where(which & OPEN))
