"""How a mail's recipient gets no more: the token of each delivery, and the ways that a mail offers. Pure.

A token says which delivery it is for, and is signed (HMAC-SHA256, `itsdangerous`) with a key of the program's own: it
can't be guessed, made for another delivery, or used for anything else. It ends in a letter or a digit, since mail
programs leave other characters out of the links that they find.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from itsdangerous import Signer

from pipeline.content import headers
from pipeline.content.message import Unsubscribe

#: What the path of a link begins with.
PATH = "/u/"
#: The delivery of a trial, such as a mail to oneself: its link works and does nothing.
TRIAL = 0
#: What stands in a preview.
EXAMPLE = "0.this-is-no-link-but-stands-where-one-will-be-0000"
#: No token is longer; of what is, no more than this is looked at.
_LONGEST = 80


class Tokens:
    """The tokens of one key."""

    def __init__(self, key: bytes) -> None:
        """Take the key: 32 bytes, which never change."""
        self._signer = Signer(key, salt="slowpost unsubscribe", key_derivation="hmac", digest_method=hashlib.sha256)

    def of(self, delivery_id: int) -> str:
        """Return the token of a delivery: always the same."""
        return self._signer.sign(str(delivery_id)).decode()

    def delivery_of(self, token: str) -> int | None:
        """Return the delivery that a token is for; None: it is none of ours.

        What is given is compared as a whole with what would have been signed, in constant time: `Signer.unsign` also
        takes other spellings of a signature (bits of its last character that say nothing).
        """
        given = token[:_LONGEST].encode(errors="replace")
        number = given.partition(b".")[0]
        is_ours = hmac.compare_digest(self._signer.sign(number), given)
        return int(number) if is_ours and number.isdigit() else None


@dataclass(frozen=True)
class Ways:
    """The ways to get no more mails, as the settings have them.

    Attributes:
        public_url: where the program's own pages are: `https://HOST`.
        url: a page of somebody else's; the same for everybody.
        mailto: an address, perhaps with a subject.
    """

    public_url: str | None = None
    url: str | None = None
    mailto: str | None = None

    def url_for(self, token: str | None) -> str | None:
        """Return the page for the mail with this token; None for a token: one that has none."""
        return f"{self.public_url}{PATH}{token}" if self.public_url and token else self.url

    def mailto_for(self, token: str | None) -> str | None:
        """Return the address to write to, with the token in its subject unless it has one."""
        if self.mailto is None or token is None or "?" in self.mailto:
            return self.mailto
        return f"{self.mailto}?subject=unsubscribe%20{token}"

    def link_for(self, token: str | None) -> str | None:
        """Return what `{{ unsubscribe }}` says."""
        mailto = self.mailto_for(token)
        return self.url_for(token) or (f"mailto:{mailto}" if mailto else None)

    def offered(self, token: str | None, *, is_covered: bool = False) -> Unsubscribe:
        """Return what List-Unsubscribe offers.

        Args:
            token: of the mail; None: it has none.
            is_covered: whether a DKIM signature is known to cover the headers (`headers.promises_one_click`).
        """
        knows_recipient = bool(self.public_url and token)
        one_click = headers.promises_one_click(knows_recipient=knows_recipient, is_covered=is_covered)
        return Unsubscribe(self.mailto_for(token), self.url_for(token), one_click)
