"""A signature of our own (DKIM, RFC 6376) in front of a message's bytes, and which headers one covers. Pure.

Nothing may change the bytes afterwards but the dialogue, which doubles leading dots: they are signed last.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

#: What people unsubscribe by: a signature has to cover both (RFC 8058 section 4).
UNSUBSCRIBE = frozenset({"list-unsubscribe", "list-unsubscribe-post"})
#: These are signed, also where they are missing, so that none can be added.
ALWAYS = ("from", "to", "subject", "date", "message-id", "list-unsubscribe", "list-unsubscribe-post")
#: These are signed where they stand.
WHERE_THEY_STAND = ("reply-to", "cc", "in-reply-to", "references", "mime-version", "content-type")

_FIELD_NAME = re.compile(rb"(?m)^([!-9;-~]+)[ \t]*:")


class Algorithm(StrEnum):
    """How a key signs (RFC 8301, RFC 8463)."""

    RSA = "rsa-sha256"
    ED25519 = "ed25519-sha256"


@dataclass(frozen=True)
class SigningKey:
    """A private key, and where DNS has its public one.

    Attributes:
        domain: who signs, in IDNA (`d=`).
        selector: the name of the key there (`s=`).
        algorithm: RSA or Ed25519.
        private: RSA: in PEM (PKCS #1); Ed25519: its 32 octets.
        public: as it is to stand in DNS, in base64 (`p=`).
    """

    domain: str
    selector: str
    algorithm: Algorithm
    private: bytes = field(repr=False)
    public: str

    @property
    def name(self) -> str:
        """The name at which DNS is asked for the public key (RFC 6376 section 3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def record(self) -> str:
        """The TXT record that is to stand there."""
        return f"v=DKIM1; k={'rsa' if self.algorithm is Algorithm.RSA else 'ed25519'}; p={self.public}"


def signed(data: bytes, keys: Sequence[SigningKey]) -> bytes:
    """Return a message with a signature by each key in front: relaxed/relaxed, the whole body (no `l=`).

    Args:
        data: the message, its lines with CRLF.
        keys: who signs; none: it is returned as it is.
    """
    return b"".join([*(_signature(data, key) for key in keys), data])


def covers_unsubscribe(signed_headers: Iterable[str]) -> bool:
    """Tell whether a signature over these headers covers what people unsubscribe by (RFC 8058 section 4).

    Args:
        signed_headers: the names in its `h=`, in any case.
    """
    return {name.strip().lower() for name in signed_headers} >= UNSUBSCRIBE


def signed_names(there: Collection[str]) -> list[str]:
    """Return the names for `h=`: each once more than it stands in the message, so that one that is added on the way
    breaks the signature (RFC 6376 section 8.15).

    Args:
        there: the names of the message's headers, in lower case, each as often as it stands there.
    """
    counts = {name: list(there).count(name) for name in (*ALWAYS, *WHERE_THEY_STAND)}
    return [name for name, count in counts.items() if count or name in ALWAYS for _ in range(count + 1)]


def _signature(data: bytes, key: SigningKey) -> bytes:
    import dkim  # it takes a tenth of a second, which who signs nothing does without

    head = data.partition(b"\r\n\r\n")[0]
    there = [name.decode().lower() for name in _FIELD_NAME.findall(head)]
    private = key.private if key.algorithm is Algorithm.RSA else base64.b64encode(key.private)
    written: bytes = dkim.DKIM(data).sign(
        key.selector.encode(),
        key.domain.encode(),
        private,
        signature_algorithm=key.algorithm.encode(),
        canonicalize=(b"relaxed", b"relaxed"),
        include_headers=[name.encode() for name in signed_names(there)],
    )
    return written
