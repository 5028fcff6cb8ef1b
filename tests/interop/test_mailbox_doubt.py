"""Sent, on a real Dovecot: what lies there ends a doubt, copies are saved once, and a person's mail puts a step off."""

from __future__ import annotations

import datetime as dt
import email.utils
import threading
from collections.abc import Callable

import pytest

from models import Attempt, Delivery, Enrolment, Mailbox, SentCopy, SmtpAccount, State, database
from pipeline.capacity import usage
from pipeline.imap.connection import Connection, MailboxError
from pipeline.inbound import reader
from pipeline.inbound.lease import Lease
from pipeline.inbound.reader import Reader
from pipeline.operations import decisions
from pipeline.operations.done import OperationRefusedError
from pipeline.reports.doubt import InSent, in_doubt
from tests.builders import a_contact, a_delivery
from tests.inbound_mails import a_copy
from tests.interop.dovecot import SENT, Box
from tests.interop.reading import ignore, of, ours, read, rows


def test_of_three_mails_in_doubt_two_lie_in_sent_and_one_waits_for_a_person(box: Box, any_database: str) -> None:
    account, sent = of(box), ours(1)
    first, second, third = (in_doubt_since(account, number, minutes=40) for number in (2, 3, 4))
    box.put(a_copy(sent.message_id), a_copy(first.message_id), folder=SENT)
    renamed = "Message-ID: <theirs@exchange.example>\nX-Microsoft-Original-Message-ID: "
    box.put(a_copy(second.message_id).replace("Message-ID: ", renamed, 1), folder=SENT)
    # Another mail that merely names it is no evidence.
    box.put(f"From: a@x.example\nMessage-ID: <other@x.example>\nReferences: {third.message_id}\n\nx\n", folder=SENT)
    before = box.state()

    found = read(account)

    assert found.ended_doubt == 2
    assert box.state() == before
    states = {d.id: (d.state, d.reason) for d in Delivery.select()}
    assert states[first.id] == states[second.id] == ("sent", "found_by_mail")
    assert states[third.id][0] == "in_doubt"
    assert {(row.delivery_id, row.effect, row.named_by) for row in rows()} == {
        (first.id, "found", "copy"),
        (second.id, "found", "copy"),
    }
    # Its doubtful attempts stay as they are.
    assert {attempt.outcome for attempt in Attempt.select().where(Attempt.delivery != sent.id)} == {"in_doubt"}
    (row,) = in_doubt()
    assert (row.delivery_id, row.in_sent) == (third.id, InSent.MISSING)
    assert read(account).ended_doubt == 0


def test_what_is_not_there_tells_nothing_where_sent_is_not_known_to_keep_it(box: Box, sqlite: str) -> None:
    account = of(box)
    in_doubt_since(account, 1, minutes=40)
    in_doubt_since(account, 2, minutes=10)
    assert [row.in_sent for row in in_doubt()] == [InSent.NOT_READ] * 2
    read(account)
    assert [row.in_sent for row in in_doubt()] == [InSent.NOT_THERE, InSent.NOT_YET]


def test_a_person_has_no_mail_sent_again_that_lies_in_sent(box: Box, sqlite: str) -> None:
    account = of(box)
    there, missing = in_doubt_since(account, 1, minutes=40), in_doubt_since(account, 2, minutes=40)
    box.put(a_copy(there.message_id), folder=SENT)
    with pytest.raises(OperationRefusedError, match="was sent: it lies in the folder"):
        decisions.resolve_resend(there.id, "me")
    assert decisions.resolve_resend(missing.id, "me").state is State.READY
    box.server.stop()
    try:
        with pytest.raises(OperationRefusedError, match="--without-looking"):
            decisions.resolve_resend(there.id, "me")
        assert decisions.resolve_resend(there.id, "me", looks=False).state is State.READY
    finally:
        box.server.start()


def test_a_copy_is_saved_once_and_says_nothing_of_mails_in_doubt(box: Box, any_database: str) -> None:
    account = of(box, save_sent=True, save_sent_since=ago(minutes=90))
    sent, doubtful = ours(1), in_doubt_since(account, 2, minutes=40)
    box.put(a_copy(doubtful.message_id), folder=SENT)

    for _ in range(2):
        assert read(account).error is None

    assert messages_in_sent(box) == [(doubtful.message_id, b""), (sent.message_id, b"\\Seen")]
    assert Delivery.get_by_id(doubtful.id).state == "in_doubt"
    assert [(copy.delivery_id, copy.state) for copy in SentCopy.select()] == [(sent.id, "saved")]
    assert Mailbox.get().keeps_sent_at is None


@pytest.mark.parametrize(("is_taken", "expected"), [(True, "saved"), (False, "left")])
def test_a_copy_without_an_answer_is_looked_for_and_never_saved_again(
    box: Box, sqlite: str, monkeypatch: pytest.MonkeyPatch, is_taken: bool, expected: str
) -> None:
    account = of(box, save_sent=True, save_sent_since=ago(minutes=90))
    sent, append = ours(1), Connection.append

    def without_an_answer(self: Connection, name: str, mail: bytes, at: dt.datetime) -> None:
        if is_taken:
            append(self, name, mail, at)
        raise MailboxError("timed out")

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "append", without_an_answer)
        assert read(account).error == "timed out"
    assert [copy.state for copy in SentCopy.select()] == ["intended"]
    read(account)
    assert [copy.state for copy in SentCopy.select()] == [expected]
    assert messages_in_sent(box) == ([(sent.message_id, b"\\Seen")] if is_taken else [])


def test_a_persons_mail_to_a_contact_puts_the_next_step_off_and_counts_in_the_interval(
    box: Box, any_database: str
) -> None:
    account, first, second = of(box), ours(1), ours(2)
    before = {e.contact_id: e.due_at for e in Enrolment.select()}
    box.put(
        by_hand(first.recipient.upper(), ago(minutes=5)),
        # Before our own mail, or to nobody whom we write to: nothing.
        by_hand(second.recipient, ago(hours=3)),
        by_hand("somebody@else.example", ago(minutes=1)),
        folder=SENT,
    )
    for _ in range(2):
        read(account)
    due = {e.contact_id: e.due_at for e in Enrolment.select()}
    assert due[second.contact_id] == before[second.contact_id]
    assert due[first.contact_id] - database.now() > dt.timedelta(days=28)
    assert [(row.delivery_id, row.effect) for row in rows()] == [(first.id, "taken_over")]
    last = usage.last_transaction_of(account.id)
    assert last is not None
    assert abs(last - ago(minutes=5)) < dt.timedelta(minutes=1)


def test_nobody_is_put_off_where_the_setting_says_so(box: Box, sqlite: str, configure: Callable[..., None]) -> None:
    configure(mail_taken_over_days=0, database_url=sqlite)
    account, first = of(box), ours(1)
    due = Enrolment.get().due_at
    box.put(by_hand(first.recipient, ago(minutes=5)), folder=SENT)
    read(account)
    assert Enrolment.get().due_at == due
    assert [row.effect for row in rows()] == ["noted"]


def test_two_readers_at_once_have_each_effect_once(box: Box, sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if one had been frozen, and had lost its right meanwhile."""
    account = of(box)
    read(account)
    doubtful = [in_doubt_since(account, number, minutes=40) for number in range(3)]
    box.put(*(a_copy(one.message_id) for one in doubtful), folder=SENT)
    monkeypatch.setattr(reader, "take", lambda account_id: Lease(account_id, "both"))
    readers = [Reader(account.id, threading.Event(), ignore) for _ in range(2)]
    threads = [threading.Thread(target=one.read) for one in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {d.state for d in Delivery.select()} == {"sent"}
    assert len(rows()) == 3


def in_doubt_since(account: SmtpAccount, number: int, minutes: float) -> Delivery:
    """Store a mail of which nobody knows whether it was accepted."""
    at, token = ago(minutes=minutes), f"claim {number}"
    about = {"account": account, "message_id": f"<doubt{number}@example.com>", "token": token, "reason": "no_outcome"}
    delivery = a_delivery(State.IN_DOUBT, contact=a_contact(), **about)
    attempt = {"token": token, "claimed_at": at, "finished_at": at, "outcome": "in_doubt"}
    Attempt.create(delivery=delivery, account=account, **attempt)
    return delivery


def by_hand(to: str, at: dt.datetime) -> str:
    """Return a mail that a person has written."""
    date = email.utils.format_datetime(at)
    name = f"<{at.timestamp()}@by-hand.example>"
    return f"From: me@example.com\nTo: {to}\nMessage-ID: {name}\nDate: {date}\nSubject: Hi\n\nHi\n"


def ago(**length: float) -> dt.datetime:
    """Return a time that is so long ago."""
    return dt.datetime.now(dt.UTC) - dt.timedelta(**length)


def messages_in_sent(box: Box) -> list[tuple[str, bytes]]:
    """Return Message-ID and flags of what lies in Sent, in the order in which it came."""
    found = []
    with box.opened() as imap:
        imap.select(SENT, readonly=True)
        for number in imap.search(None, "ALL")[1][0].split():
            (head, *_) = imap.fetch(number.decode(), "(FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")[1]
            assert isinstance(head, tuple)
            flags = head[0].partition(b"FLAGS (")[2].partition(b")")[0]
            found.append((head[1].decode().partition(":")[2].strip(), flags.replace(b"\\Recent", b"").strip()))
    return found
