"""Addresses: whether one is valid, and which of them are the same person's.

Pure. Mailed is always the address as written; the normalised form only tells people apart. It is one for all
spellings of a mailbox: `"carol"@example.com` is carol@example.com (RFC 5321 4.1.2), and letters that can be written in
two ways are written in one (RFC 6532 3.1).
"""

from __future__ import annotations

import re
import unicodedata

import idna
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from models.errors import SlowpostError

#: Google ignores dots and what follows a plus in these (support.google.com/mail/answer/7436150).
GOOGLE = ("gmail.com", "googlemail.com")
#: A local part that needs no quotes: what is not ASCII needs none either (RFC 5322 3.2.3, RFC 6532 3.2).
_ASCII_ATOM = r"""[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"""
_ATOM = rf"(?:{_ASCII_ATOM}|[^\x00-\x7f\s])+"
_DOT_ATOM = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
#: What most addresses look like, and needs no closer look: ASCII without quotes, and a domain without Punycode that
#: is not under a name which is nobody's on the internet.
_LABEL = r"(?!..--)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NOBODYS = "|".join({name.rpartition(".")[2] for name in SPECIAL_USE_DOMAIN_NAMES} - {"test"})
_PLAIN = re.compile(
    rf"(?=.{{,254}}\Z){_ASCII_ATOM}+(?:\.{_ASCII_ATOM}+)*@(?:{_LABEL}\.)+(?!(?i:{_NOBODYS})\Z)[A-Za-z]{{1,63}}",
    re.ASCII,
)


class AddressError(SlowpostError, ValueError):
    """The text is no address that mail can be sent to; the message says why."""


def check(written: str) -> str:
    """Return `written`, trimmed, if mail can be sent to it (RFC 5321 4.1.2; RFC 6531 for non-ASCII).

    Raises:
        AddressError: it can't; the message is for a person.
    """
    trimmed = written.strip()
    if _PLAIN.fullmatch(trimmed):
        return trimmed
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


def split(written: str) -> tuple[str, str]:
    """Return an address's local part without its quotes, and its domain in IDNA."""
    local, _, domain = written.strip().rpartition("@")
    quoted = _QUOTED.fullmatch(local)
    if quoted:
        local = re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL)
    return local, normalise_domain(domain)


def join(local: str, domain: str) -> str:
    """Return the address of a local part without quotes, which gets them only where it needs them (RFC 5321 4.1.2)."""
    return f"{local if _DOT_ATOM.fullmatch(local) else _in_quotes(local)}@{domain}"


def mailbox(written: str) -> str:
    """Return the one form of all spellings of a mailbox: lower case, domain in IDNA, quotes only where they are
    needed.
    """
    trimmed = written.strip()
    if _PLAIN.fullmatch(trimmed):
        return trimmed.lower()
    local, domain = split(trimmed)
    return join(unicodedata.normalize("NFC", local.lower()), domain)


def normalise(written: str) -> str:
    """Return the normalised form of an address: its mailbox, for Gmail without dots and `+tag`. Two addresses with the
    same form are one person's.
    """
    found = mailbox(written)
    if normalise_domain(found.rpartition("@")[2]) not in GOOGLE:
        return found
    local, _ = split(found)
    return join(local.partition("+")[0].replace(".", ""), GOOGLE[0])


def forms(address: str) -> frozenset[str]:
    """Return all forms in which a normalised address can be stored: itself, and those of the versions before, which
    left quotes as they were written. What is kept as a hash can't be brought to the normalised form, and the version
    before may be at work still.
    """
    local, domain = split(address)
    quoted = _in_quotes(local)
    found = {address, f"{quoted}@{domain}"}
    if domain == GOOGLE[0]:
        # The quote at the end went with the tag.
        found.add(f"{quoted[:-1]}@{domain}")
    if not address.isascii():
        found |= {unicodedata.normalize("NFD", form) for form in found}
    return frozenset(found)


def _in_quotes(local: str) -> str:
    escaped = local.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def normalise_domain(written: str) -> str:
    """Return a domain in lower-case IDNA (UTS 46); as lower-case text where IDNA does not know it."""
    domain = written.strip().lower().rstrip(".")
    # In ASCII it is in that form already, and to be told so takes half of the time in which contacts are picked.
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return domain
