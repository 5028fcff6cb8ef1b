"""Mails that accounts have sent to themselves: what comes back tells who signs, and what the provider changes."""

from __future__ import annotations

import peewee

from models.account import SmtpAccount
from models.base import Base
from models.utc import UTCDateTimeField


class SelfMail(Base):
    """One mail of an account to itself. It is no delivery, and counts as a mail of its account: on `local_on` (the date
    in the window's zone) in its limit, at `sent_at` in its interval.

    `nonce` is in its headers; `message_id` is the one that we gave it; `sent_of` is a hash of how the account
    was set up (`signing.set_up`); `read_at`: when it was read as it was received.
    """

    account = peewee.ForeignKeyField(SmtpAccount, index=False)
    nonce = peewee.TextField(unique=True)
    message_id = peewee.TextField()
    sent_of = peewee.TextField()
    local_on = peewee.DateField()
    sent_at = UTCDateTimeField()
    read_at = UTCDateTimeField(null=True)

    class Meta:
        """What the limit and the interval are counted by."""

        indexes = ((("account", "sent_at"), False),)
