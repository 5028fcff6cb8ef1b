"""Stage 5: a mail goes out by the right of a claim, once, or its slot goes back and says why."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import peewee
import pytest
from cryptography.fernet import Fernet

from models import (
    Attempt,
    Cause,
    Contact,
    Control,
    Delivery,
    EmailTemplate,
    Outcome,
    SmtpAccount,
    State,
    database,
    transition,
)
from models.suppression import suppress
from pipeline import deliver_message
from pipeline.accounts.identity import endpoint_of
from pipeline.capacity import usage
from pipeline.delivery import claim as claims
from pipeline.flow import TRIGGER, Handoff, Stage
from pipeline.rules.forgotten import Hashes
from pipeline.runtime.clocks import elapsed
from slowpost.catcher import Catcher
from tests.builders import a_contact, a_delivery, a_template, an_account
from tests.conftest import Clock
from tests.smtp_server import ScriptedServer


def test_what_was_rendered_arrives_once_and_is_recorded(any_database: str, clock: Clock, catcher: Catcher) -> None:
    account = an_account(port=catcher.port, from_name="Me")
    contact = a_contact(name="Ann")
    delivery = a_slot(
        account, clock.at, contact=contact, subject="Hello Ann", text="Dear Ann, it's \ue000sender.name\ue001\n"
    )

    assert run(delivery) == [Handoff(Stage.RECORD, [delivery.id])]
    assert run(delivery) == []

    (mail,) = catcher.mails
    assert (mail.recipient, mail.message_id) == (contact.email, "<one@example.test>")
    assert b"Dear Ann, it's Me\r\n" in mail.file.read_bytes()
    stored = Delivery.get()
    assert (stored.state, stored.sent_at, stored.account_id) == (State.SENT, clock.at, None)
    attempt = Attempt.get()
    assert (attempt.outcome, attempt.charged_to, attempt.reply_code) == ("accepted", "nobody", 250)
    assert attempt.local_on == dt.date(2026, 6, 2)


def test_a_token_that_is_not_the_slots_does_nothing(any_database: str, clock: Clock, catcher: Catcher) -> None:
    delivery = a_slot(an_account(port=catcher.port), clock.at)
    assert deliver_message.deliver([delivery.id], "an older token") == []
    assert (state_of(delivery), catcher.mails) == (State.RESERVED, [])


def test_a_message_that_comes_early_waits_the_rest(any_database: str, clock: Clock, catcher: Catcher) -> None:
    send_at = clock.at + dt.timedelta(seconds=30)
    delivery = a_slot(an_account(port=catcher.port), send_at)
    assert run(delivery) == [Handoff(Stage.DELIVER, [delivery.id], not_before=send_at, slot_token=delivery.token)]
    assert catcher.mails == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: Control.update(paused_at=database.now()).execute(),
        lambda _: EmailTemplate.update(paused_at=database.now()).execute(),
        lambda _: SmtpAccount.update(paused_at=database.now()).execute(),
        lambda _: SmtpAccount.update(enabled=False).execute(),
        lambda _: SmtpAccount.update(cooling_until=database.now() + dt.timedelta(minutes=1)).execute(),
        lambda _: SmtpAccount.update(daily_limit=0).execute(),
    ],
    ids=["everything paused", "template paused", "account paused", "account off", "cooling down", "limit reached"],
)
@pytest.mark.parametrize("when", ["before the dialogue", "at the claim"])
def test_a_slot_that_may_not_be_used_goes_back_and_nothing_is_sent(
    any_database: str, clock: Clock, when: str, spoil: Callable[[SmtpAccount], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedServer() as server:
        account = an_account(port=server.port)
        delivery = a_slot(account, clock.at)
        if when == "before the dialogue":
            spoil(account)
        else:
            claim = claims.claim

            def spoiled(*args: object) -> object:
                spoil(account)
                return claim(*args)  # type: ignore[arg-type]

            monkeypatch.setattr(claims, "claim", spoiled)
        assert run(delivery) == [TRIGGER]
        assert (server.mails, server.connections) == ([], 0 if when == "before the dialogue" else 1)
    assert state_of(delivery) == State.READY
    assert Attempt.select().count() == 0


@pytest.mark.parametrize(
    ("hour", "minute", "second", "sent"), [(11, 59, 59, 0), (12, 0, 0, 1), (20, 59, 59, 1), (21, 0, 0, 0)]
)
def test_the_window_decides_to_the_second(
    any_database: str, clock: Clock, catcher: Catcher, hour: int, minute: int, second: int, sent: int
) -> None:
    at = clock.set(2026, 6, 2, hour, minute, second)
    run(a_slot(an_account(port=catcher.port), at))
    assert len(catcher.mails) == sent


def test_a_slot_missed_by_more_than_the_allowed_lateness_is_planned_anew(
    any_database: str, clock: Clock, catcher: Catcher
) -> None:
    late, too_late = (a_slot(an_account(port=catcher.port), clock.at) for _ in range(2))
    clock.tick(300)
    run(late)
    clock.tick(1)
    assert run(too_late) == [TRIGGER]
    assert (state_of(late), state_of(too_late)) == (State.SENT, State.READY)


def test_all_slots_that_are_missed_go_back_with_the_first_of_them(
    any_database: str, clock: Clock, catcher: Catcher
) -> None:
    """Not each with its own message: behind a queue of them every slot would be missed, for ever."""
    missed, behind, in_time = (
        a_slot(an_account(port=catcher.port), clock.at + dt.timedelta(seconds=n)) for n in (0, 0, 1)
    )
    clock.tick(301)
    assert run(missed) == [TRIGGER]
    assert [state_of(d) for d in (missed, behind, in_time)] == [State.READY, State.READY, State.RESERVED]
    assert run(behind) == []
    run(in_time)
    assert (state_of(in_time), len(catcher.mails)) == (State.SENT, 1)


def test_who_was_suppressed_meanwhile_is_skipped(any_database: str, clock: Clock, catcher: Catcher) -> None:
    delivery = a_slot(an_account(port=catcher.port), clock.at)
    suppress("address", [delivery.address], "", clock.at)
    assert run(delivery) == [TRIGGER]
    stored = Delivery.get()
    assert (stored.state, stored.reason, catcher.mails) == (State.SKIPPED, "suppressed_address", [])


def test_who_is_suppressed_during_the_dialogue_is_skipped_too(
    any_database: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = claims.claim

    def suppressed_first(*args: object) -> object:
        suppress("address", [Delivery.get().address], "", clock.at)
        return claim(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(claims, "claim", suppressed_first)
    with ScriptedServer() as server:
        delivery = a_slot(an_account(port=server.port), clock.at)
        assert run(delivery) == [TRIGGER]
        assert (server.connections, server.mails) == (1, [])
    assert (Delivery.get().state, Delivery.get().reason) == (State.SKIPPED, "suppressed_address")


def test_only_the_interval_missing_moves_the_slot_on(any_database: str, clock: Clock, catcher: Catcher) -> None:
    account = an_account(port=catcher.port)
    run(a_slot(account, clock.at))
    again_at = clock.at + dt.timedelta(seconds=60)
    delivery = a_slot(account, clock.tick(59))
    assert run(delivery) == [Handoff(Stage.DELIVER, [delivery.id], not_before=again_at, slot_token=delivery.token)]
    clock.tick(1)
    run(delivery)
    assert len(catcher.mails) == 2


def test_an_open_claim_of_the_account_lets_no_other_through(any_database: str, clock: Clock, catcher: Catcher) -> None:
    account = an_account(port=catcher.port)
    a_delivery(State.SENDING, account=account, token="claim")
    delivery = a_slot(account, clock.at)
    assert run(delivery) == [TRIGGER]
    assert (state_of(delivery), catcher.mails) == (State.READY, [])


def test_what_counts_as_used_is_accepted_in_doubt_and_open_on_the_claims_local_date(
    any_database: str, clock: Clock
) -> None:
    account = an_account()
    yesterday = dt.date(2026, 6, 1)
    for number, state in enumerate(Outcome):
        for day in (yesterday, dt.date(2026, 6, 2)):
            Attempt.create(delivery=a_delivery(), account=account, token=f"{number} {day}", local_on=day, outcome=state)
    assert usage.used_on(account.id, dt.date(2026, 6, 2)) == 3


def test_a_slot_of_2359_claimed_at_0002_counts_for_the_new_day(
    any_database: str, clock: Clock, catcher: Catcher, configure: Callable[..., None]
) -> None:
    configure(mail_window_start="0", mail_window_end="0")
    delivery = a_slot(an_account(port=catcher.port), clock.set(2026, 6, 3, 3, 59))
    clock.set(2026, 6, 3, 4, 2)
    run(delivery)
    assert Attempt.get().local_on == dt.date(2026, 6, 3)


def test_two_workers_with_one_slot_send_one_mail(
    any_database: str, catcher: Catcher, configure: Callable[..., None]
) -> None:
    configure(mail_window_start="0", mail_window_end="0")
    delivery = a_slot(an_account(port=catcher.port), database.now())
    start = threading.Barrier(4)

    def work() -> None:
        with database.connection():
            start.wait()
            run(delivery)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(catcher.mails) == 1
    assert Attempt.select().count() == 1


def test_a_list_goes_on_after_a_recipients_refusal_and_stops_after_the_accounts(
    any_database: str, clock: Clock, tmp_path: Path, configure: Callable[..., None]
) -> None:
    configure(mail_min_interval=0, mail_spread="off")
    replies = {"nobody": "550 5.1.1 no such user", "wall": "451 4.7.500 server busy, too high a rate"}

    def refuse(recipient: str, _data: bytes | None) -> str | None:
        return replies.get(recipient.partition("@")[0])

    with Catcher(tmp_path / "mails", refuse=refuse) as catcher:
        account = an_account(port=catcher.port)
        names = ("first", "nobody", "third", "wall", "last")
        deliveries = [
            a_slot(account, clock.at, contact=a_contact(email=f"{n}@x.test"), message_id=f"<{n}@x>") for n in names
        ]
        handoffs = run(*deliveries)
        deliver_message.connections.close()
    assert [state_of(d) for d in deliveries] == ["sent", "bounced", "sent", "ready", "ready"]
    assert Attempt.select().count() == 4
    assert handoffs[-1] == TRIGGER


def test_who_was_imported_anew_as_not_validated_is_skipped_at_the_last_moment(any_database: str, clock: Clock) -> None:
    with ScriptedServer() as server:
        delivery = a_slot(an_account(port=server.port), clock.at)
        Contact.update(validated=False).execute()
        assert run(delivery) == [TRIGGER]
        assert server.mails == []
    assert (Delivery.get().state, Delivery.get().reason) == (State.SKIPPED, "not_validated")


def test_an_account_whose_password_can_not_be_decrypted_is_off_at_once_and_holds_nobody_up(
    any_database: str, clock: Clock, configure: Callable[..., None]
) -> None:
    configure(secret_key=Fernet.generate_key().decode())
    account = an_account(username="me", password=Fernet(Fernet.generate_key()).encrypt(b"secret").decode())
    delivery = a_slot(account, clock.at)
    assert run(delivery) == [TRIGGER]
    stored = SmtpAccount.get()
    assert (stored.enabled, "decrypt" in stored.disabled_reason) == (False, True)
    assert (state_of(delivery), Attempt.select().count()) == (State.READY, 0)


def test_a_slot_that_is_refused_again_and_again_without_an_attempt_is_dealt_more_slowly(
    any_database: str, clock: Clock
) -> None:
    account = an_account(enabled=False)
    delivery = a_slot(account, clock.at)
    assert run(delivery) == [TRIGGER]
    clock.tick(1)
    slot = {"account": account.id, "send_at": clock.at, "token": "again"}
    transition(State.READY, State.RESERVED, Delivery.id == delivery.id, cause=Cause.OUTSIDE, **slot)
    later = clock.at + dt.timedelta(seconds=30)
    assert run(Delivery.get_by_id(delivery.id)) == [Handoff(Stage.RESERVE, not_before=later)]


def test_a_mail_sooner_than_the_interval_is_not_even_offered(any_database: str, clock: Clock) -> None:
    with ScriptedServer({"RCPT": "550 5.1.1 no such user"}) as server:
        account = an_account(port=server.port)
        run(a_slot(account, clock.at))
        clock.tick(59)
        second = a_slot(account, clock.at)
        assert run(second) == [
            Handoff(Stage.DELIVER, [second.id], not_before=clock.at + dt.timedelta(seconds=1), slot_token=second.token)
        ]
        deliver_message.connections.close()
    assert Attempt.select().count() == 1


def test_a_claim_older_than_5_seconds_never_sends_the_dot(
    any_database: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "DOT_WITHIN", -1.0)
    with ScriptedServer() as server:
        delivery = a_slot(an_account(port=server.port), clock.at)
        run(delivery)
        assert server.mails == []
    attempt = Attempt.get()
    assert (state_of(delivery), attempt.outcome, attempt.charged_to) == (State.READY, "failed", "nobody")
    assert usage.used_on(attempt.account_id, attempt.local_on) == 0


def test_the_claim_is_committed_when_the_dot_arrives(any_database: str, clock: Clock) -> None:
    seen: list[tuple[str, str]] = []

    def look() -> None:
        with database.connection():
            seen.append((Delivery.get().state, Attempt.get().outcome))

    with ScriptedServer(on_dot=look) as server:
        run(a_slot(an_account(port=server.port), clock.at))
        deliver_message.connections.close()
    assert seen == [("sending", "open")]


def test_a_claim_whose_commits_answer_was_lost_is_read_back(
    postgres: str, clock: Clock, catcher: Catcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = a_slot(an_account(port=catcher.port), clock.at)
    commit = database.db.obj.commit
    lost = iter([True])

    def commit_and_lose_the_answer(*args: object) -> None:
        claiming = Attempt.select().where(Attempt.outcome == Outcome.OPEN).exists()
        commit(*args)
        if claiming and next(lost, False):
            raise peewee.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(database.db.obj, "commit", commit_and_lose_the_answer)
    run(delivery)
    assert len(catcher.mails) == 1
    assert state_of(delivery) == State.SENT


def test_an_outcome_that_comes_when_the_slot_is_lost_changes_nothing(any_database: str, clock: Clock) -> None:
    with ScriptedServer({"RCPT": "550 5.1.1 no such user"}) as server:
        delivery = a_slot(an_account(port=server.port), clock.at)
        refused = deliver_message._deliver

        Delivery.update(token="another").execute()
        account = delivery.account
        slot = deliver_message._Slot(account, endpoint_of(account), "slot of nobody", Hashes(None), clock.at, elapsed())
        assert refused(Delivery.get_by_id(delivery.id), slot) == ([], False)
        deliver_message.connections.close()
    assert state_of(delivery) == State.RESERVED
    assert Attempt.select().count() == 0


def test_a_name_that_can_not_stand_in_a_header_fails_without_an_attempt(any_database: str, clock: Clock) -> None:
    contact = a_contact(name="=?utf-8?q?Bob=0D=0ABcc:x@y.test?=")
    delivery = a_slot(an_account(), clock.at, contact=contact, template=a_template())
    assert run(delivery) == [Handoff(Stage.RECORD, [delivery.id])]
    stored = Delivery.get()
    assert (stored.state, stored.reason) == (State.FAILED, "message_refused")
    assert "encoded word" in stored.detail
    assert Attempt.select().count() == 0


@pytest.fixture
def catcher(tmp_path: Path) -> Iterator[Catcher]:
    """A mail server; connections to it are closed afterwards."""
    with Catcher(tmp_path / "mails") as running:
        yield running
        deliver_message.connections.close()


def a_slot(account: SmtpAccount, at: dt.datetime, **values: object) -> Delivery:
    """Store a delivery that holds a slot of `account` at `at`."""
    defaults: dict[str, object] = {"account": account, "send_at": at, "token": f"slot of {account.id}"}
    return a_delivery(State.RESERVED, **defaults | {"message_id": "<one@example.test>"} | values)


def run(*deliveries: Delivery) -> list[Handoff]:
    """Deliver what holds the first one's slot."""
    return deliver_message.deliver([d.id for d in deliveries], deliveries[0].token)


def state_of(delivery: Delivery) -> str:
    """Return the state as stored."""
    return str(Delivery.get_by_id(delivery.id).state)
