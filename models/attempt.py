"""Attempts: the log of what was sent. One row is one SMTP transaction, its outcome, and to whom that is charged."""

from __future__ import annotations

from enum import StrEnum

import peewee

from models.account import SmtpAccount
from models.base import Base, one_of
from models.database import UTCDateTimeField
from models.delivery import Delivery


class Outcome(StrEnum):
    """How an attempt ended. `open`: the claim is committed and nothing is known yet."""

    OPEN = "open"
    ACCEPTED = "accepted"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"


class ChargedTo(StrEnum):
    """Whose fault an attempt's outcome is."""

    NOBODY = "nobody"
    RECIPIENT = "recipient"
    CONTENT = "content"
    ACCOUNT = "account"


#: Attempts that use up the daily limit: the recipient may have got the mail.
COUNTS_AS_USED = (Outcome.OPEN, Outcome.ACCEPTED, Outcome.IN_DOUBT)


class Attempt(Base):
    """One SMTP transaction. `token`, `claimed_at` and `local_on` (the date in the window's zone) are set if the dot
    was claimed.
    """

    delivery = peewee.ForeignKeyField(Delivery, backref="attempt_rows")
    account = peewee.ForeignKeyField(SmtpAccount, backref="attempt_rows", index=False)
    token = peewee.TextField(null=True, unique=True)
    local_on = peewee.DateField(null=True)
    claimed_at = UTCDateTimeField(null=True)
    finished_at = UTCDateTimeField(null=True, index=True)
    outcome = peewee.TextField()
    charged_to = peewee.TextField(null=True)
    phase = peewee.TextField(default="")
    reply_code = peewee.IntegerField(null=True)
    enhanced_code = peewee.TextField(null=True)
    text = peewee.TextField(default="")


Attempt.add_index(
    peewee.SQL(
        "CREATE INDEX attempt_used_on ON attempt (local_on, account_id, claimed_at) "
        f"WHERE outcome IN ({one_of(COUNTS_AS_USED)})"
    )
)
Attempt.add_index(
    peewee.SQL("CREATE INDEX attempt_last_claim ON attempt (account_id, claimed_at) WHERE claimed_at IS NOT NULL")
)
Attempt.add_index(
    peewee.SQL(
        "CREATE INDEX attempt_health ON attempt (account_id, id) "
        f"WHERE outcome = '{Outcome.ACCEPTED}' OR charged_to IN ({one_of([ChargedTo.ACCOUNT, ChargedTo.CONTENT])})"
    )
)
Attempt.add_index(peewee.SQL("CREATE INDEX attempt_latest ON attempt (account_id, id)"))
Attempt.add_index(peewee.SQL(f"CREATE INDEX attempt_open ON attempt (claimed_at) WHERE outcome = '{Outcome.OPEN}'"))
