"""SMTP passwords at rest: encrypted with Fernet, by the keys of SECRET_KEY or of a key file that only its owner can
read.
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from models import SmtpAccount, database
from models.errors import SlowpostError
from pipeline.runtime.settings import settings

KEY_FILE = "slowpost.key"


class PasswordUnreadableError(SlowpostError):
    """No key at hand decrypts a password; the message says which settings decide."""


def key_file() -> Path:
    """Return where the key is, or would be made: beside the SQLite file, else in the working directory."""
    file = database.sqlite_file()
    return (file.parent if file else Path.cwd()) / KEY_FILE


def encrypt(password: str) -> str:
    """Return the encrypted form, with the newest key; where there is no key at all, one is made in `key_file()`."""
    if settings().secret_key is None and not key_file().exists():
        _make_key(key_file())
    return _keys().encrypt(password.encode()).decode()


def decrypt(token: str) -> str:
    """Return the password. Raises PasswordUnreadableError where no key fits."""
    try:
        return _keys().decrypt(token.encode()).decode()
    except InvalidToken:
        raise _no_key_fits() from None


def rotated(token: str) -> str:
    """Return the same password encrypted with the newest key. Raises PasswordUnreadableError where no key fits."""
    try:
        return _keys().rotate(token.encode()).decode()
    except InvalidToken:
        raise _no_key_fits() from None


def demand_keys() -> None:
    """Raise PasswordUnreadableError where there is no key at all, or one that can't be used."""
    _keys()


def _no_key_fits() -> PasswordUnreadableError:
    return PasswordUnreadableError("SECRET_KEY (or the key file) does not decrypt an SMTP password")


def unreadable() -> dict[str, list[int]]:
    """Return which accounts that are switched on have a password that can't be decrypted here: what is wrong → ids."""
    on = SmtpAccount.enabled & SmtpAccount.removed_at.is_null() & SmtpAccount.password.is_null(False)
    found: dict[str, list[int]] = {}
    for account in SmtpAccount.select(SmtpAccount.id, SmtpAccount.password).where(on).order_by(SmtpAccount.id):
        try:
            decrypt(account.password)
        except PasswordUnreadableError as error:
            found.setdefault(str(error), []).append(account.id)
    return found


def _make_key(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(Fernet.generate_key() + b"\n")


def _keys() -> MultiFernet:
    secret = settings().secret_key
    try:
        text = key_file().read_text() if secret is None else secret.get_secret_value()
        return MultiFernet([Fernet(key.strip()) for key in text.split(",")])
    except FileNotFoundError:
        raise PasswordUnreadableError(f"there is no SECRET_KEY and no {key_file()}") from None
    except OSError as error:
        raise PasswordUnreadableError(f"{key_file()} can't be read: {error.strerror}") from None
    except ValueError:
        raise PasswordUnreadableError(f"{key_file()} holds no Fernet key") from None
