"""The program's own keys: for hashes and signatures that have to be the same for ever, whatever becomes of SECRET_KEY.

Each is made when it is first needed, and stored wrapped by SECRET_KEY, as `models.stored_key` has it. It never changes;
`accounts rekey` only wraps it anew. Trouble: a key that is there and can't be unwrapped raises; the program waits for
it, and never goes on as if there were none.
"""

from __future__ import annotations

import secrets
from typing import Any

from models import Purpose, StoredKey, database
from models.compiled import Parameter, Question, compiled
from pipeline.runtime import secret_key
from pipeline.runtime.secret_key import SecretKeyError
from pipeline.runtime.waiting import TroubleOutsideError

#: Bytes of a key: as many as the hash gives (RFC 2104, section 3).
BYTES = 32


class KeyLockedError(TroubleOutsideError):
    """A stored key can't be unwrapped, since SECRET_KEY is missing or another one; the message says what to do."""


def stored(purpose: Purpose) -> bytes | None:
    """Return a key; None: it has not been made yet. Raises KeyLockedError."""
    found = _wrapped().rows(purpose=purpose)
    return _unwrapped(found[0][0], purpose) if found else None


def question(purpose: Purpose) -> Question:
    """Return what `stored` asks."""
    return _wrapped().asks(purpose=purpose)


def make(purpose: Purpose) -> bytes:
    """Return a key, and make it if it is not there yet; in the caller's transaction, before it takes other locks.

    Where there is no SECRET_KEY and no key file, a key file is made.

    Raises:
        KeyLockedError: it is there, and can't be unwrapped.
        SecretKeyError: it is not there, and can't be wrapped.
    """
    there = stored(purpose)
    if there is not None:
        return there
    new = StoredKey.insert(
        purpose=purpose, wrapped=secret_key.encrypt(secrets.token_bytes(BYTES)), created_at=database.now()
    )
    # Of two who make it at once, the second waits for the first here, and takes what that has made.
    new.on_conflict(action="nothing").execute()
    made = stored(purpose)
    assert made is not None, "it has just been stored"
    return made


def wrap_anew() -> int:
    """Wrap all keys with the newest key of SECRET_KEY, in the caller's transaction; return how many there are.

    Raises:
        KeyLockedError: one can't be unwrapped; then none may be lost with an older key.
    """
    keys = list(database.for_update(StoredKey.select().order_by(StoredKey.id)))
    for key in keys:
        try:
            wrapped = secret_key.rotated(key.wrapped, _words(key.purpose))
        except SecretKeyError as error:
            raise _locked(error, key.purpose) from None
        StoredKey.update(wrapped=wrapped).where(StoredKey.id == key.id).execute()
    return len(keys)


@compiled
def _wrapped() -> Any:
    return StoredKey.select(StoredKey.wrapped).where(StoredKey.purpose == Parameter("purpose")).tuples()


def _unwrapped(wrapped: str, purpose: Purpose) -> bytes:
    try:
        return secret_key.decrypt(wrapped, _words(purpose))
    except SecretKeyError as error:
        raise _locked(error, purpose) from None


def _words(purpose: str) -> str:
    match Purpose(purpose):
        case Purpose.FORGOTTEN:
            return "the key by which forgotten people are known"
        case Purpose.UNSUBSCRIBE:
            return "the key of the links by which people unsubscribe"


def _locked(error: SecretKeyError, purpose: str) -> KeyLockedError:
    match Purpose(purpose):
        case Purpose.FORGOTTEN:
            why = "forgotten people would not be known"
        case Purpose.UNSUBSCRIBE:
            why = "the links of mails that are out would not work"
    return KeyLockedError(
        f"{error}; without it nobody is written to, because {why}: put the key back that it was encrypted with "
        "(SECRET_KEY, or the key file, from your backup)"
    )
