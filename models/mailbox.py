"""Mailboxes that are read: who reads one at the moment, what has been looked at in each of its folders, and what was
found of mails in doubt and of copies. Ids, names of folders and times: no word of a mail.
"""

from __future__ import annotations

from enum import StrEnum

import peewee

from models.account import SmtpAccount
from models.base import Base
from models.delivery import Delivery
from models.utc import UTCDateTimeField


class Role(StrEnum):
    """What a folder is for (RFC 6154)."""

    INBOX = "inbox"
    JUNK = "junk"
    ARCHIVE = "archive"  # or all mails: a filter may have moved one there first
    SENT = "sent"


class CopyState(StrEnum):
    """What became of a copy that is to be saved in Sent."""

    INTENDED = "intended"  # it may have been sent to the server: nobody knows
    SAVED = "saved"
    LEFT = "left"  # the server did not answer, and it is not there: never saved a second time


class Mailbox(Base):
    """The mailbox of an account. `place` is a hash of server and user: what is known of another says nothing of it.

    `holder` is the process that has a connection to it, until `held_until`, unless it says so again. `read_at`: when
    all of its folders were last read; `look_at`: when they are to be read next. `error`, since `error_at`: what is
    wrong; `failures`: how often in a row. `keeps_sent_at`: when a mail of ours was last found in Sent that the provider
    has put there.
    """

    account = peewee.ForeignKeyField(SmtpAccount, unique=True)
    place = peewee.TextField(null=True)
    holder = peewee.TextField(null=True)
    held_until = UTCDateTimeField(null=True)
    read_at = UTCDateTimeField(null=True)
    look_at = UTCDateTimeField(null=True)
    error = peewee.TextField(null=True)
    error_at = UTCDateTimeField(null=True)
    failures = peewee.IntegerField(default=0)
    keeps_sent_at = UTCDateTimeField(null=True)


class MailboxFolder(Base):
    """A folder of a mailbox. All messages below `next_uid` have been looked at, as long as the folder has this
    `uid_validity` (RFC 3501 2.3.1.1) and its `mod_seq` (RFC 7162) does not go back, as that of a restored one does.
    """

    account = peewee.ForeignKeyField(SmtpAccount, index=False)
    name = peewee.TextField()
    role = peewee.TextField()
    uid_validity = peewee.BigIntegerField()
    next_uid = peewee.BigIntegerField(default=1)
    mod_seq = peewee.BigIntegerField(default=0)
    error = peewee.TextField(null=True)

    class Meta:
        """A folder is there once."""

        indexes = ((("account", "name"), True),)


class SentLook(Base):
    """When a delivery in doubt was last looked for in Sent, and not found."""

    delivery = peewee.ForeignKeyField(Delivery, unique=True)
    looked_at = UTCDateTimeField()


class SentCopy(Base):
    """A mail whose copy is to be saved in Sent, since its provider keeps none. The row is there before the copy is."""

    delivery = peewee.ForeignKeyField(Delivery, unique=True)
    state = peewee.TextField(default=CopyState.INTENDED)
    at = UTCDateTimeField()
