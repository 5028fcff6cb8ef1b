"""SMTP accounts, and what is counted about them: used today, idle since, health. Nothing here is a counter that
could drift.
"""

from __future__ import annotations

from enum import StrEnum

import peewee

from models.base import Base
from models.utc import UTCDateTimeField


class Security(StrEnum):
    """How the connection is protected; what is chosen is never silently dropped (RFC 8314)."""

    STARTTLS = "starttls"
    TLS = "tls"
    PLAIN = "plain"


class Auth(StrEnum):
    """How an account logs in: with its password, or with an access token that a command or a file gives (XOAUTH2)."""

    PASSWORD = "password"  # noqa: S105  (the name of a way, not a password)
    XOAUTH2 = "xoauth2"


class SmtpAccount(Base):
    """One SMTP submission account. `password` is encrypted (Fernet); `removed_at` keeps the history of one that is
    gone. `token_command` or `token_file` gives the access token where `auth` is xoauth2. `plain_password`: its password
    may go over a connection without TLS to another machine.

    `daily_limit` None: the default of the settings. Warm-up: `warmup_start` + `warmup_step` × days since `warmup_on`,
    up to the limit. `quota_limit` is what the provider allowed in the 24 h before `quota_at` (`quota_on`: its date in
    the window's zone), given back step by step afterwards; `quota_after` is the reply that said so.
    `failures_in_row`, `cooling_until`, `rests_after` (the failure) and `login_refused_at` (the first of a row) change
    in the transaction that records an attempt. `paused_after` says why the program has paused it; its bounces are
    counted from `resumed_at`, when a person resumed it.

    It signs its mails itself where it has a `dkim_selector` (RSA), beside it perhaps a `dkim_ed25519_selector`, each
    with the file of its key; `dkim_domain` None: for the domain of its From address. `unsubscribe_covered`: a mail that
    it has sent to itself came with a valid signature that covers List-Unsubscribe and List-Unsubscribe-Post (RFC 8058);
    `unsubscribe_evidence` says whose, or why none, `unsubscribe_learned_at` when, and `unsubscribe_learned_of` is a
    hash of how the account was set up (`signing.set_up`): for another it says nothing.

    Its mailbox is read where it has an `imap_host`. Without an `imap_username` it logs in there as it does for sending;
    with one, by `imap_password` (encrypted), or with the access token that `imap_token_command` or `imap_token_file`
    gives. `save_sent`: a copy of each mail sent since `save_sent_since` is put into its folder Sent.
    `person_wrote_at`: when a person last wrote with it to one of our contacts; it counts in the account's interval.
    """

    name = peewee.TextField(unique=True)
    host = peewee.TextField()
    port = peewee.IntegerField()
    security = peewee.TextField(default=Security.STARTTLS)
    username = peewee.TextField(null=True)
    password = peewee.TextField(null=True)
    auth = peewee.TextField(default=Auth.PASSWORD)
    token_command = peewee.TextField(null=True)
    token_file = peewee.TextField(null=True)
    plain_password = peewee.BooleanField(default=False)
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
    quota_at = UTCDateTimeField(null=True)
    quota_after = peewee.TextField(null=True)
    failures_in_row = peewee.IntegerField(default=0)
    cooling_until = UTCDateTimeField(null=True)
    rests_after = peewee.TextField(null=True)
    login_refused_at = UTCDateTimeField(null=True)
    enabled = peewee.BooleanField(default=True)
    enabled_at = UTCDateTimeField()
    disabled_reason = peewee.TextField(null=True)
    paused_at = UTCDateTimeField(null=True)
    paused_after = peewee.TextField(null=True)
    resumed_at = UTCDateTimeField(null=True)
    removed_at = UTCDateTimeField(null=True)
    dkim_domain = peewee.TextField(null=True)
    dkim_selector = peewee.TextField(null=True)
    dkim_key_file = peewee.TextField(null=True)
    dkim_ed25519_selector = peewee.TextField(null=True)
    dkim_ed25519_key_file = peewee.TextField(null=True)
    unsubscribe_covered = peewee.BooleanField(null=True)
    unsubscribe_evidence = peewee.TextField(null=True)
    unsubscribe_learned_at = UTCDateTimeField(null=True)
    unsubscribe_learned_of = peewee.TextField(null=True)
    imap_host = peewee.TextField(null=True)
    imap_port = peewee.IntegerField(null=True)
    imap_security = peewee.TextField(null=True)
    imap_username = peewee.TextField(null=True)
    imap_password = peewee.TextField(null=True)
    imap_token_command = peewee.TextField(null=True)
    imap_token_file = peewee.TextField(null=True)
    save_sent = peewee.BooleanField(default=False)
    save_sent_since = UTCDateTimeField(null=True)
    person_wrote_at = UTCDateTimeField(null=True)
    created_at = UTCDateTimeField()
    updated_at = UTCDateTimeField()
