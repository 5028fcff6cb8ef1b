"""What tests of mailboxes have in common: a Dovecot, an account whose mailbox is on it, and its reader."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from models import Delivery, Enrolment, InboundMail, MailboxFolder, SmtpAccount
from pipeline.accounts import passwords
from pipeline.flow import Handoff
from pipeline.inbound.reader import MailboxRead, Reader
from tests.builders import an_account
from tests.conftest import Clock
from tests.inbound_mails import a_sent_mail
from tests.interop.dovecot import Box, ImapServer
from tests.interop.tree import Tree


@pytest.fixture(scope="session")
def running_dovecot(machine: Tree) -> Iterator[ImapServer]:
    """Dovecot, for the whole run."""
    with ImapServer(machine) as server:
        yield server


@pytest.fixture
def box(running_dovecot: ImapServer) -> Box:
    """An empty mailbox."""
    running_dovecot.forget()
    return running_dovecot.box()


def of(box: Box, **values: Any) -> SmtpAccount:
    """Store the account whose mailbox it is."""
    columns = box.account(**values)
    return an_account(**columns | {"imap_password": passwords.encrypt(columns["imap_password"])})


def ours(number: int) -> Delivery:
    """Store a mail that the account has sent an hour ago."""
    clock = Clock(dt.datetime.now(dt.UTC) - dt.timedelta(hours=1))
    delivery = a_sent_mail(clock, f"<ours{number}@example.com>", account=SmtpAccount.get())
    Enrolment.update(last_id=delivery.id).where(Enrolment.id == delivery.enrolment_id).execute()
    return delivery


def read(account: SmtpAccount) -> MailboxRead:
    """Read a mailbox once."""
    found = Reader(account.id, threading.Event(), ignore).read()
    assert found is not None
    return found


@contextlib.contextmanager
def staying(account: SmtpAccount) -> Iterator[threading.Thread]:
    """Read a mailbox for the block, as long as the server says what is new."""
    stop = threading.Event()
    reader = Reader(account.id, stop, ignore)
    thread = threading.Thread(target=reader.read, kwargs={"stay": True})
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def until(what: Callable[[], object], patience: float = 20) -> None:
    """Wait until something is there."""
    deadline = time.monotonic() + patience
    while not what():
        assert time.monotonic() < deadline, "it has not come"
        time.sleep(0.05)


def ignore(_handoffs: Sequence[Handoff]) -> None:
    """Hand nothing on."""


def rows() -> list[InboundMail]:
    """Return what was recorded."""
    return list(InboundMail.select().order_by(InboundMail.id))


def effects() -> set[tuple[int, str]]:
    """Return which delivery had which effect."""
    return {(row.delivery_id, row.effect) for row in rows()}


def folder(name: str) -> MailboxFolder:
    """Return what is known of a folder."""
    found: MailboxFolder = MailboxFolder.get(MailboxFolder.name == name)
    return found
