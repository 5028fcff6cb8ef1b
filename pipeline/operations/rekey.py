"""All stored passwords encrypted anew with the newest key, so that older keys can be thrown away.

Writes: passwords and the action, in one transaction. A password that no key decrypts stays as it is, and is named.
"""

from __future__ import annotations

from dataclasses import dataclass

from models import SmtpAccount, database
from models.control import record_action
from pipeline.accounts import passwords
from pipeline.operations.done import Done


@dataclass(frozen=True)
class Unreadable:
    """An account whose password no key decrypts.

    Attributes:
        id: the account.
        name: what you call it.
    """

    id: int
    name: str


@dataclass(frozen=True)
class Rekeyed(Done):
    """Passwords that are encrypted with the newest key.

    Attributes:
        rekeyed: how many.
        unreadable: the accounts whose password no key decrypts; they are as they were.
    """

    rekeyed: int
    unreadable: tuple[Unreadable, ...]


def rekey(who: str, reason: str = "") -> Rekeyed:
    """Encrypt all stored passwords with the newest key (of SECRET_KEY, else of the key file).

    Args:
        who: who does it; kept with the action.
        reason: why; kept with the action.

    Raises:
        PasswordUnreadableError: there are passwords, and no key.
    """
    unreadable, rekeyed = [], 0
    with database.transaction():
        now = database.now()
        stored = SmtpAccount.select().where(SmtpAccount.password.is_null(False)).order_by(SmtpAccount.id)
        accounts = list(database.for_update(stored))
        if accounts:
            passwords.demand_keys()
        for account in accounts:
            try:
                rotated = passwords.rotated(account.password)
            except passwords.PasswordUnreadableError:
                unreadable.append(Unreadable(account.id, account.name))
                continue
            SmtpAccount.update(password=rotated, updated_at=now).where(SmtpAccount.id == account.id).execute()
            rekeyed += 1
        record_action(who, "rekey", "accounts", now, reason)
    return Rekeyed(rekeyed, tuple(unreadable))
