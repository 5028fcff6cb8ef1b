"""Copies of what was sent, in the account's folder Sent, for providers that keep none there (`--save-sent`).

Reads: mails that the account's server has accepted since the copies were asked for. Writes: that a copy is intended,
and only then, with one APPEND, the copy; then that it is there. Trouble: where the server did not answer, or the
process has died in between, the copy is looked for by its Message-ID; one that is not there is left, and said.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, cast

from peewee import fn

from models import Attempt, CopyState, Delivery, Outcome, SentCopy, SmtpAccount, State, database
from models.base import insert_new
from models.delivery import FORGOTTEN, in_states
from pipeline.accounts.signing import KeyFileError
from pipeline.content.message import MessageRefusedError
from pipeline.delivery.attachments import files_of
from pipeline.delivery.envelope import envelope_of
from pipeline.imap.connection import Connection, MailboxError
from pipeline.imap.folders import Folder
from pipeline.inbound.lease import Lease
from pipeline.runtime.failpoints import failpoint

#: Copies that are saved in one look at a mailbox.
AT_ONCE = 100


def save(account: SmtpAccount, connection: Connection, sent: Folder, lease: Lease) -> None:
    """Save the copies of an account's mails that have none yet. Raises MailboxError, LostError."""
    of_account = Attempt.select(Attempt.delivery).where(Attempt.account == account.id)
    intended = (SentCopy.state == CopyState.INTENDED) & SentCopy.delivery.in_(of_account)
    unknown = list(SentCopy.select(SentCopy, Delivery).join(Delivery).where(intended))
    if unknown:
        connection.examine(sent.name)
    for copy in unknown:
        lease.keep()
        is_there = connection.uid_of(copy.delivery.message_id) is not None
        _end(copy.delivery_id, CopyState.SAVED if is_there else CopyState.LEFT)
    for delivery in _due(account):
        lease.keep()
        if insert_new(SentCopy, delivery=delivery.id, state=CopyState.INTENDED, at=database.now()) is not None:
            failpoint("copy:intended")
            _end(delivery.id, _appended(delivery, account, connection, sent))


def _due(account: SmtpAccount) -> list[Any]:
    """Return the mails that are to be copied, each with the time at which it was claimed."""
    accepted = (Attempt.account == account.id) & (Attempt.outcome == Outcome.ACCEPTED)
    since = accepted & (Attempt.finished_at >= account.save_sent_since)
    claimed = Attempt.select(Attempt.delivery, fn.MAX(Attempt.claimed_at).alias("at")).where(since)
    claimed = claimed.group_by(Attempt.delivery)
    saved = SentCopy.select(SentCopy.delivery)
    there = in_states(State.SENT) & Delivery.id.not_in(saved) & (Delivery.recipient != FORGOTTEN)
    query = Delivery.select(Delivery, claimed.c.at.alias("claimed")).join(
        claimed, on=(claimed.c.delivery_id == Delivery.id)
    )
    return list(query.where(there).order_by(Delivery.id).limit(AT_ONCE).objects())


def _appended(delivery: Any, account: SmtpAccount, connection: Connection, sent: Folder) -> CopyState:
    at = cast(dt.datetime, Attempt.claimed_at.python_value(delivery.claimed))
    try:
        mail = envelope_of(delivery, account, at, files_of(delivery.template_id))
        connection.append(sent.name, mail.data, at)
    except (KeyFileError, MessageRefusedError):
        return CopyState.LEFT  # what has changed since it was sent: it can't be built again
    except MailboxError as error:
        if not error.refused:
            raise
        return CopyState.LEFT
    return CopyState.SAVED


def _end(delivery_id: int, state: CopyState) -> None:
    SentCopy.update(state=state, at=database.now()).where(SentCopy.delivery == delivery_id).execute()
