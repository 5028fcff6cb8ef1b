"""The SMTP accounts as they are set up, without their passwords. Reads only."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from models import Auth, Security, SmtpAccount, database, lookup
from models.account_tag import tags_of
from pipeline.accounts import signing
from pipeline.capacity import usage


@dataclass(frozen=True)
class AccountRow:
    """An SMTP account.

    Attributes:
        id: the account.
        name: what you call it.
        host: the server that it logs in to.
        port: the server's port.
        security: how the connection is protected.
        username: who logs in; null: no login.
        auth: how it logs in.
        token_command: the command that prints its access token.
        token_file: the file that holds its access token.
        plain_password: whether its login may go over a connection without TLS to another machine.
        from_address: the From address.
        from_name: the From name.
        reply_to: the Reply-To address.
        signature: what `sender.signature` becomes.
        daily_limit: mails a day; null: MAIL_DAILY_LIMIT.
        warmup_start: mails on the first day of its warm-up; null: no warm-up.
        warmup_step: how many more mails each day, up to the limit.
        warmup_on: the first day of its warm-up, in the window's zone.
        enabled: whether it is switched on.
        disabled_reason: why it is off.
        cooling_until: until when it rests after failures (UTC).
        enabled_at: when it was last switched on or reset (UTC); its health and its bounces are counted from then on.
        created_at: when it was added (UTC).
        limit_today: mails that it may send today: limit, warm-up and what its provider allows.
        paused: whether it is paused.
        tags: its tags, in lower case.
        dkim_domain: the domain that its own signature is for; null: that of the From address.
        dkim_selector: the selector of the RSA key that it signs with; null: it does not sign.
        dkim_key_file: the file of that key.
        dkim_ed25519_selector: the selector of the Ed25519 key that it signs with as well.
        dkim_ed25519_key_file: the file of that key.
        unsubscribe_covered: whether a signature is known to cover List-Unsubscribe and List-Unsubscribe-Post, so that
            the second may be sent: as the last mail to itself was received, or else because it signs itself.
        unsubscribe_evidence: whose signature covered them in the last mail to itself, or why none; null: none was read
            since it is set up as it is.
        unsubscribe_learned_at: when that mail was read (UTC).
        imap_host: the server of its mailbox; null: bounces and replies are unseen.
        imap_port: that server's port; null: the usual one.
        imap_security: how the connection there is protected; null: tls.
        imap_username: who logs in there; null: as for sending.
        imap_token_command: the command that prints an access token for its mailbox.
        imap_token_file: the file that holds one.
        save_sent: whether a copy of each mail is put into its folder Sent.
    """

    id: int
    name: str
    host: str
    port: int
    security: Security
    username: str | None
    auth: Auth
    token_command: str | None
    token_file: str | None
    plain_password: bool
    from_address: str
    from_name: str
    reply_to: str | None
    signature: str
    daily_limit: int | None
    warmup_start: int | None
    warmup_step: int | None
    warmup_on: dt.date | None
    enabled: bool
    disabled_reason: str | None
    cooling_until: dt.datetime | None
    enabled_at: dt.datetime
    created_at: dt.datetime
    limit_today: int
    paused: bool
    tags: tuple[str, ...]
    dkim_domain: str | None
    dkim_selector: str | None
    dkim_key_file: str | None
    dkim_ed25519_selector: str | None
    dkim_ed25519_key_file: str | None
    unsubscribe_covered: bool
    unsubscribe_evidence: str | None
    unsubscribe_learned_at: dt.datetime | None
    imap_host: str | None
    imap_port: int | None
    imap_security: Security | None
    imap_username: str | None
    imap_token_command: str | None
    imap_token_file: str | None
    save_sent: bool


def accounts() -> list[AccountRow]:
    """Return all accounts that have not been removed, by id."""
    today = usage.date_of(database.now())
    there = list(SmtpAccount.select().where(SmtpAccount.removed_at.is_null()).order_by(SmtpAccount.id))
    tags = tags_of([account.id for account in there])
    return [_row(account, today, tags[account.id]) for account in there]


def names() -> dict[int, str]:
    """Return the names of all accounts that have not been removed, by id."""
    there = SmtpAccount.select(SmtpAccount.id, SmtpAccount.name).where(SmtpAccount.removed_at.is_null())
    return dict(there.order_by(SmtpAccount.id).tuples())


def account(account_id: int) -> AccountRow:
    """Return one account. Raises NotThereError."""
    return _row(lookup.account(account_id), usage.date_of(database.now()), tags_of([account_id])[account_id])


def _row(account: SmtpAccount, today: dt.date, tags: tuple[str, ...]) -> AccountRow:
    still = account.unsubscribe_learned_of == signing.set_up(account)
    return AccountRow(
        id=account.id,
        name=account.name,
        host=account.host,
        port=account.port,
        security=Security(account.security),
        username=account.username,
        auth=Auth(account.auth),
        token_command=account.token_command,
        token_file=account.token_file,
        plain_password=account.plain_password,
        from_address=account.from_address,
        from_name=account.from_name,
        reply_to=account.reply_to,
        signature=account.signature,
        daily_limit=account.daily_limit,
        warmup_start=account.warmup_start,
        warmup_step=account.warmup_step,
        warmup_on=account.warmup_on,
        enabled=account.enabled,
        disabled_reason=account.disabled_reason,
        cooling_until=account.cooling_until,
        enabled_at=account.enabled_at,
        created_at=account.created_at,
        limit_today=usage.limit_of(account, today),
        paused=account.paused_at is not None,
        tags=tags,
        dkim_domain=account.dkim_domain,
        dkim_selector=account.dkim_selector,
        dkim_key_file=account.dkim_key_file,
        dkim_ed25519_selector=account.dkim_ed25519_selector,
        dkim_ed25519_key_file=account.dkim_ed25519_key_file,
        unsubscribe_covered=signing.covers_unsubscribe(account),
        unsubscribe_evidence=account.unsubscribe_evidence if still else None,
        unsubscribe_learned_at=account.unsubscribe_learned_at if still else None,
        imap_host=account.imap_host,
        imap_port=account.imap_port,
        imap_security=None if account.imap_security is None else Security(account.imap_security),
        imap_username=account.imap_username,
        imap_token_command=account.imap_token_command,
        imap_token_file=account.imap_token_file,
        save_sent=account.save_sent,
    )
