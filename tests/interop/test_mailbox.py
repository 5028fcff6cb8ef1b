"""Mailboxes on a real Dovecot: what is new is recorded, each mail once, and nothing in the mailbox is changed."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from models import Mailbox, Suppression, database
from pipeline.imap.folders import Folder
from pipeline.inbound import mailbox
from pipeline.inbound.reader import Reader
from schedules import read_mailboxes
from tests.inbound_mails import a_bounce, an_answer
from tests.interop.dovecot import ARCHIVE, JUNK, Box
from tests.interop.reading import effects, folder, ignore, of, ours, read, rows, staying, until


def test_what_is_new_in_each_folder_is_recorded_once_and_nothing_is_changed(box: Box, any_database: str) -> None:
    account, first, second = of(box), ours(1), ours(2)
    bounce = a_bounce(first.message_id, first.address)
    box.put("Subject: News\nFrom: a@news.example\nMessage-ID: <1@news.example>\n\nNews\n", bounce)
    box.put(bounce, folder=ARCHIVE)
    box.put(an_answer(second.message_id), folder=JUNK)
    before = box.state()

    found = read(account)

    assert (found.messages, found.fetched, found.effects) == (4, 3, {"bounced": 1, "replied": 1})
    assert found.folders == ("INBOX", "Spam-folder", "Everything", "Gesendet & mehr")
    assert box.state() == before
    assert effects() == {(first.id, "bounced"), (second.id, "replied")}
    assert [row.value for row in Suppression.select()] == [first.address]
    assert (again := read(account)).messages == 0
    assert again.error is None
    box.put(bounce, an_answer(second.message_id).replace("Thank you", "Thank you again"))
    assert read(account).messages == 2
    assert len(rows()) == 3


def test_what_lay_there_before_the_first_mail_of_the_account_is_not_looked_at(box: Box, sqlite: str) -> None:
    account, first = of(box), ours(1)
    box.put(a_bounce(first.message_id, first.address), days_ago=3)
    assert read(account).messages == 0
    box.put(a_bounce(first.message_id, first.address), days_ago=0.9)
    assert read(account).effects == {"bounced": 1}


def test_another_uidvalidity_has_all_looked_at_again_and_no_effect_twice(box: Box, sqlite: str) -> None:
    account, first, second = of(box), ours(1), ours(2)
    box.put(a_bounce(first.message_id, first.address), "Subject: x\n\nx\n")
    read(account)
    known = folder("INBOX").uid_validity
    box.begin_anew()
    box.put(an_answer(second.message_id))

    found = read(account)

    assert folder("INBOX").uid_validity != known
    assert (found.messages, found.effects) == (3, {"replied": 1})
    assert len(rows()) == 2


def test_a_mail_that_is_deleted_while_the_folder_is_read_is_passed_over(
    box: Box, sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, first, second = of(box), ours(1), ours(2)
    box.put(a_bounce(first.message_id, first.address), an_answer(second.message_id))
    heads = mailbox.deliveries_named

    def meanwhile(ids: Any) -> Any:
        monkeypatch.setattr(mailbox, "deliveries_named", heads)
        box.expunge(1)
        return heads(ids)

    monkeypatch.setattr(mailbox, "deliveries_named", meanwhile)
    assert read(account).effects == {"replied": 1}
    assert read(account).messages == 0


def test_a_server_that_goes_away_is_said_and_what_comes_later_is_read(box: Box, sqlite: str) -> None:
    account, first = of(box), ours(1)
    read(account)
    box.server.stop()
    found = read(account)
    assert found.error is not None
    assert "Connection refused" in found.error
    row = Mailbox.get()
    assert (row.error, row.failures, row.holder) == (found.error, 1, None)
    assert row.look_at > database.now()
    box.server.start()
    box.put(a_bounce(first.message_id, first.address))
    assert read(account).effects == {"bounced": 1}
    assert (Mailbox.get().error, Mailbox.get().failures) == (None, 0)


def test_a_wrong_password_is_said_and_not_quoted(box: Box, sqlite: str) -> None:
    account = of(box, imap_password="s3cret-and-wrong")
    found = read(account)
    assert found.error is not None
    assert "login" in found.error
    assert "s3cret" not in found.error
    assert found.error == Mailbox.get().error


def test_a_folder_that_is_gone_is_said_and_the_others_are_read(box: Box, sqlite: str) -> None:
    account, first = of(box), ours(1)
    read(account)
    box.put(a_bounce(first.message_id, first.address))
    with pytest.MonkeyPatch.context() as patch:
        at = mailbox.Look.at

        def once_they_are_listed(self: mailbox.Look, folders: Sequence[Folder]) -> mailbox.Looked:
            with box.opened() as imap:
                assert imap.delete(JUNK)[0] == "OK"
            return at(self, folders)

        patch.setattr(mailbox.Look, "at", once_they_are_listed)
        assert read(account).effects == {"bounced": 1}
    assert "EXAMINE" in (folder("Spam-folder").error or "")


def test_what_comes_while_the_reader_waits_is_recorded_at_once(box: Box, sqlite: str) -> None:
    account, first, second = of(box), ours(1), ours(2)
    with staying(account):
        until(lambda: Mailbox.get_or_none(Mailbox.read_at.is_null(False)))
        box.put(a_bounce(first.message_id, first.address))
        until(lambda: rows())
        # The right is another's as long as it stays.
        assert Reader(account.id, threading.Event(), ignore).read() is None
        box.put(an_answer(second.message_id))
        until(lambda: len(rows()) == 2)
    assert Mailbox.get().holder is None


def test_an_idle_that_is_cut_off_is_no_error_and_the_next_reader_goes_on(box: Box, sqlite: str) -> None:
    account, first = of(box), ours(1)
    with staying(account) as thread:
        until(lambda: Mailbox.get_or_none(Mailbox.read_at.is_null(False)))
        box.server.stop()
        thread.join(30)
        assert not thread.is_alive()
        box.server.start()
    row = Mailbox.get()
    assert (row.failures, row.error, row.holder) == (0, None, None)
    assert row.look_at - database.now() < dt.timedelta(seconds=31)
    box.put(a_bounce(first.message_id, first.address))
    assert read(account).effects == {"bounced": 1}


def test_a_mail_that_can_not_be_recorded_keeps_nobody_from_those_behind_it(
    box: Box, sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, first, second = of(box), ours(1), ours(2)
    box.put(a_bounce(first.message_id, first.address), an_answer(second.message_id))
    record = mailbox.record

    def fails_once(*args: Any, **values: Any) -> Any:
        monkeypatch.setattr(mailbox, "record", record)
        raise ValueError("a mistake")

    monkeypatch.setattr(mailbox, "record", fails_once)
    found = read(account)
    assert (found.effects, found.error) == ({"replied": 1}, None)


def test_a_process_reads_mailboxes_as_long_as_it_lives_and_gives_its_right_back(
    box: Box, sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_mailboxes, "LOOK_EVERY", 0.1)
    monkeypatch.setattr(read_mailboxes, "_publish", ignore)
    account, first = of(box), ours(1)
    with read_mailboxes.watching():
        until(lambda: Mailbox.get_or_none(Mailbox.read_at.is_null(False)))
        assert read_mailboxes.due(database.now()) == []
        box.put(a_bounce(first.message_id, first.address))
        until(rows)
    assert Mailbox.get().holder is None
    # A process that begins now reads it at once.
    assert read_mailboxes.due(database.now()) == [account.id]
