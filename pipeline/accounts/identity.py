"""An account as the mail sees it: where it logs in, and whose name it writes in."""

from __future__ import annotations

from models import Security, SmtpAccount
from pipeline.accounts import passwords
from pipeline.content.message import Sender, Unsubscribe
from pipeline.runtime.settings import settings
from pipeline.smtp.connection import Endpoint


def endpoint_of(account: SmtpAccount) -> Endpoint:
    """Return where `account` logs in. Raises PasswordUnreadableError where its password can't be decrypted."""
    return Endpoint(
        account_id=account.id,
        host=account.host,
        port=account.port,
        security=Security(account.security),
        username=account.username,
        password=None if account.password is None else passwords.decrypt(account.password),
        timeout=settings().mail_smtp_timeout,
        data_timeout=settings().mail_data_timeout,
    )


def sender_of(account: SmtpAccount) -> Sender:
    """Return in whose name `account` writes."""
    return Sender(account.from_address, account.from_name, account.reply_to, account.signature)


def unsubscribe() -> Unsubscribe:
    """Return what List-Unsubscribe offers."""
    return Unsubscribe(settings().mail_unsubscribe_mailto, settings().mail_unsubscribe_url)
