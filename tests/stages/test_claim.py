"""The claim gives the right to one dot, for five seconds; whoever is refused it leaves nothing at the server."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import peewee
import pytest
import structlog

from models import Attempt, Delivery, EmailTemplate, Outcome, SmtpAccount, State, database, event
from models.suppression import suppress
from pipeline import deliver_message
from pipeline.delivery import claim as claims
from pipeline.delivery.refusals import Refusal
from pipeline.flow import TRIGGER, Handoff, Stage
from tests.builders import a_delivery, an_account, history_of
from tests.conftest import Clock
from tests.smtp_server import ScriptedServer


def test_a_window_that_closes_during_the_dialogue_refuses_the_dot(
    any_database: str, clock: Clock, server: ScriptedServer, at_the_claim: Callable[..., None]
) -> None:
    held = a_list(an_account(port=server.port), clock.set(2026, 6, 2, 20, 59, 59))
    at_the_claim(lambda: clock.tick(1))
    assert run(held) == [TRIGGER]
    assert (states(), server.connections, server.mails) == ([State.READY], 1, [])


def test_a_slot_that_is_missed_during_the_dialogue_refuses_the_dot(
    any_database: str, clock: Clock, server: ScriptedServer, at_the_claim: Callable[..., None]
) -> None:
    held = a_list(an_account(port=server.port), clock.at)
    clock.tick(300)
    at_the_claim(lambda: clock.tick(1))
    assert run(held) == [TRIGGER]
    assert (states(), server.connections, server.mails) == ([State.READY], 1, [])
    assert history_of([held[0].id])[-1].reason == Refusal.SLOT_MISSED


def test_a_slot_that_became_anothers_during_the_dialogue_is_left_to_it(
    any_database: str, clock: Clock, server: ScriptedServer, at_the_claim: Callable[..., None]
) -> None:
    held = a_list(an_account(port=server.port), clock.at)
    at_the_claim(lambda: Delivery.update(token="another").execute())
    assert run(held) == []
    assert (states(), Delivery.get().token, server.mails) == ([State.RESERVED], "another", [])


@pytest.mark.parametrize(
    ("spoil", "logged"),
    [
        (lambda: EmailTemplate.update(paused_at=database.now()).execute(), [("ready", "paused")]),
        (
            lambda: suppress("address", [Delivery.get().address], "", database.now()),
            [("skipped", "suppressed_address")],
        ),
        (lambda: a_claim_now(SmtpAccount.get()), []),
        (lambda: Delivery.update(token="another").execute(), []),
    ],
    ids=["paused", "suppressed", "too soon", "slot lost"],
)
def test_events_and_then_the_log_say_what_became_of_a_refused_delivery(
    any_database: str,
    clock: Clock,
    server: ScriptedServer,
    at_the_claim: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[], object],
    logged: list[tuple[str, str]],
) -> None:
    captured = structlog.testing.CapturingLogger()
    account = an_account(port=server.port)
    held = a_list(account, clock.at)
    monkeypatch.setattr(event, "log", structlog.wrap_logger(captured, processors=[]))
    at_the_claim(spoil)
    run(held)
    told = [(e.state, e.reason, e.account_id) for e in history_of([held[0].id])[1:]]
    assert told == [(state, reason, account.id) for state, reason in logged]
    assert [(call.kwargs["result"], call.kwargs["reason"]) for call in captured.calls] == logged
    assert (states()[0], server.mails) == (logged[0][0] if logged else "reserved", [])


def test_a_refused_claim_closes_the_connection_and_the_next_mail_has_one_of_its_own(
    any_database: str,
    clock: Clock,
    server: ScriptedServer,
    configure: Callable[..., None],
    at_the_claim: Callable[..., None],
) -> None:
    configure(mail_smtp_timeout=5)
    account = an_account(port=server.port)
    held = a_list(account, clock.at)
    at_the_claim(lambda: EmailTemplate.update(paused_at=clock.at).execute())
    run(held)
    EmailTemplate.update(paused_at=None).execute()

    run(a_list(account, clock.at, 2)[1:])

    (mail,) = server.mails
    assert b"mail 1" in mail
    assert b"mail 0" not in mail
    # Nothing more was written into the message that was not to be.
    assert (server.connections, b"\r\nrset\r\n" in b"".join(server.received).lower()) == (2, False)


def test_an_attempt_belongs_to_the_windows_date_not_to_utcs(
    any_database: str, clock: Clock, server: ScriptedServer, configure: Callable[..., None]
) -> None:
    configure(mail_window_start="0", mail_window_end="0")
    run(a_list(an_account(port=server.port), clock.set(2026, 6, 3, 3, 59)))
    assert Attempt.get().local_on == dt.date(2026, 6, 2)


@pytest.mark.parametrize(("slept", "mails", "state"), [(5.0, 1, State.SENT), (5.1, 0, State.READY)])
def test_the_dot_is_sent_within_five_seconds_of_the_claim_or_not_at_all(
    any_database: str,
    clock: Clock,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    slept: float,
    mails: int,
    state: State,
) -> None:
    monkeypatch.setattr(claims, "elapsed", iter([100.0, 100.0 + slept]).__next__)
    held = a_list(an_account(port=server.port), clock.at)
    assert run(held) == [Handoff(Stage.RECORD, [held[0].id])]
    assert (len(server.mails), states()) == (mails, [state])


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="a clock of Linux")
def test_a_machine_that_was_suspended_since_the_claim_sends_no_dot(
    any_database: str, clock: Clock, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, readings = time.clock_gettime, count()

    def read(clock_id: int) -> float:
        # The one clock that went on meanwhile: 6 s more at each reading after the claim's.
        return real(clock_id) + (6.0 * next(readings) if clock_id == time.CLOCK_BOOTTIME else 0.0)

    monkeypatch.setattr(time, "clock_gettime", read)
    run(a_list(an_account(port=server.port), clock.at))
    assert (server.mails, states()) == ([], [State.READY])


def test_a_claim_that_was_not_committed_sends_no_dot_and_can_be_made_again(
    any_database: str, clock: Clock, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = a_list(an_account(port=server.port), clock.at)
    commit, lost = database.db.obj.commit, iter([True])

    def roll_back_the_first_claim(*args: object) -> None:
        if Attempt.select().exists() and next(lost, False):
            database.db.obj.rollback()
            raise peewee.OperationalError("server closed the connection unexpectedly")
        commit(*args)

    monkeypatch.setattr(database.db.obj, "commit", roll_back_the_first_claim)
    with pytest.raises(peewee.OperationalError):
        run(held)
    assert (states(), Attempt.select().count(), server.mails) == ([State.RESERVED], 0, [])
    run(held)
    assert (states(), len(server.mails)) == ([State.SENT], 1)


@pytest.mark.parametrize(
    ("replies", "first"),
    [
        ({"RCPT": "550 5.4.5 Daily user sending limit exceeded"}, State.READY),
        ({"MAIL": "553 5.7.1 Sender address rejected: not owned by user"}, State.READY),
        ({"MAIL": "421 4.7.0 Try again later"}, State.READY),
        ({"DOT": None}, State.IN_DOUBT),
    ],
    ids=["quota", "sender refused", "slow down", "no answer to the dot"],
)
def test_what_is_wrong_with_the_account_or_its_connection_ends_a_list(
    any_database: str, clock: Clock, configure: Callable[..., None], replies: dict[str, str | None], first: State
) -> None:
    configure(mail_min_interval=0, mail_spread="off")
    with ScriptedServer(replies) as server:
        handoffs = run(a_list(an_account(port=server.port), clock.at, 3))
        deliver_message.connections.close()
    assert states() == [first, State.READY, State.READY]
    assert Attempt.select().count() == 1
    assert handoffs[-1] == TRIGGER


def test_a_list_that_takes_longer_than_the_allowed_lateness_gives_its_rest_back(
    any_database: str, clock: Clock, configure: Callable[..., None]
) -> None:
    configure(mail_min_interval=0, mail_spread="off")
    with ScriptedServer(on_dot=lambda: clock.tick(150.5)) as server:
        handoffs = run(a_list(an_account(port=server.port), clock.at, 4))
        deliver_message.connections.close()
        assert len(server.mails) == 2
    assert states() == [State.SENT, State.SENT, State.READY, State.READY]
    assert handoffs[-1] == TRIGGER


@pytest.mark.parametrize("when", ["before the dialogue", "at the claim"])
def test_one_suppressed_recipient_does_not_hold_up_a_list(
    any_database: str,
    clock: Clock,
    server: ScriptedServer,
    configure: Callable[..., None],
    at_the_claim: Callable[..., None],
    when: str,
) -> None:
    configure(mail_min_interval=0, mail_spread="off")
    held = a_list(an_account(port=server.port), clock.at, 3)

    def suppress_the_first() -> None:
        suppress("address", [held[0].address], "", clock.at)

    at_the_claim(suppress_the_first)
    if when == "before the dialogue":
        suppress_the_first()
    assert TRIGGER in run(held)
    assert states() == [State.SKIPPED, State.SENT, State.SENT]
    assert [a.outcome for a in Attempt.select()] == [Outcome.ACCEPTED] * 2


def a_list(account: SmtpAccount, at: dt.datetime, length: int = 1) -> list[Delivery]:
    """Store deliveries that hold one slot of `account` at `at`."""
    slot = {"account": account, "send_at": at, "token": "slot"}
    return [a_delivery(State.RESERVED, message_id=f"<{n}@x.test>", text=f"mail {n}", **slot) for n in range(length)]


def run(deliveries: list[Delivery]) -> list[Handoff]:
    """Deliver them."""
    return deliver_message.deliver([d.id for d in deliveries], "slot")


def a_claim_now(account: SmtpAccount) -> None:
    """Store what is left of another claim of `account`, made just now."""
    sent = a_delivery(State.SENT, sent_at=database.now())
    Attempt.create(
        delivery=sent,
        account=account,
        outcome=Outcome.ACCEPTED,
        claimed_at=database.now(),
        local_on=dt.date(2026, 6, 2),
    )


def states() -> list[str]:
    """Return the states as stored, by id."""
    return [d.state for d in Delivery.select().order_by(Delivery.id)]


@pytest.fixture
def at_the_claim(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Do something between the dialogue and the first claim."""
    claim = claims.claim

    def arrange(do: Callable[[], object]) -> None:
        first = iter([do])

        def then_claim(*slot: Any) -> claims.Claim | claims.Refusal:
            next(first, lambda: None)()
            return claim(*slot)

        monkeypatch.setattr(claims, "claim", then_claim)

    return arrange
