"""SIGSTOP past every timeout, then SIGCONT: whoever wakes finds that others went on, and does no harm.

In each round four processes are frozen at once: before the claim, between claim and dot, after the dot, and before the
outcome. The others go on, and in each round something else is decided meanwhile about what the frozen ones hold.
"""

from __future__ import annotations

import datetime as dt
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pika
import pytest

from actors.intake import encode
from models import Attempt, ChargedTo, Delivery, Outcome, State, database
from pipeline.delivery import claim
from pipeline.flow import Stage
from pipeline.operations import accounts, decisions, pause
from pipeline.operations.decisions import DecisionRefusedError
from pipeline.operations.pause import Target
from tests.broker.conftest import until
from tests.builders import a_template, an_account
from tests.faults import fleet as fleets
from tests.faults.fleet import Fleet
from tests.faults.oracle import accepted


def test_whoever_wakes_does_no_harm(
    postgres: str,
    rabbitmq: str,
    mail_server: tuple[int, Path],
    tmp_path: Path,
    counts: Callable[[int, int], int],
    report: Callable[..., None],
) -> None:
    port, file = mail_server
    a_template()
    for _ in range(ACCOUNTS):
        an_account(port=port)
    rounds, resent = counts(2, 20), set[int]()
    # Each process has one mail in hand, so that what is frozen is known, and what is not goes to the others.
    environment = fleets.environment(f"{postgres}?options={ENDS_IDLE}", rabbitmq, dramatiq_queue_prefetch="1")
    with Fleet(environment, tmp_path, size=SIZE) as fleet:
        for number in range(rounds):
            run = freeze(fleet, file, resent)
            frozen_at = time.monotonic()
            afterwards = MEANWHILE[number % len(MEANWHILE)](run)
            time.sleep(max(0.0, frozen_at + FROZEN_FOR - time.monotonic()))
            wake(run)
            afterwards()
            seconds = fleet.settle()
            run.until(lambda run=run: run.states() == {State.SENT: CONTACTS_EACH})  # type: ignore[misc]
            assert [n for i, n in zip(run.ids, run.lines(run.ids), strict=True) if i not in resent] == [1] * (
                CONTACTS_EACH - len(resent & set(run.ids))
            )
    assert fleet.violations(file, resent=frozenset(resent)) == []
    report(
        frozen=rounds * len(POINTS),
        contacts=rounds * CONTACTS_EACH,
        resent=len(resent),
        settled_in_s=round(seconds, 1),
    )


def test_a_frozen_transaction_does_not_hold_up_the_others_for_ever(postgres: str) -> None:
    (limit,) = database.db.execute_sql("SHOW idle_in_transaction_session_timeout").fetchone()
    assert limit != "0", "a process frozen with the throttle's lock holds up all sending, and `pause`, until it wakes"


POINTS = ("smtp:offered", "claim:committed", "smtp:dot", "smtp:replied")
#: Two go on while four are frozen.
SIZE, ACCOUNTS, CONTACTS_EACH = 6, 40, 10
#: Seconds: longer than the fleet's timeouts, and than a claim allows for the dot.
FROZEN_FOR = claim.DOT_WITHIN + 0.3
WHO = "test"
#: PostgreSQL ends a transaction whose process says nothing for so long: another thread of one that is frozen may hold
#: the throttle's lock, and everybody else, `pause` too, would wait for it.
ENDS_IDLE = "-c%20idle_in_transaction_session_timeout%3D2000"


@dataclass
class Round:
    """What is frozen, and what is in the oracle's file.

    Attributes:
        fleet: the processes.
        file: the oracle's.
        ids: all deliveries of this round.
        unsent: those claimed without a dot.
        dotted: those whose dot the server has got.
        tokens: the claims of both, by delivery.
        resent: deliveries that were sent again, in all rounds.
    """

    fleet: Fleet
    file: Path
    ids: list[int]
    unsent: list[int]
    dotted: list[int]
    tokens: dict[int, str]
    resent: set[int] = field(default_factory=set)

    @property
    def claimed(self) -> list[int]:
        """What the frozen processes hold a claim of."""
        return [*self.unsent, *self.dotted]

    def lines(self, ids: list[int]) -> list[int]:
        """Return how often the server has accepted each of these deliveries."""
        times = Counter(line.message_id for line in accepted(self.file))
        messages = {d.id: d.message_id for d in Delivery.select().where(Delivery.id.in_(ids))}
        return [times[messages[i]] for i in ids]

    def states(self, ids: list[int] | None = None) -> Counter[str]:
        """Return how many of these deliveries (of all in this round) are in each state."""
        query = Delivery.select(Delivery.state).where(Delivery.id.in_(self.ids if ids is None else ids))
        return Counter(row.state for row in query)

    def until(self, holds: Callable[[], bool], patience: float = 30) -> None:
        """Wait until something holds."""
        until(holds, lambda: f"{self.states()} {self.fleet.log()[-3000:]}", patience)

    def sweep_and_doubt(self) -> None:
        """Let a sweep find that the timeouts are up."""
        self.fleet.sweep_ahead(0)
        assert self.states(self.claimed) == {State.IN_DOUBT: len(self.claimed)}

    def resend_all(self) -> None:
        """Have what is in doubt sent again; that is refused until half an hour has passed."""
        for i in self.claimed:
            with pytest.raises(DecisionRefusedError, match="30 minutes"):
                decisions.resolve_resend(i, WHO)
        for attempt in Attempt.select().where(Attempt.token.in_(list(self.tokens.values()))):
            earlier = attempt.claimed_at - dt.timedelta(minutes=31)
            Attempt.update(claimed_at=earlier).where(Attempt.id == attempt.id).execute()
        for i in self.claimed:
            decisions.resolve_resend(i, WHO)
        self.resent.update(self.claimed)

    def resend_what_was_not_sent(self) -> None:
        """Nobody has to wait where the holder of a claim has said that it did not send the dot."""
        assert self.states(self.unsent) == {State.IN_DOUBT: len(self.unsent)}
        for i in self.unsent:
            decisions.resolve_resend(i, WHO)
        trigger(self.fleet)


def nobody_decides(run: Round) -> Callable[[], None]:
    run.sweep_and_doubt()
    run.until(lambda: run.states()[State.SENT] == CONTACTS_EACH - len(run.claimed))

    def afterwards() -> None:
        run.resend_what_was_not_sent()

    return afterwards


def decided_that_they_were_sent(run: Round) -> Callable[[], None]:
    run.sweep_and_doubt()
    for i in run.dotted:
        decisions.resolve_sent(i, WHO)

    def afterwards() -> None:
        run.resend_what_was_not_sent()

    return afterwards


def sent_again(run: Round) -> Callable[[], None]:
    run.sweep_and_doubt()
    run.resend_all()
    trigger(run.fleet)
    run.until(lambda: run.states()[State.SENT] == CONTACTS_EACH)
    assert run.lines(run.unsent) == [1] * len(run.unsent)

    def afterwards() -> None:
        assert run.lines(run.dotted) == [2] * len(run.dotted)

    return afterwards


def to_be_sent_again_and_paused(run: Round) -> Callable[[], None]:
    pause.pause(Target(), WHO)
    run.sweep_and_doubt()
    run.resend_all()
    waiting = run.states()[State.READY]
    assert waiting >= len(run.claimed)

    def afterwards() -> None:
        assert run.states() == {State.SENT: CONTACTS_EACH - waiting + len(run.dotted), State.READY: waiting - 2}
        assert run.lines(run.unsent) == [0] * len(run.unsent)
        time.sleep(0.5)
        assert sum(run.lines(run.ids)) == run.states()[State.SENT]
        pause.resume(Target(), WHO)
        trigger(run.fleet)
        run.resent.difference_update(run.claimed)

    return afterwards


def accounts_disabled(run: Round) -> Callable[[], None]:
    held = Delivery.select().where(Delivery.id.in_(run.ids) & Delivery.account.is_null(False))
    holders = sorted({d.account_id for d in held})
    assert len(holders) >= len(run.claimed)
    for account_id in holders:
        accounts.disable(account_id, WHO)
    claims = Attempt.select().where(Attempt.account.in_(holders))
    before = claims.count()
    trigger(run.fleet)
    run.until(lambda: run.states()[State.SENT] == CONTACTS_EACH - len(run.claimed))

    def afterwards() -> None:
        run.until(lambda: run.states()[State.SENT] == CONTACTS_EACH)
        assert claims.count() == before
        for account_id in holders:
            accounts.enable(account_id, WHO)

    return afterwards


#: What is done while they are frozen; each returns what is to be seen, and done, when they have woken.
MEANWHILE = (to_be_sent_again_and_paused, sent_again, accounts_disabled, nobody_decides, decided_that_they_were_sent)


def freeze(fleet: Fleet, file: Path, resent: set[int]) -> Round:
    """Freeze a process at each of POINTS, let the others go on, and return what is held."""
    pause.pause(Target(), WHO)
    contacts = fleet.publish(CONTACTS_EACH)
    new = Delivery.contact.in_(contacts)
    run = Round(fleet, file, [], [], [], {}, resent)
    run.until(lambda: Delivery.select().where(new & (Delivery.state == State.READY)).count() == CONTACTS_EACH)
    run.ids = [d.id for d in Delivery.select().where(new).order_by(Delivery.id)]
    for point in POINTS:
        fleet.arm(point, "stop")
    pause.resume(Target(), WHO)
    trigger(fleet)
    for point in POINTS:
        assert fleet.fires(point), f"nobody came to {point}: {fleet.log()[-3000:]}"
    run.until(lambda: len(fleet.frozen) == len(POINTS))
    _until_others_are_done(run)
    claimed = list(Delivery.select().where(Delivery.id.in_(run.ids) & (Delivery.state == State.SENDING)))
    run.tokens = {d.id: d.token for d in claimed}
    lines = dict(zip(run.tokens, run.lines(list(run.tokens)), strict=True))
    run.unsent = [i for i, n in lines.items() if n == 0]
    run.dotted = [i for i, n in lines.items() if n == 1]
    assert (len(run.unsent), len(run.dotted)) == (1, 2)
    return run


def wake(run: Round) -> None:
    """Let them go on; each writes its outcome to its own attempt."""
    for pid in run.fleet.frozen:
        os.kill(pid, signal.SIGCONT)
    mine = Attempt.token.in_(list(run.tokens.values()))
    run.until(lambda: not Attempt.select().where(mine & Attempt.finished_at.is_null()).exists())
    outcomes = {a.delivery_id: (a.outcome, a.charged_to) for a in Attempt.select().where(mine)}
    assert outcomes == dict.fromkeys(run.unsent, (Outcome.FAILED, ChargedTo.NOBODY)) | dict.fromkeys(
        run.dotted, (Outcome.ACCEPTED, ChargedTo.NOBODY)
    )
    assert run.states(run.dotted) == {State.SENT: len(run.dotted)}
    run.until(lambda: not run.fleet.frozen)


def trigger(fleet: Fleet) -> None:
    """Trigger the throttle; each frozen process may swallow one message, and two have to be left."""
    with pika.BlockingConnection(pika.URLParameters(fleet.environment["BROKER_URL"])) as connection:
        for _ in range(SIZE):
            connection.channel().basic_publish("", Stage.RESERVE, encode(Stage.RESERVE, []).encode())


def _until_others_are_done(run: Round) -> None:
    """Wait until nothing is under way but what the frozen hold; what they have not yet handed on, a sweep does."""
    deadline, next_sweep = time.monotonic() + 30, time.monotonic() + fleets.SWEEP_EVERY
    while True:
        states = run.states()
        if states[State.SENDING] == len(POINTS) - 1 and states[State.SENT] >= CONTACTS_EACH - len(POINTS):
            return
        assert time.monotonic() < deadline, f"{states} {run.fleet.log()[-3000:]}"
        if time.monotonic() > next_sweep:
            run.fleet.sweep_ahead()
            next_sweep = time.monotonic() + fleets.SWEEP_EVERY
        time.sleep(0.02)
