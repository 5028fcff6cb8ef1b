"""Readers that die, and two processes with one mailbox: nothing is lost, and no effect is there twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from models import Action, Delivery, InboundMail, Mailbox
from models.database import db
from pipeline.inbound import mailbox, record
from pipeline.inbound.reader import Reader
from tests.inbound_mails import a_bounce, an_answer
from tests.interop.dovecot import ARCHIVE, JUNK, Box
from tests.interop.reading import effects, ignore, of, ours, read, rows

KILLS = 20
PLACES = ("mailbox:read", "inbound:got", "inbound:wrote")


def test_a_reader_that_is_killed_twenty_times_loses_nothing_and_does_nothing_twice(
    box: Box, sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, sent = of(box), [ours(number) for number in range(30)]
    mails = [
        an_answer(d.message_id) if number % 2 else a_bounce(d.message_id, d.address) for number, d in enumerate(sent)
    ]
    for number, folder in enumerate(("INBOX", JUNK, ARCHIVE)):
        box.put(*mails[number::3], folder=folder)
    before, killed = box.state(), 0
    for number in range(KILLS):
        killed += killed_at(PLACES[number % 3], number // 3 % 4 + 1, account.id)
        # Its right is over.
        Mailbox.update(held_until=None, holder=None).execute()

    read(account)

    assert killed == KILLS
    assert box.state() == before
    assert len(rows()) == len(sent)
    expected = {(d.id, "replied" if number % 2 else "bounced") for number, d in enumerate(sent)}
    assert effects() == expected
    assert Action.select().where(Action.verb == "suppress").count() == 15
    assert Action.select().where(Action.verb == "replied").count() == 15


def killed_at(place: str, time: int, account_id: int) -> bool:
    """Read a mailbox in a process that dies when it comes to a place the n-th time; tell whether it has."""
    db.close()
    pid = os.fork()
    if pid == 0:
        left = [time]

        def failpoint(name: str) -> None:
            left[0] -= name == place
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            mailbox.failpoint = record.failpoint = failpoint
            Reader(account_id, threading.Event(), ignore).read()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    db.connect()
    return os.WIFSIGNALED(status)


def test_two_processes_with_one_mailbox_have_each_effect_once(box: Box, postgres: str, tmp_path: object) -> None:
    of(box)
    sent = [ours(number) for number in range(20)]
    box.put(*(a_bounce(delivery.message_id, delivery.address) for delivery in sent))
    before = box.state()
    command = [sys.executable, "-m", "slowpost", "inbound", "read", "--json"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(2)]

    printed = [process.communicate(timeout=120)[0] for process in processes]

    assert [process.returncode for process in processes] == [0, 0], printed
    assert box.state() == before
    assert InboundMail.select().count() == len(sent)
    assert {d.state for d in Delivery.select()} == {"sent"}
    assert Action.select().where(Action.verb == "suppress").count() == len(sent)
