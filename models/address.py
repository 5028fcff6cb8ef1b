"""Addresses: whether one is valid, and which of them are the same person's.

Pure. Mailed is always the address as written; the normalised form only tells people apart.
"""

from __future__ import annotations

import idna
from email_validator import EmailNotValidError, validate_email

from models.errors import SlowpostError

#: Google ignores dots and what follows a plus in these (support.google.com/mail/answer/7436150).
_GOOGLE = ("gmail.com", "googlemail.com")


class AddressError(SlowpostError, ValueError):
    """The text is no address that mail can be sent to; the message says why."""


def check(written: str) -> str:
    """Return `written`, trimmed, if mail can be sent to it (RFC 5321 4.1.2; RFC 6531 for non-ASCII).

    Raises:
        AddressError: it can't; the message is for a person.
    """
    trimmed = written.strip()
    try:
        # Domains such as .test and .local are for the user's mail server to judge, not for us.
        validate_email(trimmed, check_deliverability=False, test_environment=True, allow_quoted_local=True)
    except EmailNotValidError as error:
        raise AddressError(str(error)) from None
    return trimmed


def is_valid(written: str) -> bool:
    """Tell whether mail can be sent to `written`."""
    try:
        check(written)
    except AddressError:
        return False
    return True


def normalise(written: str) -> str:
    """Return the normalised form of an address: lower case, domain in IDNA, for Gmail without dots and `+tag`. Two
    addresses with the same form are one person's.
    """
    local, _, domain = written.strip().lower().rpartition("@")
    domain = normalise_domain(domain)
    if domain in _GOOGLE:
        local = local.partition("+")[0].replace(".", "")
        domain = _GOOGLE[0]
    return f"{local}@{domain}"


def normalise_domain(written: str) -> str:
    """Return a domain in lower-case IDNA (UTS 46); as lower-case text where IDNA does not know it."""
    domain = written.strip().lower().rstrip(".")
    try:
        return idna.encode(domain, uts46=True).decode() if domain else domain
    except idna.IDNAError:
        return domain
