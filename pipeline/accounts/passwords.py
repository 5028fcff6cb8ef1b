"""Accounts' passwords at rest, for sending and for their mailboxes: encrypted with SECRET_KEY."""

from __future__ import annotations

from models import SmtpAccount
from pipeline.runtime import secret_key
from pipeline.runtime.secret_key import SecretKeyError

_WHAT = "an SMTP password"
#: Columns of an account in which one is stored.
COLUMNS = ("password", "imap_password")


def encrypt(password: str) -> str:
    """Return the encrypted form, by the newest key; where there is no key at all, one is made in a key file."""
    return secret_key.encrypt(password.encode())


def decrypt(token: str) -> str:
    """Return the password. Raises SecretKeyError where no key fits."""
    return secret_key.decrypt(token, _WHAT).decode()


def rotated(token: str) -> str:
    """Return the same password encrypted with the newest key. Raises SecretKeyError where no key fits."""
    return secret_key.rotated(token, _WHAT)


def unreadable() -> dict[str, list[int]]:
    """Return which accounts that are switched on have a password that can't be decrypted here: what is wrong → ids."""
    on = SmtpAccount.enabled & SmtpAccount.removed_at.is_null()
    found: dict[str, list[int]] = {}
    for account in SmtpAccount.select().where(on).order_by(SmtpAccount.id):
        problem = problem_of(account)
        if problem is not None:
            found.setdefault(problem, []).append(account.id)
    return found


def problem_of(account: SmtpAccount) -> str | None:
    """Return why a password of an account can't be read; None: it can, or there is none."""
    try:
        for column in COLUMNS:
            if (stored := getattr(account, column)) is not None:
                decrypt(stored)
    except SecretKeyError as error:
        return str(error)
    return None
