"""SECRET_KEY: what is secret in the database is encrypted with it (Fernet).

Reads: the keys of SECRET_KEY, newest first, or those of a key file that only its owner can read. The newest encrypts,
all of them decrypt.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from models import database
from models.errors import SlowpostError
from pipeline.runtime.settings import settings

KEY_FILE = "slowpost.key"


class SecretKeyError(SlowpostError):
    """There is no key, or none that fits; the message says which settings decide."""


def key_file() -> Path:
    """Return where the key is, or would be made: beside the SQLite file, else in the working directory."""
    file = database.sqlite_file()
    return (file.parent if file else Path.cwd()) / KEY_FILE


def encrypt(secret: bytes) -> str:
    """Return the encrypted form, by the newest key; where there is no key at all, one is made in `key_file()`."""
    if settings().secret_key is None and not key_file().exists():
        _make_key(key_file())
    return _keys().encrypt(secret).decode()


def decrypt(token: str, what: str) -> bytes:
    """Return what was encrypted; `what` it is, in words. Raises SecretKeyError where no key fits."""
    try:
        return _keys().decrypt(token.encode())
    except InvalidToken:
        raise _no_key_fits(what) from None


def rotated(token: str, what: str) -> str:
    """Return the same secret encrypted with the newest key; `what` it is, in words. Raises SecretKeyError where no key
    fits.
    """
    try:
        return _keys().rotate(token.encode()).decode()
    except InvalidToken:
        raise _no_key_fits(what) from None


def demand() -> None:
    """Raise SecretKeyError where there is no key at all, or one that can't be used."""
    _keys()


class NewKey:
    """Whether a block has made a key file: `path` is where it is then."""

    path: Path | None = None


@contextmanager
def noticing_a_new_one() -> Iterator[NewKey]:
    """Yield what says after the block whether it has made a key file."""
    new, was_there = NewKey(), key_file().exists()
    yield new
    if not was_there and key_file().exists():
        new.path = key_file()


def _no_key_fits(what: str) -> SecretKeyError:
    return SecretKeyError(f"SECRET_KEY (or the key file) does not decrypt {what}")


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
        raise SecretKeyError(f"there is no SECRET_KEY and no {key_file()}") from None
    except OSError as error:
        raise SecretKeyError(f"{key_file()} can't be read: {error.strerror}") from None
    except ValueError:
        raise SecretKeyError(f"{key_file()} holds no Fernet key") from None
