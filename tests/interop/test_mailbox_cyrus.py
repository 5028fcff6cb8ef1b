"""The same on a Cyrus, which shares nothing with Dovecot: folders, what comes meanwhile, doubts, copies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from models import Delivery, Mailbox, SentCopy
from tests.inbound_mails import a_bounce, a_copy, an_answer
from tests.interop.cyrus import Cyrus
from tests.interop.dovecot import ARCHIVE, JUNK, SENT, Box
from tests.interop.reading import effects, ours, read, rows, staying, until
from tests.interop.reading import of as account_of
from tests.interop.test_mailbox_doubt import ago, in_doubt_since, messages_in_sent
from tests.interop.tree import Tree


def test_mailboxes_on_cyrus_are_read_as_on_dovecot(cyrus_box: Box, sqlite: str) -> None:
    box = cyrus_box
    account, first, second = account_of(box), ours(1), ours(2)
    doubtful = in_doubt_since(account, 3, minutes=40)
    bounce = a_bounce(first.message_id, first.address)
    box.put(bounce)
    box.put(bounce, folder=ARCHIVE)
    box.put("Subject: x\n\nx\n", folder=JUNK)
    box.put(a_copy(doubtful.message_id), folder=SENT)
    before = box.state()

    found = read(account)

    assert found.error is None
    assert found.folders == ("INBOX", "Spam-folder", "Everything", "Gesendet & mehr")
    assert (found.effects, found.ended_doubt) == ({"bounced": 1}, 1)
    assert box.state() == before
    assert effects() == {(first.id, "bounced"), (doubtful.id, "found")}
    with staying(account):
        until(lambda: Mailbox.get().holder is not None)
        box.put(an_answer(second.message_id))
        until(lambda: len(rows()) == 3)
    assert Delivery.get_by_id(doubtful.id).state == "sent"


def test_a_copy_is_saved_on_cyrus(cyrus_box: Box, sqlite: str) -> None:
    account = account_of(cyrus_box, save_sent=True, save_sent_since=ago(minutes=90))
    sent = ours(1)
    for _ in range(2):
        assert read(account).error is None
    assert messages_in_sent(cyrus_box) == [(sent.message_id, b"\\Seen")]
    assert [copy.state for copy in SentCopy.select()] == ["saved"]


@pytest.fixture(scope="module")
def running_cyrus(machine: Tree) -> Iterator[Cyrus]:
    """Cyrus, for this file's tests."""
    with Cyrus(machine) as server:
        yield server


@pytest.fixture
def cyrus_box(running_cyrus: Cyrus) -> Box:
    """An empty mailbox."""
    running_cyrus.forget()
    return running_cyrus.box()
