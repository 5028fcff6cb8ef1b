"""How often what has happened, and how it stands now, in numbers: what a monitoring system asks again and again. Reads
only, and no table as a whole that grows with the mails: it takes as long with a million of them as with ten.

Queue depths are known to the broker alone, and are passed in.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from peewee import SQL, fn

from models import (
    Cause,
    ChargedTo,
    DeadLetter,
    DeadLetterKind,
    Delivery,
    Kind,
    Outcome,
    Reason,
    SmtpAccount,
    State,
    daily_figures,
    database,
)
from models.control import control
from models.dead_letter import OPEN
from models.delivery import in_states
from models.heartbeat import JOBS
from models.states import ON_ROUTE, UNFINISHED, WAITS
from pipeline.capacity import usage
from pipeline.reports.account_states import AccountState, state_of
from pipeline.reports.running import Running, running
from pipeline.runtime.settings import settings
from pipeline.throttle.window import SendingWindow
from pipeline.watch import problems
from pipeline.watch.problems import Problem

#: Told as 0 until there is one: of a series that begins with its first one, Prometheus sees no increase.
_ENDS = (
    (Cause.DELIVER, State.SENT, Reason.ACCEPTED),
    (Cause.DELIVER, State.BOUNCED, Reason.RECIPIENT_REFUSED),
    (Cause.DELIVER, State.FAILED, Reason.REFUSED_BY_POLICY),
)
_OUTCOMES = ((Outcome.ACCEPTED, ChargedTo.NOBODY), *((Outcome.FAILED, whom) for whom in ChargedTo))


class ProcessState(StrEnum):
    """How a process is that has not stopped."""

    WORKS = "works"
    WAITS = "waits"
    SILENT = "silent"


@dataclass(frozen=True)
class Transitions:
    """How many deliveries have ever come to a state.

    Attributes:
        stage: what brought them there: the stage, or the act beside the route.
        state: the state.
        reason: why, as of `status`; "": it has none.
        number: how many.
    """

    stage: str
    state: str
    reason: str
    number: int


@dataclass(frozen=True)
class Attempts:
    """How many attempts have ever ended.

    Attributes:
        outcome: `accepted` or `failed`.
        charged_to: whose fault it was.
        number: how many.
    """

    outcome: str
    charged_to: str
    number: int


@dataclass(frozen=True)
class Unfinished:
    """Deliveries that have not ended.

    Attributes:
        state: where they stand.
        number: how many there are.
        oldest: seconds since the one was changed that has not been for longest; None: there is none.
    """

    state: State
    number: int
    oldest: float | None


@dataclass(frozen=True)
class AccountFigures:
    """An account that has not been removed.

    Attributes:
        id: the account.
        state: whether it sends.
        used: how many mails of today's limit are used up.
        limit: mails that it may send today.
    """

    id: int
    state: AccountState
    used: int
    limit: int


@dataclass(frozen=True)
class Figures:
    """All of them.

    Attributes:
        transitions: how many deliveries have ever come to each state.
        attempts: how many attempts have ever ended.
        unfinished: deliveries that have not ended, by state, in the order of the route; each state is there.
        slots_overdue: mails that nobody has taken a minute after their slot.
        dead_letters: how many are open, of each kind.
        accounts: all that have not been removed, by id.
        problems: of each, whether it is there (what `status` says first).
        processes: how many there are of each kind and state; those that have stopped are none.
        silence: kind of process, or job → seconds since any of that kind last said that it lives, or it last ran.
        window_open: whether the window is open.
        paused: whether everything is paused.
        broker_up: whether RabbitMQ can be reached; None: the broker is inside the process.
        queues: name → messages that are ready in it; nothing where RabbitMQ can't be reached.
    """

    transitions: tuple[Transitions, ...]
    attempts: tuple[Attempts, ...]
    unfinished: tuple[Unfinished, ...]
    slots_overdue: int
    dead_letters: Mapping[DeadLetterKind, int]
    accounts: tuple[AccountFigures, ...]
    problems: Mapping[Problem, bool]
    processes: Mapping[tuple[Kind, ProcessState], int]
    silence: Mapping[Kind, float]
    window_open: bool
    paused: bool
    broker_up: bool | None
    queues: Mapping[str, int]


def figures(queues: Mapping[str, int], broker_away: str | None) -> Figures:
    """Return all figures.

    Args:
        queues: name → messages that are ready in it.
        broker_away: why RabbitMQ can't be reached; None: it can, or there is none.
    """
    now, window = database.now(), SendingWindow.from_settings(settings())
    lives = running(broker_away)
    changed = dict.fromkeys(_ENDS, 0) | daily_figures.transitions()
    ended = dict.fromkeys(_OUTCOMES, 0) | daily_figures.attempts()
    return Figures(
        transitions=tuple(Transitions(by[0], by[1], by[2], number) for by, number in sorted(changed.items())),
        attempts=tuple(Attempts(by[0], by[1], number) for by, number in sorted(ended.items())),
        unfinished=tuple(_unfinished(now)),
        slots_overdue=problems.overdue_slots(now)[0],
        dead_letters=_dead_letters(),
        accounts=tuple(_accounts(now, window.local_date(now))),
        problems=dict.fromkeys(Problem, False) | dict.fromkeys((p.problem for p in lives.problems), True),
        processes=_processes(lives),
        silence=_silence(lives, now),
        window_open=window.contains(now),
        paused=control().paused_at is not None,
        broker_up=None if settings().is_embedded else broker_away is None,
        queues=queues,
    )


def _unfinished(now: dt.datetime) -> Iterator[Unfinished]:
    counted: dict[str, tuple[int, dt.datetime]] = {}
    # Two, as the partial indexes are.
    for states in (ON_ROUTE, WAITS):
        query = Delivery.select(Delivery.state, fn.COUNT(SQL("*")), fn.MIN(Delivery.updated_at))
        for state, *found in query.where(in_states(*states)).group_by(Delivery.state).tuples():
            counted[state] = (found[0], found[1])
    for state in UNFINISHED:
        number, first = counted.get(state, (0, now))
        yield Unfinished(state, number, (now - first).total_seconds() if number else None)


def _dead_letters() -> dict[DeadLetterKind, int]:
    query = DeadLetter.select(DeadLetter.kind, fn.COUNT(SQL("*"))).where(OPEN).group_by(DeadLetter.kind)
    counted = dict(query.tuples())
    return {kind: counted.get(kind, 0) for kind in DeadLetterKind}


def _accounts(now: dt.datetime, day: dt.date) -> Iterator[AccountFigures]:
    used: Any = usage.used_by(SmtpAccount.id, day).alias("used")
    there = SmtpAccount.select(SmtpAccount, used).where(SmtpAccount.removed_at.is_null())
    for account in there.order_by(SmtpAccount.id):
        yield AccountFigures(account.id, state_of(account, now), account.used, usage.limit_of(account, day))


def _processes(lives: Running) -> dict[tuple[Kind, ProcessState], int]:
    kinds = [kind for kind in Kind if kind not in JOBS]
    found = dict.fromkeys(itertools.product(kinds, ProcessState), 0)
    for process in lives.processes:
        state = ProcessState.WORKS if process.waits_for is None else ProcessState.WAITS
        found[process.kind, state if process.lives else ProcessState.SILENT] += 1
    return found


def _silence(lives: Running, now: dt.datetime) -> dict[Kind, float]:
    last = {Kind.SWEEP: lives.sweep_ran_at, Kind.PUBLISHER: lives.publisher_ran_at}
    for process in lives.processes:
        last[process.kind] = max(process.beat_at, last.get(process.kind) or process.beat_at)
    return {kind: (now - at).total_seconds() for kind, at in last.items() if at is not None}
