"""All that SECRET_KEY encrypts, encrypted anew with its newest key, so that older keys can be thrown away.

Writes: passwords, the program's own keys and the action, in one transaction. A password that no key decrypts stays as
it is, and is named; a key of the program's own that no key decrypts stops it, since nobody can give that again.
"""

from __future__ import annotations

from dataclasses import dataclass

from models import SmtpAccount, database
from models.control import record_action
from pipeline.accounts import passwords
from pipeline.operations.done import Done
from pipeline.runtime import keys, secret_key
from pipeline.runtime.secret_key import SecretKeyError


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
    """What is encrypted with the newest key.

    Attributes:
        rekeyed: how many passwords.
        keys: how many keys of the program's own.
        unreadable: the accounts whose password no key decrypts; they are as they were.
    """

    rekeyed: int
    keys: int
    unreadable: tuple[Unreadable, ...]


def rekey(who: str, reason: str = "") -> Rekeyed:
    """Encrypt all passwords and keys that are stored with the newest key (of SECRET_KEY, else of the key file).

    Args:
        who: who does it; kept with the action.
        reason: why; kept with the action.

    Raises:
        SecretKeyError: there are passwords, and no key.
        KeyLockedError: a key of the program's own can't be decrypted; nothing has been changed.
    """
    unreadable, rekeyed = [], 0
    with database.transaction():
        now = database.now()
        wrapped = keys.wrap_anew()
        has_one = SmtpAccount.password.is_null(False) | SmtpAccount.imap_password.is_null(False)
        accounts = list(database.for_update(SmtpAccount.select().where(has_one).order_by(SmtpAccount.id)))
        if accounts:
            secret_key.demand()
        for account in accounts:
            stored = {column: getattr(account, column) for column in passwords.COLUMNS}
            try:
                rotated = {column: passwords.rotated(one) for column, one in stored.items() if one is not None}
            except SecretKeyError:
                unreadable.append(Unreadable(account.id, account.name))
                continue
            SmtpAccount.update(**rotated, updated_at=now).where(SmtpAccount.id == account.id).execute()
            rekeyed += len(rotated)
        record_action(who, "rekey", "accounts", now, reason)
    return Rekeyed(rekeyed, wrapped, tuple(unreadable))
