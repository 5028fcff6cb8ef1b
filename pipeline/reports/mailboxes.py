"""How the accounts' mailboxes are read. Reads only."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from models import Attempt, CopyState, Mailbox, MailboxFolder, Outcome, SentCopy, SmtpAccount
from pipeline.reports.reasons import local

#: What there is to say of an account without a mailbox that is read.
UNSEEN = "bounces unseen"


@dataclass(frozen=True)
class MailboxStatus:
    """The mailbox of an account.

    Attributes:
        read_at: when all of its folders were last read (UTC); null: not yet.
        error: what is wrong, if it can't be read, or a folder of it; null: nothing.
        error_at: since when it can't be read (UTC).
        folders: the folders that are read.
        keeps_sent: whether its folder Sent is known to keep what is sent by SMTP.
        copies_left: mails whose copy was not saved in Sent: the server did not take it, or did not answer, and it is
            not there.
    """

    read_at: dt.datetime | None
    error: str | None
    error_at: dt.datetime | None
    folders: tuple[str, ...]
    keeps_sent: bool
    copies_left: int

    def in_words(self, zone: dt.tzinfo) -> str:
        """Return it as people read it."""
        read = "not read yet" if self.read_at is None else f"read {local(self.read_at, zone)}"
        left = f"; {self.copies_left} mails without a copy in Sent" if self.copies_left else ""
        return f"{self.error or read}{left}"


def mailbox_status(account: SmtpAccount) -> MailboxStatus | None:
    """Return how an account's mailbox is read; None: it has none, and bounces and replies are unseen."""
    if account.imap_host is None:
        return None
    row = Mailbox.get_or_none(Mailbox.account == account.id)
    if row is None:
        return MailboxStatus(None, None, None, (), keeps_sent=False, copies_left=0)
    folders = list(MailboxFolder.select().where(MailboxFolder.account == account.id).order_by(MailboxFolder.id))
    of_folder = next((f"{folder.name}: {folder.error}" for folder in folders if folder.error is not None), None)
    return MailboxStatus(
        read_at=row.read_at,
        error=row.error or of_folder,
        error_at=row.error_at,
        folders=tuple(folder.name for folder in folders),
        keeps_sent=row.keeps_sent_at is not None and not account.save_sent,
        copies_left=_copies_left(account) if account.save_sent else 0,
    )


def _copies_left(account: SmtpAccount) -> int:
    accepted = (Attempt.account == account.id) & (Attempt.outcome == Outcome.ACCEPTED)
    its = Attempt.select(Attempt.delivery).where(accepted)
    left = (SentCopy.state == CopyState.LEFT) & SentCopy.delivery.in_(its)
    return int(SentCopy.select().where(left).count())
