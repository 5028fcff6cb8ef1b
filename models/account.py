"""SMTP accounts, and what is counted about them: used today, idle since, health. Nothing here is a counter that
could drift.
"""

from __future__ import annotations

from enum import StrEnum

import peewee

from models.base import Base
from models.database import UTCDateTimeField


class Security(StrEnum):
    """How the connection is protected; what is chosen is never silently dropped (RFC 8314)."""

    STARTTLS = "starttls"
    TLS = "tls"
    PLAIN = "plain"


class SmtpAccount(Base):
    """One SMTP submission account. `password` is encrypted (Fernet); `removed_at` keeps the history of one that is
    gone.

    `daily_limit` None: the default of the settings. Warm-up: `warmup_start` + `warmup_step` × days since `warmup_on`,
    up to the limit. `quota_limit` is what the provider allowed on `quota_on`, given back step by step afterwards.
    `failures_in_row` and `cooling_until` change in the transaction that records an attempt.
    """

    name = peewee.TextField(unique=True)
    host = peewee.TextField()
    port = peewee.IntegerField()
    security = peewee.TextField(default=Security.STARTTLS)
    username = peewee.TextField(null=True)
    password = peewee.TextField(null=True)
    from_address = peewee.TextField()
    from_name = peewee.TextField(default="")
    reply_to = peewee.TextField(null=True)
    signature = peewee.TextField(default="")
    daily_limit = peewee.IntegerField(null=True)
    warmup_start = peewee.IntegerField(null=True)
    warmup_step = peewee.IntegerField(null=True)
    warmup_on = peewee.DateField(null=True)
    quota_limit = peewee.IntegerField(null=True)
    quota_on = peewee.DateField(null=True)
    failures_in_row = peewee.IntegerField(default=0)
    cooling_until = UTCDateTimeField(null=True)
    enabled = peewee.BooleanField(default=True)
    enabled_at = UTCDateTimeField()
    disabled_reason = peewee.TextField(null=True)
    paused_at = UTCDateTimeField(null=True)
    removed_at = UTCDateTimeField(null=True)
    created_at = UTCDateTimeField()
    updated_at = UTCDateTimeField()
