"""The passwords of the operator's pages, of which only hashes are kept (scrypt, RFC 7914)."""

from __future__ import annotations

from pydantic import SecretStr
from werkzeug.security import check_password_hash, generate_password_hash

from pipeline.runtime.settings import Settings
from slowpost.web.sessions import Role

#: Characters that a new password has at least (NIST SP 800-63B, section 3.1.1.2, for a password alone).
SHORTEST = 15


def hashed(password: str) -> str:
    """Return a password's hash, as the settings have it."""
    return generate_password_hash(password, method="scrypt")


class Passwords:
    """What the settings say of them."""

    def __init__(self, settings: Settings) -> None:
        self._hashes = {
            Role.OPERATOR: settings.mail_web_password_hash,
            Role.READER: settings.mail_web_reader_password_hash,
        }

    @property
    def are_needed(self) -> bool:
        """Tell whether there is any: then nobody comes in without."""
        return any(self._hashes.values())

    def role_of(self, password: str) -> Role | None:
        """Return what somebody may do who has given this password; None: nothing. It takes a tenth of a second."""
        # All are tried, so that the time does not tell which one was wrong.
        fits = [role for role, known in self._hashes.items() if _is(password, known)]
        return fits[0] if fits else None


def _is(password: str, known: SecretStr | None) -> bool:
    return known is not None and check_password_hash(known.get_secret_value(), password)
