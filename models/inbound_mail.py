"""What came back by mail, and what followed: rows beside the deliveries, which stay as they are. Ids, codes and words
of the program's own: no address, no subject and no word of a mail.
"""

from __future__ import annotations

from enum import StrEnum

import peewee

from models.account import SmtpAccount
from models.base import Base
from models.campaign import Campaign
from models.delivery import Delivery
from models.template import EmailTemplate
from models.utc import UTCDateTimeField


class NamedBy(StrEnum):
    """How a mail that came back tells which delivery it is about."""

    #: Our Message-ID stands in the part that quotes our headers.
    QUOTED = "quoted"
    #: It answers our Message-ID (In-Reply-To or References).
    ANSWERED = "answered"
    #: The token of our link to unsubscribe.
    TOKEN = "token"  # noqa: S105  (a word for a person, not a token)
    #: It is our mail: a copy.
    COPY = "copy"
    #: Nothing but a recipient's address: a guess.
    RECIPIENT = "recipient"


class Effect(StrEnum):
    """What followed from a mail that came back."""

    #: Refused for good: the address is suppressed, and the delivery counts as bounced.
    BOUNCED = "bounced"
    #: Refused by policy: the delivery counts as bounced, and nobody is suppressed.
    REFUSED_BY_POLICY = "refused_by_policy"
    #: Refused for now.
    SOFT = "soft"
    #: Refused for now once too often: the address is suppressed.
    TOO_OFTEN = "too_often"
    COMPLAINED = "complained"
    REPLIED = "replied"
    UNSUBSCRIBED = "unsubscribed"
    #: The next step of the sequence waits longer.
    PUT_OFF = "put_off"
    #: A person has written to them: the next step waits longer.
    TAKEN_OVER = "taken_over"
    #: The sequence has ended, since the person is not there any more.
    ENDED = "ended"
    #: It is our mail, which nobody knew to be sent.
    FOUND = "found"
    #: It is kept, and nothing follows.
    NOTED = "noted"
    #: It is only guessed which delivery is meant: shown, and nothing follows.
    GUESS = "guess"


class InboundMail(Base):
    """One mail that came back. `key` is a hash of its Message-ID and size, by which it has one effect however often it
    is seen.

    `named_by` says how surely `delivery` is meant, `mailbox` is the account in whose mailbox it lay, where that was
    said. `verdict`, `reply_code` and `enhanced_code` are a report's. `evidence` says in the program's words why it was
    taken for what it is.
    """

    key = peewee.TextField(unique=True)
    kind = peewee.TextField()
    delivery = peewee.ForeignKeyField(Delivery)
    named_by = peewee.TextField()
    effect = peewee.TextField()
    evidence = peewee.TextField(default="")
    verdict = peewee.TextField(null=True)
    reply_code = peewee.IntegerField(null=True)
    enhanced_code = peewee.TextField(null=True)
    mailbox = peewee.ForeignKeyField(SmtpAccount, null=True, index=False)
    read_at = UTCDateTimeField()


class LateBounce(Base):
    """A delivery whose mail was accepted and came back. `at` is when that was read: it counts from then, in place of
    the delivery's `sent`, for `account`, and for `campaign` or `template`. `reason` is the one that a delivery refused
    at once would have; None: refused for now, which counts in no limit.
    """

    delivery = peewee.ForeignKeyField(Delivery, unique=True)
    account = peewee.ForeignKeyField(SmtpAccount, null=True, index=False)
    campaign = peewee.ForeignKeyField(Campaign, null=True, index=False)
    template = peewee.ForeignKeyField(EmailTemplate, index=False)
    verdict = peewee.TextField()
    reason = peewee.TextField(null=True)
    at = UTCDateTimeField()


for _column in ("account", "campaign", "template"):
    LateBounce.add_index(
        peewee.SQL(f"CREATE INDEX late_bounce_{_column} ON late_bounce ({_column}_id, at) WHERE reason IS NOT NULL")
    )
