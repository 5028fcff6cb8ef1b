"""What follows from what a server said: each row of the table, charged to the one whose fault it is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import peewee
import pytest

from models import (
    Attempt,
    Cause,
    DeadLetter,
    Delivery,
    EmailTemplate,
    Outcome,
    SmtpAccount,
    State,
    Suppression,
    database,
    transition,
)
from pipeline import deliver_message, record_outcome, sweep
from pipeline.delivery import outcome
from pipeline.delivery.claim import Claim, claim
from pipeline.flow import Handoff, Stage
from pipeline.operations import decisions
from pipeline.smtp.reply import Phase, Reply, Result, Verdict
from tests.builders import a_delivery, an_account, history_of
from tests.conftest import Clock
from tests.smtp_server import ScriptedServer

#: Verdict → state, reason, attempts used, charged to, outcome of the attempt.
CONSEQUENCES: dict[Verdict, tuple[str, str | None, int, str, str]] = {
    Verdict.ACCEPTED: ("sent", "accepted", 0, "nobody", "accepted"),
    Verdict.RECIPIENT_FOR_GOOD: ("bounced", "recipient_refused", 1, "recipient", "failed"),
    Verdict.SITE_BY_POLICY: ("failed", "refused_by_policy", 1, "site", "failed"),
    Verdict.RECIPIENT_FOR_NOW: ("ready", None, 1, "recipient", "failed"),
    Verdict.GREYLISTED: ("ready", None, 0, "recipient", "failed"),
    Verdict.MAILBOX_FULL: ("ready", None, 0, "recipient", "failed"),
    Verdict.CONTENT: ("failed", "content_refused", 1, "content", "failed"),
    Verdict.ACCOUNT_FOR_NOW: ("ready", None, 0, "account", "failed"),
    Verdict.ACCOUNT_QUOTA: ("ready", None, 0, "account", "failed"),
    Verdict.LOGIN_REFUSED: ("ready", None, 0, "account", "failed"),
    Verdict.ACCOUNT_FOR_GOOD: ("ready", None, 0, "account", "failed"),
    Verdict.UNKNOWN: ("in_doubt", "no_outcome", 0, "nobody", "in_doubt"),
}
#: Nobody is accepted or in doubt before the dot.
BEFORE_THE_CLAIM = set(Verdict) - {Verdict.ACCEPTED, Verdict.UNKNOWN}


@pytest.mark.parametrize(
    ("verdict", "claimed"),
    [(v, True) for v in CONSEQUENCES] + [(v, False) for v in CONSEQUENCES if v in BEFORE_THE_CLAIM],
)
def test_each_verdict_has_its_consequences(any_database: str, clock: Clock, verdict: Verdict, claimed: bool) -> None:
    state, reason, attempts, charged_to, attempt = CONSEQUENCES[verdict]
    if claimed:
        handoffs = outcome.settle(a_claim(), said(verdict))
    else:
        slot = a_delivery(State.RESERVED, account=an_account(), send_at=clock.at, token="slot")
        handoffs = outcome.settle_unclaimed(slot, "slot", said(verdict))

    delivery, row = Delivery.get(), Attempt.get()
    assert (delivery.state, delivery.reason, delivery.attempts) == (state, reason, attempts)
    assert (row.charged_to, row.outcome, row.reply_code) == (charged_to, attempt, SAID[verdict].code)
    told = history_of([delivery.id])[-1]
    assert (told.state, told.reason) == (state, reason or verdict)
    assert (told.attempt_id, told.reply_code) == (row.id, row.reply_code)
    assert handoffs[0] == Handoff(Stage.RECORD, [delivery.id])
    assert [s.value for s in Suppression.select()] == ([delivery.address] if state == "bounced" else [])
    assert [d.reason for d in DeadLetter.select()] == ([reason] if state == "failed" else [])
    assert set(CONSEQUENCES) == set(Verdict)


@pytest.mark.parametrize(("allowed", "backoffs"), [(1, []), (3, [60, 300]), (5, [60, 300, 900, 900])])
def test_a_recipient_is_tried_again_after_each_backoff_and_then_given_up(
    any_database: str, clock: Clock, configure: Callable[..., None], allowed: int, backoffs: list[int]
) -> None:
    configure(mail_max_attempts=allowed)
    account = an_account()
    given = a_claim(account)
    for backoff in backoffs:
        handoffs = outcome.settle(given, said(Verdict.RECIPIENT_FOR_NOW))
        assert handoffs[1:] == [Handoff(Stage.RESERVE, [given.delivery_id], backoff=backoff)]
        assert Delivery.get().not_before == clock.at + dt.timedelta(seconds=backoff)
        clock.tick(1000)
        given = reclaim(given.delivery_id, account)
    assert outcome.settle(given, said(Verdict.RECIPIENT_FOR_NOW)) == [Handoff(Stage.RECORD, [given.delivery_id])]
    assert (Delivery.get().state, Delivery.get().reason) == ("failed", "attempts_used_up")
    assert [d.detail for d in DeadLetter.select()] == ["dot: 450 4.2.0 later"]


@pytest.mark.parametrize(
    ("verdict", "waits"),
    [
        (
            Verdict.GREYLISTED,
            [dt.timedelta(minutes=15), dt.timedelta(hours=1), dt.timedelta(hours=4), dt.timedelta(hours=12)],
        ),
        (Verdict.MAILBOX_FULL, [dt.timedelta(hours=22), dt.timedelta(hours=22)]),
    ],
)
def test_greylisting_and_full_mailboxes_have_waits_and_a_count_of_their_own(
    any_database: str, clock: Clock, verdict: Verdict, waits: list[dt.timedelta]
) -> None:
    account, start = an_account(), clock.at
    delivery, seen = a_delivery(State.READY), []
    for day in range(len(waits) + 1):
        # Each at 10:00 in New York.
        clock.at = start + dt.timedelta(days=day)
        given = reclaim(delivery.id, account)
        handoffs = outcome.settle(given, said(verdict))
        assert handoffs == [Handoff(Stage.RECORD, [delivery.id])]
        seen.append(Delivery.get().not_before)
    after = [start + dt.timedelta(days=day) + wait for day, wait in enumerate(waits)]
    assert seen[: len(waits)] == after
    assert (Delivery.get().state, Delivery.get().reason, Delivery.get().attempts) == ("failed", "attempts_used_up", 0)
    assert Suppression.select().count() == 0


@pytest.mark.parametrize(
    ("hours", "replayed", "state"),
    [
        ([*range(9), 24], None, State.FAILED),
        ([*range(9), 23.9], None, State.READY),
        ([*range(8), 48], None, State.READY),
        ([*range(9), 24], 1, State.READY),
    ],
    ids=["ten over a day", "ten in less than a day", "nine over two days", "one of them before a replay"],
)
def test_a_delivery_is_given_up_after_ten_account_failures_over_a_day(
    any_database: str, clock: Clock, hours: list[float], replayed: int | None, state: State
) -> None:
    delivery, start = a_delivery(State.READY), clock.at
    for number, hour in enumerate(hours):
        clock.at = start + dt.timedelta(hours=hour)
        if number == replayed:
            Delivery.update(attempts_since=clock.at).execute()
        slot = {"account": an_account().id, "send_at": clock.at, "token": f"slot {hour}"}
        transition(State.READY, State.RESERVED, Delivery.id == delivery.id, cause=Cause.OUTSIDE, **slot)
        held = Delivery.get_by_id(delivery.id)
        outcome.settle_unclaimed(held, held.token, said(Verdict.ACCOUNT_FOR_NOW))
    assert Delivery.get().state == state
    assert [d.reason for d in DeadLetter.select()] == (["no_account_accepts"] if state is State.FAILED else [])


def test_a_250_after_all_makes_a_doubtful_delivery_sent(any_database: str, clock: Clock) -> None:
    given = a_claim()
    clock.tick(20 * 60)
    sweep.sweep()
    assert Delivery.get().state == State.IN_DOUBT
    record_outcome.record([given.delivery_id])
    assert outcome.settle(given, said(Verdict.ACCEPTED)) == [Handoff(Stage.RECORD, [given.delivery_id])]
    record_outcome.record([given.delivery_id])
    assert (Delivery.get().state, Attempt.get().outcome) == (State.SENT, Outcome.ACCEPTED)
    assert EmailTemplate.get().times_used == 1


def test_a_250_after_a_person_resent_counts_unless_something_newer_was_claimed(any_database: str, clock: Clock) -> None:
    account = an_account()
    given = a_claim(account)
    clock.tick(31 * 60)
    sweep.sweep()
    decisions.resolve_resend(given.delivery_id, "me")
    newer = reclaim(given.delivery_id, account)

    assert outcome.settle(given, said(Verdict.ACCEPTED)) == []
    assert Delivery.get().state == State.SENDING
    outcome.settle(newer, said(Verdict.RECIPIENT_FOR_NOW))
    assert Delivery.get().state == State.READY
    assert sorted(a.outcome for a in Attempt.select()) == ["accepted", "failed"]


@pytest.mark.parametrize("waits", [State.READY, State.RESERVED])
def test_a_250_before_anything_newer_makes_what_a_person_put_back_sent(
    any_database: str, clock: Clock, waits: State
) -> None:
    given = a_claim()
    clock.tick(31 * 60)
    sweep.sweep()
    decisions.resolve_resend(given.delivery_id, "me")
    if waits is State.RESERVED:
        slot = {"account": given.account_id, "send_at": clock.at, "token": "second"}
        transition(State.READY, State.RESERVED, Delivery.id == given.delivery_id, cause=Cause.OUTSIDE, **slot)
    assert outcome.settle(given, said(Verdict.ACCEPTED)) == [Handoff(Stage.RECORD, [given.delivery_id])]
    stored = Delivery.get()
    assert (stored.state, stored.sent_at, stored.token, stored.recorded_at) == (State.SENT, clock.at, None, None)


def test_an_outcome_that_can_not_be_committed_is_tried_until_it_can(
    any_database: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.runtime.waiting.FIRST_WAIT", 0.01)
    settle, away = outcome.settle, iter([True, True, False])

    def refuse_twice(*args: Any) -> list[Handoff]:
        if next(away):
            raise peewee.OperationalError("database is locked: the server closed the connection")
        return settle(*args)

    monkeypatch.setattr(outcome, "settle", refuse_twice)
    with ScriptedServer() as server:
        account = an_account(port=server.port)
        delivery = a_delivery(
            State.RESERVED, account=account, send_at=clock.at, token="slot", message_id="<one@example.test>"
        )
        deliver_message.deliver([delivery.id], "slot")
        deliver_message.connections.close()
        assert len(server.mails) == 1
    with database.connection():
        assert Delivery.get().state == State.SENT


def test_a_late_refusal_leaves_it_to_a_person_to_send_again(any_database: str, clock: Clock) -> None:
    given = a_claim()
    clock.tick(20 * 60)
    sweep.sweep()
    assert outcome.settle(given, said(Verdict.RECIPIENT_FOR_NOW)) == []
    assert (Delivery.get().state, Attempt.get().outcome) == (State.IN_DOUBT, Outcome.FAILED)


SAID = {
    Verdict.ACCEPTED: Reply(250, "2.0.0 ok"),
    Verdict.RECIPIENT_FOR_GOOD: Reply(550, "5.1.1 no such user"),
    Verdict.SITE_BY_POLICY: Reply(550, "5.7.1 SPF fail"),
    Verdict.RECIPIENT_FOR_NOW: Reply(450, "4.2.0 later"),
    Verdict.GREYLISTED: Reply(450, "4.7.1 greylisted"),
    Verdict.MAILBOX_FULL: Reply(452, "4.2.2 mailbox full"),
    Verdict.CONTENT: Reply(554, "5.7.1 spam"),
    Verdict.ACCOUNT_FOR_NOW: Reply(421, "4.7.0 slow down"),
    Verdict.ACCOUNT_QUOTA: Reply(550, "5.4.5 daily limit exceeded"),
    Verdict.LOGIN_REFUSED: Reply(535, "5.7.8 login refused"),
    Verdict.ACCOUNT_FOR_GOOD: Reply(550, "5.1.8 sender refused"),
    Verdict.UNKNOWN: Reply(None, "no answer in time"),
}


def said(verdict: Verdict) -> Result:
    """Return a result at the dot."""
    return Result(verdict, Phase.DOT, SAID[verdict])


def a_claim(account: SmtpAccount | None = None, **values: Any) -> Claim:
    """Store a delivery that holds a slot, and claim it."""
    account = account or an_account()
    slot = {"account": account, "send_at": database.now(), "token": f"slot {database.now()}"}
    delivery = a_delivery(State.RESERVED, **slot | values)
    given = claim(delivery.id, delivery.token, account.id)
    assert isinstance(given, Claim)
    return given


def reclaim(delivery_id: int, account: SmtpAccount) -> Claim:
    """Give a delivery that is `ready` a slot, and claim it."""
    token = f"slot {database.now()}"
    transition(
        State.READY,
        State.RESERVED,
        Delivery.id == delivery_id,
        cause=Cause.OUTSIDE,
        account=account.id,
        send_at=database.now(),
        token=token,
    )
    given = claim(delivery_id, token, account.id)
    assert isinstance(given, Claim)
    return given
