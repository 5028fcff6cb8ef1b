"""The reader of a mailbox: connects, looks at all that is new, and where the server offers it waits for more (IDLE).

Reads: the account. Writes: what `mailbox` does; when the mailbox was read, when it is to be read next, what is wrong.
Trouble: what is wrong is stored, and the next try is later each time; sending knows nothing of it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models import Mailbox, MailboxFolder, Role, SmtpAccount, database
from pipeline.accounts.identity import mailbox_of
from pipeline.imap.connection import Connection, MailboxError
from pipeline.imap.folders import Folder
from pipeline.imap.login import Endpoint, connect
from pipeline.inbound import copies, doubt
from pipeline.inbound.lease import Lease, LostError, take
from pipeline.inbound.mailbox import HandOn, Look, Looked
from pipeline.runtime.faults import described
from pipeline.runtime.logs import log
from pipeline.runtime.secret_key import SecretKeyError
from pipeline.runtime.waiting import name_of, what_is_away

#: From one look at all folders to the next; sooner where a mail is about one that was being sent.
EVERY, SOON = dt.timedelta(minutes=5), dt.timedelta(seconds=30)
#: After trouble: doubled each time, up to the longest.
FIRST_WAIT, LONGEST_WAIT = dt.timedelta(minutes=1), dt.timedelta(hours=1)
#: Seconds of one IDLE: it is renewed long before the 29 minutes of RFC 2177, since the right to read is, too.
IDLE_FOR = 60.0


@dataclass(frozen=True)
class MailboxRead:
    """A mailbox that was read.

    Attributes:
        account_id: whose it is.
        folders: the folders that were read.
        messages: new messages whose headers were read.
        fetched: those of which more than the header was, since they may be ours.
        effects: how many had each effect.
        ended_doubt: mails in doubt that were found in Sent.
        error: what went wrong; null: nothing.
    """

    account_id: int
    folders: tuple[str, ...]
    messages: int
    fetched: int
    effects: Mapping[str, int]
    ended_doubt: int = 0
    error: str | None = None


class Reader:
    """Reads the mailbox of an account, as the only one."""

    def __init__(self, account_id: int, stop: threading.Event, hand_on: HandOn) -> None:
        self._account_id, self._stop, self._hand_on = account_id, stop, hand_on
        self._connection: Connection | None = None
        self._endpoint: Endpoint | None = None
        self._folders: list[Folder] = []
        self._found = Looked()
        self._has_hung_up = False

    def drop(self) -> None:
        """Break the connection, in whatever thread it is waited for."""
        if (connection := self._connection) is not None:
            connection.drop()

    def read(self, *, stay: bool = False) -> MailboxRead | None:
        """Read all that is new; None: another process reads it at this moment.

        Args:
            stay: go on until told to stop, as long as the server says by itself what is new; what is wrong, or a
                server that does not, ends it.
        """
        with database.connection():
            lease = take(self._account_id)
        if lease is None:
            return None
        error: str | None = None
        try:
            self._stay(lease) if stay else self._look(lease)
        except LostError as lost:
            error = str(lost)
        except (MailboxError, SecretKeyError) as trouble:
            error = str(trouble)
        except Exception as fault:
            if what_is_away(fault):
                raise
            log.error("a mailbox can't be read", account_id=self._account_id, **described(fault))
            error = f"fault: {name_of(fault)}"
        finally:
            error = None if self._stop.is_set() else error
            self._close(politely=error is None and not self._has_hung_up)
            with database.connection():
                lease.give_back(**(self._at_its_end() if error is None else self._after_trouble(error)))
        found = self._found
        names = tuple(folder.name for folder in self._folders)
        counts = (found.messages, found.fetched, dict(found.effects), found.ended_doubt)
        return MailboxRead(self._account_id, names, *counts, error)

    def _close(self, *, politely: bool) -> None:
        if self._connection is not None:
            (self._connection.close if politely else self._connection.drop)()
            self._connection = None

    def _look(self, lease: Lease) -> None:
        """Look at all folders."""
        self._found.early = False
        with database.connection():
            account = SmtpAccount.get_by_id(self._account_id)
            self._connect(account, lease)
            assert self._connection is not None
            look = Look(account, self._connection, lease, self._stop, self._hand_on, self._found)
            look.at(self._folders)
            sent = [folder for folder in self._folders if folder.role is Role.SENT]
            for done in doubt.look(account, self._connection, sent, lease):
                self._found.ended_doubt += done.ended_doubt
                self._hand_on(done.handoffs)
            if account.save_sent and sent:
                copies.save(account, self._connection, sent[0], lease)
            if not self._stop.is_set():
                self._store(lease)

    def _stay(self, lease: Lease) -> None:
        while not self._stop.is_set():
            self._look(lease)
            assert self._connection is not None
            if not self._connection.can_wait():
                return
            try:
                self._wait(lease, time.monotonic() + self._next().total_seconds())
            except MailboxError as error:
                # Servers hang up now and then; whether that is trouble, the next connection shows.
                log.info("a mailbox's server has hung up", account_id=self._account_id, reason=str(error))
                self._has_hung_up = True
                return

    def _wait(self, lease: Lease, until: float) -> None:
        """Read INBOX as soon as something is new in it, until all folders are to be looked at again."""
        assert self._connection is not None
        inbox = [folder for folder in self._folders if folder.role is Role.INBOX]
        while not self._stop.is_set() and (left := until - time.monotonic()) > 0:
            with database.connection():
                lease.keep()
                account = SmtpAccount.get_by_id(self._account_id)
                # It stays open, so that the server tells what has come since.
                Look(account, self._connection, lease, self._stop, self._hand_on, self._found).at(inbox)
            self._connection.wait(min(left, IDLE_FOR), self._stop)

    def _connect(self, account: SmtpAccount, lease: Lease) -> None:
        """Connect, unless there is a connection to where the account's mailbox is."""
        endpoint = mailbox_of(account) if account.removed_at is None else None
        if endpoint is None:
            raise MailboxError("the account has no mailbox any more")
        if self._connection is not None and self._endpoint == endpoint:
            return
        self._close(politely=True)
        _begin_anew(lease, hashlib.sha256(f"{endpoint.host}\0{endpoint.username}".lower().encode()).hexdigest())
        self._connection, self._endpoint = connect(endpoint), endpoint
        self._folders = self._connection.folders()
        _forget_others(account.id, self._folders)

    def _store(self, lease: Lease) -> None:
        now = database.now()
        said: dict[str, Any] = {"read_at": now, "look_at": now + self._next()}
        said |= {"error": None, "error_at": None, "failures": 0}
        if self._found.keeps_sent:
            said["keeps_sent_at"] = now
        lease.store(**said)

    def _next(self) -> dt.timedelta:
        return SOON if self._found.early else EVERY

    def _at_its_end(self) -> dict[str, Any]:
        """Return what is stored when the mailbox was read as far as it was to be."""
        if self._stop.is_set():
            return {"look_at": database.now()}
        return {"look_at": database.now() + SOON} if self._has_hung_up else {}

    def _after_trouble(self, error: str) -> dict[str, Any]:
        """Return what is stored of what went wrong."""
        now, mailbox = database.now(), Mailbox.get(Mailbox.account == self._account_id)
        log.warning("mailbox can't be read", account_id=self._account_id, reason=error)
        wait = min(FIRST_WAIT * 2 ** min(mailbox.failures, 10), LONGEST_WAIT)
        since = mailbox.error_at if mailbox.error is not None else now
        return {"error": error, "error_at": since, "failures": mailbox.failures + 1, "look_at": now + wait}


def _begin_anew(lease: Lease, place: str) -> None:
    """Forget what is known of a mailbox that the account had before."""
    mailbox = Mailbox.get(Mailbox.account == lease.account_id)
    if mailbox.place != place:
        MailboxFolder.delete().where(MailboxFolder.account == lease.account_id).execute()
        lease.store(place=place, keeps_sent_at=None)


def _forget_others(account_id: int, folders: list[Folder]) -> None:
    """Forget folders that are not there any more, but for the only one of a kind: that it is gone is said."""
    names, roles = [folder.name for folder in folders], [folder.role for folder in folders]
    gone = (MailboxFolder.account == account_id) & MailboxFolder.name.not_in(names)
    MailboxFolder.delete().where(gone & MailboxFolder.role.in_(roles)).execute()
    MailboxFolder.update(error="it is not there any more").where(gone).execute()
