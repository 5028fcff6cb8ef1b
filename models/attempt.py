"""Attempts: the log of what was sent. One row is one SMTP transaction, its outcome, and to whom that is charged."""

from __future__ import annotations

from enum import StrEnum

import peewee

from models.account import SmtpAccount
from models.base import Base, one_of
from models.campaign import Campaign
from models.delivery import Delivery
from models.utc import UTCDateTimeField


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
    SITE = "site"
    CONTENT = "content"
    ACCOUNT = "account"


#: Attempts that use up the daily limit: those whose mail the recipient may have got, and those that were refused
#: otherwise than by the account's fault, since a provider counts these too.
USES_UP = (
    f"(outcome IN ({one_of([Outcome.OPEN, Outcome.ACCEPTED, Outcome.IN_DOUBT])}) "
    f"OR charged_to IN ({one_of([ChargedTo.RECIPIENT, ChargedTo.SITE, ChargedTo.CONTENT])}))"
)
#: Those that failed and use up none.
USES_NOTHING = (
    f"outcome = '{Outcome.FAILED}' AND "
    f"(charged_to IS NULL OR charged_to IN ({one_of([ChargedTo.ACCOUNT, ChargedTo.NOBODY])}))"
)
#: What counts in an account's health beside what was accepted.
COUNTS_AGAINST_HEALTH = (ChargedTo.ACCOUNT, ChargedTo.CONTENT, ChargedTo.SITE)
_TRANSACTION_AT = (
    "GENERATED ALWAYS AS (COALESCE(claimed_at, "
    "CASE WHEN phase IN ('mail', 'rcpt', 'data', 'body', 'dot') THEN finished_at END)) STORED"
)


class Attempt(Base):
    """One SMTP transaction. `token` and `claimed_at` are set if the dot was claimed; `local_on`, the date in the
    window's zone, also if a transaction was refused otherwise than by the account's fault. `verdict` is what the reply
    was judged to mean. `transaction_at` is when its mail transaction was claimed or refused, as the database derives
    it; null: the dialogue never came as far as MAIL FROM.
    """

    delivery = peewee.ForeignKeyField(Delivery, backref="attempt_rows")
    campaign = peewee.ForeignKeyField(Campaign, null=True, index=False)
    account = peewee.ForeignKeyField(SmtpAccount, backref="attempt_rows", index=False)
    token = peewee.TextField(null=True, unique=True)
    local_on = peewee.DateField(null=True)
    claimed_at = UTCDateTimeField(null=True)
    finished_at = UTCDateTimeField(null=True, index=True)
    outcome = peewee.TextField()
    charged_to = peewee.TextField(null=True)
    verdict = peewee.TextField(null=True)
    phase = peewee.TextField(default="")
    reply_code = peewee.IntegerField(null=True)
    enhanced_code = peewee.TextField(null=True)
    text = peewee.TextField(default="")
    transaction_at = UTCDateTimeField(null=True, constraints=[peewee.SQL(_TRANSACTION_AT)])


Attempt.add_index(
    peewee.SQL(
        "CREATE INDEX attempt_used_on ON attempt (local_on, account_id) "
        f"WHERE {USES_UP.removeprefix('(').removesuffix(')')}"
    )
)
Attempt.add_index(
    peewee.SQL("CREATE INDEX attempt_of_campaign ON attempt (campaign_id, local_on) WHERE campaign_id IS NOT NULL")
)
Attempt.add_index(
    peewee.SQL(
        "CREATE INDEX attempt_last_transaction ON attempt (account_id, transaction_at) WHERE transaction_at IS NOT NULL"
    )
)
Attempt.add_index(
    peewee.SQL(
        "CREATE INDEX attempt_health ON attempt (account_id, id) "
        f"WHERE outcome = '{Outcome.ACCEPTED}' OR charged_to IN ({one_of(COUNTS_AGAINST_HEALTH)})"
    )
)
Attempt.add_index(peewee.SQL(f"CREATE INDEX attempt_used_nothing ON attempt (finished_at) WHERE {USES_NOTHING}"))
Attempt.add_index(peewee.SQL("CREATE INDEX attempt_latest ON attempt (account_id, id)"))
Attempt.add_index(peewee.SQL(f"CREATE INDEX attempt_open ON attempt (claimed_at) WHERE outcome = '{Outcome.OPEN}'"))
