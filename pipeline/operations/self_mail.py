"""An account writes to itself, and what it has got is read: who signs its mails, and what its provider changes.

Writes: the mail's row, which counts in the account's limit and interval like a delivery's attempt; what was learned.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from models import SelfMail, SmtpAccount, database, lookup
from models.control import record_action
from pipeline.accounts import signing
from pipeline.accounts.identity import endpoint_of
from pipeline.accounts.self_mail import SUBJECT, SelfMailRead, learn, made
from pipeline.capacity import usage
from pipeline.delivery.claim import locked
from pipeline.delivery.refusals import earliest_after
from pipeline.dns.resolver import Dns
from pipeline.operations.done import Done, OperationRefusedError
from pipeline.runtime.settings import settings
from pipeline.smtp.pool import Connections
from pipeline.smtp.reply import TRANSACTION, Result, Verdict
from pipeline.smtp.transaction import Transaction

__all__ = ["SelfMailRead", "SelfMailSent", "read", "send"]

#: Octets of a mail that is read; what was sent has less than 10,000.
MAX_READ = 1_000_000


@dataclass(frozen=True)
class SelfMailSent(Done):
    """A mail of an account to itself that its server has accepted.

    Attributes:
        account_id: the account.
        to: its address.
        host: its server.
        reply: what the server said.
        message_id: the Message-ID that it was sent with.
        subject: by which it is found in the mailbox.
    """

    account_id: int
    to: str
    host: str
    reply: str
    message_id: str
    subject: str


def send(account_id: int, who: str, reason: str = "") -> SelfMailSent:
    """Let an account send a mail to itself, now: one of its mails of today.

    Args:
        account_id: the account, whether it is on or not.
        who: who does it; kept with the action.
        reason: why; kept with the action.

    Raises:
        NotThereError: there is no such account.
        KeyFileError, MessageRefusedError: it can't be signed, or can't be a mail.
        OperationRefusedError: its limit or interval does not allow it, or the server does not take it.
        SecretKeyError: its password can't be decrypted.
    """
    account, nonce = lookup.account(account_id), secrets.token_hex(16)
    _demand_free(account)
    message_id = f"<{secrets.token_hex(16)}@{account.from_address.rpartition('@')[2]}>"
    count = partial(_count, account, nonce, message_id, who, reason)
    envelope = made(account, nonce, message_id, database.now())
    connections = Connections()
    try:
        with connections.transaction(endpoint_of(account)) as transaction:
            refused = transaction.offer(envelope)
            if refused is not None and refused.phase in TRANSACTION:
                count()  # the provider counts what it has refused, too
            result = refused or _finished(transaction, account_id, count)
    finally:
        connections.close()
    if result.verdict is not Verdict.ACCEPTED:
        raise OperationRefusedError(f"{result.phase}: {result.reply.code or ''} {result.reply.text}")
    said = result.reply.text
    return SelfMailSent(account_id, account.from_address, account.host, said, message_id, f"{SUBJECT} {nonce}")


def read(message: bytes) -> SelfMailRead:
    """Read such a mail as it was received, and keep what it tells. Raises NotReadError."""
    return learn(message, Dns(settings().mail_dns_servers))


def _finished(transaction: Transaction, account_id: int, count: Callable[[], None]) -> Result:
    """Send the dot, if the account may still send when its row is locked."""
    try:
        with database.transaction():
            _demand_free(locked(account_id))
            count()
    except BaseException:
        transaction.abandon()
        raise
    return transaction.finish()


def _demand_free(account: SmtpAccount) -> None:
    """Refuse where the account's limit or its interval does not allow a mail now."""
    now = database.now()
    last = usage.last_transaction_of(account.id)
    if usage.used_on(account.id, usage.date_of(now)) >= usage.limit_of(account, usage.date_of(now)):
        raise OperationRefusedError(f"account {account.id} has sent its mails of today")
    if last is not None and now < earliest_after(last):
        at = earliest_after(last).astimezone(dt.UTC)
        raise OperationRefusedError(f"account {account.id} may send its next mail at {at:%H:%M:%S} UTC: try again then")


def _count(account: SmtpAccount, nonce: str, message_id: str, who: str, reason: str) -> None:
    now = database.now()
    with database.transaction():
        SelfMail.create(
            account=account,
            nonce=nonce,
            message_id=message_id,
            sent_of=signing.set_up(account),
            local_on=usage.date_of(now),
            sent_at=now,
        )
        record_action(who, "send to itself", f"account {account.id}", now, reason)
