"""Mails in doubt are looked for in Sent: what lies there was accepted.

Reads: the account's deliveries in doubt, and its folder Sent, by their Message-IDs. Writes: what `record` does for one
that is found; when it was looked for, of one that is not. Trouble: a connection that breaks is a `MailboxError`.
"""

from __future__ import annotations

from collections.abc import Sequence

from models import Delivery, SentLook, SmtpAccount, State, database
from models.delivery import in_states
from pipeline.imap.connection import Connection
from pipeline.imap.folders import Folder
from pipeline.inbound.classify import Place
from pipeline.inbound.lease import Lease
from pipeline.inbound.message import MAX_BYTES
from pipeline.inbound.record import Recorded, record, today
from pipeline.inbound.sources import mail_of


def look(account: SmtpAccount, connection: Connection, sent: Sequence[Folder], lease: Lease) -> list[Recorded]:
    """Look for an account's mails in doubt in its folders for what is sent; return what was recorded.

    Not where Slowpost puts the copies there itself: they say nothing of what a server has accepted.

    Raises MailboxError, LostError.
    """
    in_doubt = list(Delivery.select().where(in_states(State.IN_DOUBT) & (Delivery.account == account.id)))
    if account.save_sent or not sent or not in_doubt:
        return []
    found: list[Recorded] = []
    missing = {delivery.id: delivery.message_id for delivery in in_doubt if delivery.message_id}
    for folder in sent:
        connection.examine(folder.name)
        for delivery_id, message_id in list(missing.items()):
            lease.keep()
            uid = connection.uid_of(message_id)
            copy = None if uid is None else connection.beginning(uid, MAX_BYTES)
            if copy is not None:
                found.append(record(mail_of(copy), today(), place=Place.SENT, mailbox=account.id))
                del missing[delivery_id]
    _store(list(missing))
    return found


def _store(delivery_ids: Sequence[int]) -> None:
    """Store that these were not found."""
    now = database.now()
    for delivery_id in delivery_ids:
        query = SentLook.insert(delivery=delivery_id, looked_at=now)
        query.on_conflict(conflict_target=(SentLook.delivery,), update={SentLook.looked_at: now}).execute()
