"""The accounts' mailboxes are read: once (`read`), or as long as a process lives (`watching`).

Each mailbox has one reader, in whichever process; a thread of its own for each that the server tells what is new.
Trouble: what is wrong with a mailbox is in `slowpost status`; the others are read, and sending knows nothing of it.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

from peewee import JOIN

from actors import entry
from actors.waiting import PutBackError, until_available
from models import Mailbox, SmtpAccount, database
from pipeline.flow import Handoff
from pipeline.inbound.reader import MailboxRead, Reader
from pipeline.runtime.faults import described
from pipeline.runtime.logs import log
from pipeline.runtime.waiting import connected

#: Mailboxes that are read at the same time where none is waited at.
THREADS = 8
#: Readers of one process; what more there is, is read when one of them ends.
MAX_READERS = 40
#: Seconds between two looks for mailboxes that are to be read.
LOOK_EVERY = 5.0
#: Seconds in which readers end before their connections are broken, and after it.
ENDS_WITHIN = 5.0


def read(*, all_of_them: bool = True) -> list[MailboxRead]:
    """Read the accounts' mailboxes, each once, and return what was found; one that another process reads at this moment
    is left out.

    Args:
        all_of_them: also those that are not due.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda i: _reader(i, stop).read(), due(None if all_of_them else database.now())))
    return [one for one in found if one is not None]


def due(now: dt.datetime | None) -> list[int]:
    """Return the accounts whose mailboxes are to be read at `now` (UTC), and that nobody reads; None: all that have
    one.
    """
    has_one = SmtpAccount.imap_host.is_null(False) & SmtpAccount.removed_at.is_null()
    query = SmtpAccount.select(SmtpAccount.id).join(Mailbox, JOIN.LEFT_OUTER).where(has_one)
    if now is not None:
        is_due = Mailbox.look_at.is_null() | (Mailbox.look_at <= now)
        query = query.where(is_due & (Mailbox.holder.is_null() | (Mailbox.held_until < now)))
    return [row[0] for row in query.order_by(Mailbox.look_at, SmtpAccount.id).tuples()]


@contextmanager
def watching() -> Iterator[None]:
    """Read the mailboxes for the block, each as soon as it is due, or its server says that something is new."""
    watch = _Watch()
    watch.start()
    try:
        yield
    finally:
        watch.end()


class _Watch(threading.Thread):
    """Starts a reader for each mailbox that is due."""

    def __init__(self) -> None:
        super().__init__(name="mailboxes", daemon=True)
        self._stop_reading = threading.Event()
        self._readers: dict[int, tuple[Reader, threading.Thread]] = {}

    def run(self) -> None:
        while not self._stop_reading.wait(LOOK_EVERY):
            try:
                self._look()
            except PutBackError:
                return
            except Exception as error:
                log.error("mailboxes can't be looked after", **described(error))

    def end(self) -> None:
        """End all readers, at the latest by breaking their connections."""
        self._stop_reading.set()
        self.join(ENDS_WITHIN)
        readers = list(self._readers.values())
        for _, thread in readers:
            thread.join(ENDS_WITHIN / max(1, len(readers)))
        for reader, thread in readers:
            if thread.is_alive():
                reader.drop()
                thread.join(ENDS_WITHIN / len(readers))

    def _look(self) -> None:
        self._readers = {i: one for i, one in self._readers.items() if one[1].is_alive()}
        for account_id in until_available(connected(lambda: due(database.now()))):
            if account_id not in self._readers and len(self._readers) < MAX_READERS:
                reader = _reader(account_id, self._stop_reading)
                thread = threading.Thread(target=_follow, args=(reader,), name=f"mailbox {account_id}", daemon=True)
                self._readers[account_id] = reader, thread
                thread.start()


def _follow(reader: Reader) -> None:
    try:
        reader.read(stay=True)
    except PutBackError:
        return
    except Exception as error:
        log.error("a mailbox can't be read", **described(error))


def _reader(account_id: int, stop: threading.Event) -> Reader:
    return Reader(account_id, stop, _publish)


def _publish(handoffs: Sequence[Handoff]) -> None:
    try:
        until_available(partial(entry.publish, handoffs))
    except PutBackError:
        log.info("stopped before it could be handed on: the sweep does it")
