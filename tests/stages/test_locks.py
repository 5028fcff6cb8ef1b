"""One order of locks: what two do at the same instant on PostgreSQL, forced into the order that hurts most."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from models import (
    Attachment,
    Cause,
    Contact,
    Control,
    DeadLetter,
    Delivery,
    Reason,
    SmtpAccount,
    State,
    StoredFile,
    attachment,
    database,
)
from models.database import db
from models.dead_letter import file_deliveries
from pipeline import check_duplicates, record_outcome, reserve_slot
from pipeline.capacity import slots, snapshot
from pipeline.operations import attachments, decisions, pause
from pipeline.operations.decisions import DecisionRefusedError
from pipeline.operations.forget import forget
from pipeline.rules import duplicates
from tests.builders import a_contact, a_delivery, a_template, a_website, an_account
from tests.conftest import Clock
from tests.lock_order import LockOrderError


def test_everything_is_paused_while_a_slot_is_reserved(postgres: str, clock: Clock, meanwhile: Meanwhile) -> None:
    an_account()
    a_delivery()
    a_delivery(not_before=clock.at + dt.timedelta(hours=1))
    meanwhile(snapshot, "detailed", lambda: pause.pause(pause.Target(), "me"))
    reserve_slot.reserve()
    meanwhile.is_over()
    control = Control.get()
    assert (control.paused_at, control.wake_at) == (clock.at, clock.at + dt.timedelta(hours=1))
    assert [d.state for d in Delivery.select()] == [State.READY] * 2


def test_a_person_is_forgotten_while_a_mail_to_them_is_recorded(
    postgres: str, clock: Clock, meanwhile: Meanwhile
) -> None:
    contact = a_contact(website=a_website())
    sent = a_delivery(State.SENT, contact=contact, sent_at=clock.at)
    meanwhile(record_outcome, "_last_sent", lambda: forget(contact.id, "me"))
    record_outcome.record([sent.id])
    meanwhile.is_over()
    assert Delivery.get().recorded_at == clock.at
    assert (Contact.get().last_contacted_at, Contact.get().forgotten_at) == (clock.at, clock.at)


def test_a_replay_keeps_away_another_of_its_website_that_is_checked_at_the_same_instant(
    postgres: str, meanwhile: Meanwhile
) -> None:
    failed, selected = of_one_website()
    meanwhile(decisions, "reasons_against", lambda: check_duplicates.clear([selected.id]))
    replay()
    meanwhile.is_over()
    assert states() == [(failed.id, State.READY, None), (selected.id, State.SKIPPED, Reason.IN_FLIGHT)]


def test_a_replay_is_refused_if_another_of_its_website_was_cleared_at_the_same_instant(
    postgres: str, meanwhile: Meanwhile
) -> None:
    failed, selected = of_one_website()
    meanwhile(check_duplicates, "reasons_against", replay)
    check_duplicates.clear([selected.id])
    with pytest.raises(DecisionRefusedError, match=f"delivery {failed.id}: in_flight"):
        meanwhile.is_over()
    assert [state for _, state, _ in states()] == [State.FAILED, State.CLEARED]


def test_a_replay_is_refused_if_another_mail_to_its_address_is_sent_at_that_instant(
    any_database: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = a_failed_delivery(contact=a_contact(email="j.doe@gmail.com"))
    other = a_delivery(State.SENDING, contact=a_contact(email="jdoe@gmail.com"))
    decide = decisions._decide

    def sent_before(*args: Any, **changes: Any) -> None:
        Delivery.update(state=State.SENT, sent_at=clock.at).where(Delivery.id == other.id).execute()
        decide(*args, **changes)

    monkeypatch.setattr(decisions, "_decide", sent_before)
    with pytest.raises(DecisionRefusedError, match=f"delivery {failed.id}: contacted_recently"):
        replay()
    assert Delivery.get_by_id(failed.id).state == State.FAILED
    assert DeadLetter.get().resolved_at is None


def test_a_mail_that_is_sent_while_another_of_its_website_is_checked_is_seen(
    any_database: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    website = a_website()
    other = a_delivery(State.SENDING, contact=a_contact(website=website))
    selected = a_delivery(State.SELECTED, contact=a_contact(website=website))
    taken = duplicates.Rule.taken

    def then_it_is_sent(rule: duplicates.Rule, *args: Any) -> set[Any]:
        found = taken(rule, *args)
        if rule.same is Delivery.website:
            Delivery.update(state=State.SENT, sent_at=clock.at).where(Delivery.id == other.id).execute()
        return found

    monkeypatch.setattr(duplicates.Rule, "taken", then_it_is_sent)
    check_duplicates.clear([selected.id])
    assert Delivery.get_by_id(selected.id).state == State.SKIPPED


@pytest.mark.parametrize("moment", ["drop_unused", "record_action"])
def test_a_file_that_its_last_template_lets_go_while_another_takes_it_stays(
    postgres: str, meanwhile: Meanwhile, moment: str
) -> None:
    first, second = a_template(), a_template()
    attachments.attach(first.id, "me", [FILE])
    meanwhile(attachments, moment, lambda: attachments.attach(second.id, "you", [FILE]))
    attachments.detach(first.id, "me", FILE.name)
    meanwhile.is_over()
    assert [a.template_id for a in Attachment.select()] == [second.id]
    assert [bytes(file.data) for file in StoredFile.select()] == [FILE.data]


def test_a_file_that_a_template_takes_while_the_last_other_lets_it_go_stays(
    postgres: str, meanwhile: Meanwhile
) -> None:
    first, second = a_template(), a_template()
    attachments.attach(first.id, "me", [FILE])
    meanwhile(attachments, "record_action", lambda: attachments.detach(first.id, "you", FILE.name))
    attachments.attach(second.id, "me", [FILE])
    meanwhile.is_over()
    assert [a.template_id for a in Attachment.select()] == [second.id]


def test_two_templates_that_swap_their_files_do_not_wait_for_each_other(
    postgres: str, meanwhile: Meanwhile, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = a_template(), a_template()
    other = attachments.Given(FILE.name, b"another")
    attachments.attach(first.id, "me", [FILE])
    attachments.attach(second.id, "me", [other])
    lock = attachment._lock

    def before_the_second_lock(digest: str) -> bool:
        monkeypatch.setattr(attachment, "_lock", lock)
        meanwhile(attachment, "_lock", lambda: attachments.attach(second.id, "you", [FILE], replace=True))
        return lock(digest)

    monkeypatch.setattr(attachment, "_lock", before_the_second_lock)
    attachments.attach(first.id, "me", [other], replace=True)
    meanwhile.is_over()
    assert {a.template_id: bytes(a.file.data) for a in Attachment.select()} == {
        first.id: b"another",
        second.id: b"words",
    }
    assert StoredFile.select().count() == 2


def test_a_lock_out_of_order_fails_whatever_test_takes_it(postgres: str) -> None:
    def change(account: SmtpAccount) -> None:
        SmtpAccount.update(name="another").where(SmtpAccount.id == account.id).execute()
        slots.give_back(Cause.PAUSE)

    def change_late(account: SmtpAccount) -> None:
        slots.give_back(Cause.PAUSE)
        SmtpAccount.update(name="another").where(SmtpAccount.id == account.id).execute()

    with database.transaction():
        change(an_account())
    with database.transaction(), pytest.raises(LockOrderError, match="smtp_account is locked after throttle, delivery"):
        change_late(an_account())


FILE = attachments.Given("a.txt", b"words")


class Meanwhile:
    """`meanwhile(module, "name", act)`: when `module.name` is called next, `act` begins in another connection, and goes
    on until it waits for a lock or is done; only then does the call go on.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._other: threading.Thread
        self._errors: list[Exception] = []

    def __call__(self, module: Any, name: str, act: Callable[[], object]) -> None:
        """Prepare it."""
        real = getattr(module, name)

        def run() -> None:
            with database.connection():
                try:
                    act()
                except Exception as error:
                    self._errors.append(error)

        def called(*args: Any, **options: Any) -> Any:
            self._monkeypatch.setattr(module, name, real)
            self._other.start()
            self._until_it_waits()
            return real(*args, **options)

        self._other = threading.Thread(target=run)
        self._monkeypatch.setattr(module, name, called)

    def _until_it_waits(self) -> None:
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
        deadline = time.monotonic() + 30
        while self._other.is_alive() and not db.execute_sql(waits).fetchone()[0]:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def is_over(self) -> None:
        """Wait for the other's end, and raise what it has raised."""
        self._other.join(30)
        assert not self._other.is_alive()
        for error in self._errors:
            raise error


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """What somebody else does in the midst of it."""
    return Meanwhile(monkeypatch)


def of_one_website() -> tuple[Delivery, Delivery]:
    """Store a failed delivery with its dead letter, and a selected one of the same website."""
    website = a_website()
    return (
        a_failed_delivery(contact=a_contact(website=website)),
        a_delivery(State.SELECTED, contact=a_contact(website=website), template=a_template()),
    )


def a_failed_delivery(**values: Any) -> Delivery:
    """Store a delivery that was given up."""
    failed = a_delivery(State.FAILED, **values)
    file_deliveries({failed.id: ("attempts_used_up", "452")}, database.now())
    return failed


def replay() -> None:
    """Replay the one dead letter that there is."""
    decisions.replay(DeadLetter.get().id, "me", put_back=lambda *_: None)


def states() -> list[tuple[int, str, str | None]]:
    """Return id, state and reason of all deliveries."""
    return [(d.id, d.state, d.reason) for d in Delivery.select().order_by(Delivery.id)]
