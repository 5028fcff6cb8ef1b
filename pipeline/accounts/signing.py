"""An account's own signature (DKIM): its keys, which are read from files, and whether what people unsubscribe by is
covered by a signature, its own or another's.

Reads: the key files, and the account's row. Writes nothing. Trouble: a file that can't be read is a `KeyFileError` with
an alert, at most one an hour for an account and process; nothing of a key is ever quoted.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from models import SmtpAccount
from models.address import normalise_domain
from models.errors import SlowpostError
from pipeline.accounts.alerts import Alert, alert_once_an_hour
from pipeline.content.message import MAX_MESSAGE, Envelope, MessageRefusedError
from pipeline.content.signature import Algorithm, SigningKey, signed

#: Bits of an RSA key: what large providers want (support.google.com/a/answer/180504), and the most that receivers must
#: know (RFC 8301 section 3.2).
LEAST_BITS, MOST_BITS = 2048, 4096
#: Octets of a key file that are read.
MAX_KEY_FILE = 16_384


class KeyFileError(SlowpostError):
    """A key file can't be used; the message says why in one line, and quotes nothing of it."""


def keys_of(account: SmtpAccount) -> tuple[SigningKey, ...]:
    """Return the keys that an account signs with; none: it does not sign. Raises KeyFileError."""
    found = ((Algorithm.RSA, "dkim"), (Algorithm.ED25519, "dkim_ed25519"))
    return tuple(
        _key(domain_of(account), selector, algorithm, file)
        for algorithm, start in found
        if (selector := getattr(account, f"{start}_selector")) and (file := getattr(account, f"{start}_key_file"))
    )


def sign(envelope: Envelope, account: SmtpAccount) -> Envelope:
    """Return an envelope whose message an account has signed, where it does so: the bytes that are offered.

    Raises:
        KeyFileError: a key can't be read; somebody is told.
        MessageRefusedError: with its signature the message is too long.
    """
    if not signs(account):
        return envelope
    try:
        keys = keys_of(account)
    except KeyFileError as error:
        alert_once_an_hour(Alert.NO_KEY, str(error), account_id=account.id)
        raise
    data = signed(envelope.data, keys)
    if len(data) > MAX_MESSAGE:
        raise MessageRefusedError(f"the message has {len(data)} octets with its signature, more than {MAX_MESSAGE}")
    return Envelope(envelope.sender, envelope.recipient, data)


def signs(account: SmtpAccount) -> bool:
    """Tell whether an account signs its mails itself."""
    return bool(account.dkim_selector or account.dkim_ed25519_selector)


def domain_of(account: SmtpAccount) -> str:
    """Return the domain that an account signs for, in IDNA."""
    return normalise_domain(account.dkim_domain or account.from_address.rpartition("@")[2])


def set_up(account: SmtpAccount) -> str:
    """Return a hash of what decides who signs an account's mails: what was learned of another set-up says nothing."""
    login = [account.host.lower(), account.port, account.username, account.from_address]
    own = [account.dkim_domain, account.dkim_selector, account.dkim_ed25519_selector]
    return hashlib.sha256(json.dumps([*login, *own]).encode()).hexdigest()


def covers_unsubscribe(account: SmtpAccount) -> bool:
    """Tell whether a valid signature is known to cover List-Unsubscribe and List-Unsubscribe-Post in what an account
    sends, so that the second may be sent (RFC 8058 section 4). Asks nobody.

    The last mail that it has sent to itself, set up as it is now, decides; without one, whether it signs itself.
    """
    if account.unsubscribe_covered is not None and account.unsubscribe_learned_of == set_up(account):
        return bool(account.unsubscribe_covered)
    return signs(account)


def read_key(file: str, algorithm: Algorithm) -> tuple[bytes, str]:
    """Return the private key in a file as `SigningKey` has it, and its public one. Raises KeyFileError."""
    try:
        mode = Path(file).stat().st_mode
        if not stat.S_ISREG(mode):
            raise KeyFileError("the key file is no file")
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise KeyFileError(f"others than its owner may use the key file (mode {stat.S_IMODE(mode):04o}): chmod 600")
        with Path(file).open("rb") as opened:
            content = opened.read(MAX_KEY_FILE)
    except OSError as error:
        raise KeyFileError(f"the key file can't be read: {error.strerror}") from None
    return _parsed(content, algorithm)


def _key(domain: str, selector: str, algorithm: Algorithm, file: str) -> SigningKey:
    private, public = read_key(file, algorithm)
    return SigningKey(domain, selector, algorithm, private, public)


@functools.lru_cache(maxsize=64)
def _parsed(content: bytes, algorithm: Algorithm) -> tuple[bytes, str]:
    """Return both keys. Kept: OpenSSL takes a while to check an RSA key."""
    try:
        key = load_pem_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyFileError("the key file holds no private key in PEM without a passphrase") from None
    if algorithm is Algorithm.ED25519:
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise KeyFileError("the key file holds another key than one for Ed25519")
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()), base64.b64encode(public).decode()
    if not isinstance(key, rsa.RSAPrivateKey) or not LEAST_BITS <= key.key_size <= MOST_BITS:
        raise KeyFileError(f"the key file holds another key than one for RSA of {LEAST_BITS} to {MOST_BITS} bits")
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return private, base64.b64encode(public).decode()
