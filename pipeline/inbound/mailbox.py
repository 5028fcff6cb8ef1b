"""A look at a mailbox: all that is new in its folders, recorded with what follows from it.

Reads: the folders from where the last look ended; headers first, and of a message that may be ours its beginning.
Writes: what `record` does, each mail in its own transaction; then how far each folder has been looked at. So what is
cut off is read again, and has its effect once. Trouble: a folder that can't be opened is said, and the others are read;
a connection that breaks is a `MailboxError`.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from peewee import fn

from models import Attempt, Delivery, MailboxFolder, Role, SmtpAccount, State, database
from pipeline.flow import Handoff, chunks, joined
from pipeline.imap.connection import Connection, Listed, MailboxError
from pipeline.imap.folders import Folder
from pipeline.imap.folders import State as FolderState
from pipeline.inbound import taken_over
from pipeline.inbound.head import Head
from pipeline.inbound.heads import head_in, may_report
from pipeline.inbound.lease import Lease
from pipeline.inbound.message import MAX_BYTES
from pipeline.inbound.record import deliveries_named, record, today
from pipeline.inbound.sources import mail_of
from pipeline.runtime.failpoints import failpoint
from pipeline.runtime.faults import described
from pipeline.runtime.logs import log
from pipeline.runtime.waiting import what_is_away

#: Messages whose headers are fetched together.
BATCH = 100
#: The first look begins so long before the account's first delivery.
BEFORE_FIRST = dt.timedelta(days=1)
#: Takes what is to be handed on.
HandOn = Callable[[Sequence[Handoff]], object]


@dataclass
class Looked:
    """What a look has found.

    Attributes:
        messages: messages whose headers were read.
        fetched: those of which more than the header was.
        effects: how many had each effect.
        keeps_sent: a mail of ours lies in Sent.
        early: something is about a mail that is being sent at this moment, and is to be looked at again.
        ended_doubt: mails in doubt that were found in Sent.
    """

    messages: int = 0
    fetched: int = 0
    effects: Counter[str] = field(default_factory=Counter)
    keeps_sent: bool = False
    early: bool = False
    ended_doubt: int = 0


@dataclass
class Look:
    """A look at the mailbox of an account.

    Attributes:
        account: whose mailbox it is.
        connection: to it.
        lease: the right to read it.
        stop: ends the look between two messages; what is not done is done by the next.
        hand_on: is given what is to be handed on.
    """

    account: SmtpAccount
    connection: Connection
    lease: Lease
    stop: threading.Event
    hand_on: HandOn
    found: Looked = field(default_factory=Looked)
    _fetched: set[int] = field(default_factory=set)

    def at(self, folders: Sequence[Folder]) -> Looked:
        """Look at folders, one after the other. Raises MailboxError, LostError."""
        since = first_day(self.account.id)
        for folder in folders:
            if self.stop.is_set():
                break
            try:
                state = self.connection.examine(folder.name)
            except MailboxError as error:
                if not error.refused:
                    raise
                _store(_row_of(self.account.id, folder), error=str(error))
                continue
            self._look_at(folder, state, since)
        return self.found

    def _look_at(self, folder: Folder, state: FolderState, since: dt.date) -> None:
        row = _row_of(self.account.id, folder)
        is_another = row.uid_validity != state.uid_validity
        goes_back = 0 < state.mod_seq < row.mod_seq or 0 < state.uid_next < row.next_uid
        begin = 1 if is_another or goes_back else row.next_uid
        stored = {"uid_validity": state.uid_validity, "mod_seq": state.mod_seq, "error": None}
        if state.uid_next and state.uid_next == begin:
            return _store(row, next_uid=begin, **stored)
        held: int | None = None
        for uids in chunks(self.connection.since(begin, since), BATCH):
            if self.stop.is_set():
                return
            self.lease.keep()
            early = self._read(list(self.connection.heads(uids)), folder)
            held = early if held is None else held
            _store(row, next_uid=held or uids[-1] + 1, **stored)
            begin = uids[-1] + 1
        _store(row, next_uid=held or max(begin, state.uid_next), **stored)

    def _read(self, batch: Sequence[Listed], folder: Folder) -> int | None:
        """Record what there is in a batch; return the first that has to be looked at again."""
        heads = {one.uid: head_in(one.head) for one in batch}
        ours = deliveries_named({i for head in heads.values() for i in (*head.own_ids, *head.answered_ids)})
        self.found.messages += len(batch)
        handoffs: list[Handoff] = []
        early: int | None = None
        if folder.role is Role.SENT:
            handoffs += self._sent(list(heads.values()), ours)
            batch = ()
        for listed in batch:
            if _may_be_ours(heads[listed.uid], ours) and not self._has_fetched(listed):
                given, is_early = self._record(listed.uid)
                handoffs += given
                early = listed.uid if is_early and early is None else early
        if handoffs:
            self.hand_on(joined(handoffs))
        self.found.early |= early is not None
        return early

    def _record(self, uid: int) -> tuple[Sequence[Handoff], bool]:
        self.lease.keep()
        beginning = self.connection.beginning(uid, MAX_BYTES)
        if beginning is None:
            return (), False
        failpoint("mailbox:read")
        try:
            done = record(mail_of(beginning), today(), mailbox=self.account.id)
        except Exception as error:
            if what_is_away(error):
                raise
            # One mail that the program can't take must not keep it from all behind it.
            log.error("a mail can't be recorded", account_id=self.account.id, uid=uid, **described(error))
            return (), False
        self.found.fetched += 1
        if done.effect is not None:
            self.found.effects[done.effect] += 1
        return done.handoffs, done.is_early

    def _sent(self, heads: Sequence[Head], ours: dict[str, Delivery]) -> list[Handoff]:
        """Note what Sent shows: that it keeps what we send, and that a person has written."""
        others = [head for head in heads if not any(one in ours for one in head.own_ids)]
        self.found.keeps_sent |= len(others) < len(heads) and not self.account.save_sent
        return taken_over.note(self.account, others)

    def _has_fetched(self, listed: Listed) -> bool:
        """Tell whether Gmail has shown a message in another folder already."""
        if listed.gmail_id is None:
            return False
        if listed.gmail_id in self._fetched:
            return True
        self._fetched.add(listed.gmail_id)
        return False


def first_day(account_id: int) -> dt.date:
    """Return the day from which on an account's mailbox is read."""
    first = Attempt.select(fn.MIN(Attempt.transaction_at)).where(
        (Attempt.account == account_id) & Attempt.transaction_at.is_null(False)
    )
    at: dt.datetime = Attempt.transaction_at.python_value(first.scalar()) or database.now()
    return (at - BEFORE_FIRST).date()


def _may_be_ours(head: Head, ours: dict[str, Delivery]) -> bool:
    """Tell whether a message that was received is to be fetched. Of our own mails there is one each: only what is in
    doubt is of any interest.
    """
    own = [ours[one] for one in head.own_ids if one in ours]
    if own:
        return any(delivery.state == State.IN_DOUBT for delivery in own)
    return any(one in ours for one in head.answered_ids) or may_report(head)


def _row_of(account_id: int, folder: Folder) -> MailboxFolder:
    where = {"account": account_id, "name": folder.name}
    row, _ = MailboxFolder.get_or_create(**where, defaults={"role": folder.role, "uid_validity": 0})
    found: MailboxFolder = row
    return found


def _store(row: MailboxFolder, **values: object) -> None:
    MailboxFolder.update(**values).where(MailboxFolder.id == row.id).execute()
