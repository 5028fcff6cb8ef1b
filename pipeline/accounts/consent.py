"""The links by which people unsubscribe: their key, and what a mail offers by the settings.

Reads: the settings, and the program's own key. Writes: that key, where it is not there yet.
Trouble: without the key no mail with such a link is made; whoever needs it waits for a person.
"""

from __future__ import annotations

from models import Purpose, database
from pipeline.content.consent import Tokens
from pipeline.content.message import Unsubscribe
from pipeline.content.template import ways_of
from pipeline.runtime import keys, secret_key
from pipeline.runtime.secret_key import SecretKeyError
from pipeline.runtime.settings import settings
from pipeline.runtime.waiting import TroubleOutsideError


class NoKeyError(TroubleOutsideError):
    """There is nothing that the key of the links could be wrapped with; the message says what to do."""


def tokens() -> Tokens | None:
    """Return what makes the tokens of links; None: MAIL_PUBLIC_URL is not set, and mails have none.

    Raises:
        KeyLockedError, NoKeyError: there is no key to make them with.
    """
    return None if settings().mail_public_url is None else of_key()


def of_key() -> Tokens:
    """Return what makes and reads the tokens, by a key that is made now if it is not there. Raises KeyLockedError,
    NoKeyError.
    """
    key = keys.stored(Purpose.UNSUBSCRIBE)
    if key is None:
        try:
            # A file is not made here, where nobody would notice: the other machines would not have it.
            secret_key.demand()
        except SecretKeyError as error:
            raise NoKeyError(f"{error}; the links by which people unsubscribe need it: run `slowpost init`") from None
        key = make_key()
    return Tokens(key)


def make_key() -> bytes:
    """Return the key, made if it is not there; with a key file where there is no SECRET_KEY. Raises KeyLockedError,
    SecretKeyError.
    """
    with database.transaction():
        return keys.make(Purpose.UNSUBSCRIBE)


def offered(token: str | None = None, *, is_covered: bool = False) -> Unsubscribe:
    """Return what List-Unsubscribe offers by the settings; see `content.consent.Ways.offered`."""
    return ways_of(settings()).offered(token, is_covered=is_covered)
