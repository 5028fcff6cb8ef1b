"""How a stage runs in a worker: commit → publish with confirm → acknowledge, and patience when something is away.

`stage_actor` makes an actor of a function from ids to handoffs. Around it: a database connection for the message,
faults isolated by `pipeline.faults`, and the handoffs published. Database or broker away: the message stays
unacknowledged while the worker waits and says what for. A worker that is told to stop meanwhile puts the message
back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import dramatiq
from dramatiq import Middleware
from dramatiq.errors import BrokerConnectionError

from models import database
from pipeline import faults, logs
from pipeline.flow import Handoff, Stage

from .intake import encode

T = TypeVar("T")

_working = threading.Event()
_stopping = threading.Event()


class PutBackError(Exception):
    """The worker stops while it waits; the message is to be given to another."""


class WorkerState(Middleware):
    """Knows whether this process works or stops, and keeps a message that was put back from being acknowledged."""

    def after_process_boot(self, *_: Any) -> None:
        """Dramatiq's hook: a process of its command line begins."""
        logs.configure()

    def before_worker_boot(self, *_: Any) -> None:
        """Dramatiq's hook: a worker begins."""
        _working.set()
        _stopping.clear()

    def before_worker_shutdown(self, *_: Any) -> None:
        """Dramatiq's hook: the worker begins to stop."""
        _working.clear()
        _stopping.set()

    def after_process_message(
        self,
        _broker: dramatiq.Broker,
        message: Any,
        *,
        result: Any = None,  # noqa: ARG002  (Dramatiq passes it)
        exception: BaseException | None = None,
    ) -> None:
        """Dramatiq's hook: a message is done with, or has raised."""
        if exception is not None:
            message.put_back = True


def works_here() -> bool:
    """Tell whether a worker runs in this process."""
    return _working.is_set()


def stage_actor(stage: Stage, give_up: Callable[[int, Exception], None]) -> Callable[[Any], Any]:
    """Make a function from ids (and options) to handoffs the actor of `stage`.

    Args:
        stage: whose queue it listens on.
        give_up: what becomes of a single id that can't be processed.
    """

    def decorate(run: Callable[..., list[Handoff]]) -> Any:
        def act(ids: Sequence[int], **options: Any) -> None:
            handoffs = patiently(lambda: faults.isolated(partial(run, **options), ids, give_up))
            for handoff in handoffs:
                patiently(partial(publish, [handoff]))

        return dramatiq.actor(actor_name=run.__name__, queue_name=stage.value)(act)

    return decorate


def publish(handoffs: Iterable[Handoff]) -> None:
    """Publish handoffs, each with its confirm.

    Raises:
        ConnectionClosed: one is not known to be safe; publish it again.
    """
    broker: Any = dramatiq.get_broker()
    for handoff in handoffs:
        options = {} if handoff.slot_token is None else {"slot_token": handoff.slot_token}
        delay = 0.0
        if handoff.not_before is not None:
            delay = (handoff.not_before - database.now()).total_seconds()
        broker.send(encode(handoff.stage, list(handoff.ids), **options), delay=max(0.0, delay), backoff=handoff.backoff)


def patiently(do: Callable[[], T]) -> T:
    """Do something with a database connection; where database or broker are away, wait and do it again.

    Raises:
        PutBackError: the worker was told to stop meanwhile.
    """
    return faults.patiently(do, is_outside=_is_trouble_outside, pause=_pause)


def _is_trouble_outside(error: BaseException) -> bool:
    return isinstance(error, BrokerConnectionError) or faults.is_trouble_outside(error)


def _pause(seconds: float) -> None:
    if _stopping.wait(seconds):
        raise PutBackError
