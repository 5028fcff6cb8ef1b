"""An account as the mail sees it: where it logs in, and whose name it writes in."""

from __future__ import annotations

import functools
import re
import socket

from models import Auth, Security, SmtpAccount
from models.address import normalise_domain
from pipeline.accounts import passwords
from pipeline.accounts.tokens import AccountTokens
from pipeline.content.message import Sender
from pipeline.imap.login import Endpoint as MailboxEndpoint
from pipeline.runtime.settings import settings
from pipeline.smtp.connection import Endpoint


def endpoint_of(account: SmtpAccount) -> Endpoint:
    """Return where and how `account` logs in. Raises SecretKeyError where its password can't be decrypted."""
    with_token = account.auth == Auth.XOAUTH2
    stored = None if with_token else account.password
    return Endpoint(
        account_id=account.id,
        host=account.host,
        port=account.port,
        security=Security(account.security),
        username=account.username,
        password=None if stored is None else passwords.decrypt(stored),
        tokens=AccountTokens(account.id, account.token_command, account.token_file) if with_token else None,
        plain_password=account.plain_password,
        ehlo_name=settings().mail_ehlo_name or _own_name() or _domain_of(account.from_address),
        ca_file=settings().mail_ca_file,
        timeout=settings().mail_smtp_timeout,
        data_timeout=settings().mail_data_timeout,
    )


def mailbox_of(account: SmtpAccount) -> MailboxEndpoint | None:
    """Return where and how the mailbox of `account` is read; None: it has none.

    Raises SecretKeyError where its password can't be decrypted.
    """
    if account.imap_host is None:
        return None
    security = Security(account.imap_security or Security.TLS)
    port = account.imap_port or (993 if security is Security.TLS else 143)
    if account.imap_username is None:
        username, stored = account.username, None if account.auth == Auth.XOAUTH2 else account.password
        token = (account.token_command, account.token_file)
    else:
        username, stored = account.imap_username, account.imap_password
        token = (account.imap_token_command, account.imap_token_file)
    return MailboxEndpoint(
        account_id=account.id,
        host=account.imap_host,
        port=port,
        security=security,
        username=username or "",
        password=None if stored is None else passwords.decrypt(stored),
        tokens=AccountTokens(account.id, *token) if any(token) else None,
        plain_password=account.plain_password,
        ca_file=settings().mail_ca_file,
        timeout=settings().mail_smtp_timeout,
    )


@functools.cache
def _own_name() -> str | None:
    """Return this machine's full name, None if it has none; looked up once, since a resolver that is away is slow.

    A container's or laptop's name has no dot, or says nothing. The domain of the From address takes its place: Google's
    relay knows its customers by such a name (support.google.com/a/answer/6140680).
    """
    name = socket.getfqdn()
    is_full = re.fullmatch(r"(?!localhost\b)[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z][A-Za-z0-9-]*", name)
    return name if is_full and not name.endswith((".arpa", ".localdomain")) else None


def _domain_of(address: str) -> str:
    """Return the domain of an address, in IDNA: for a machine without a name, the one it speaks for."""
    return normalise_domain(address.rpartition("@")[2])


def sender_of(account: SmtpAccount) -> Sender:
    """Return in whose name `account` writes."""
    return Sender(account.from_address, account.from_name, account.reply_to, account.signature)
