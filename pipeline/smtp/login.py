"""The login of a connection (RFC 4954): AUTH PLAIN, LOGIN, CRAM-MD5, or XOAUTH2 with an access token.

What is sent to log in is in no result: where a server quotes it in its reply, that is left out.
"""

from __future__ import annotations

import base64
import hmac
import ipaddress
import re
import smtplib
from collections.abc import Callable
from typing import Protocol, TypeVar

from models import Security
from models.errors import SlowpostError
from pipeline.smtp.reply import Phase, Reply, Result, Verdict, judge
from pipeline.smtp.steps import StepError, command, guarded, refused

T = TypeVar("T")

#: Octets of a command without CRLF; what makes it longer is sent when the server asks for it (RFC 4954 section 4).
MAX_COMMAND = 510

#: In this order, of those that the server offers: inside TLS the one that works with any store of passwords; without
#: TLS first the one that does not show the password.
INSIDE_TLS = ("PLAIN", "LOGIN", "CRAM-MD5")
WITHOUT_TLS = ("CRAM-MD5", "PLAIN", "LOGIN")

#: The server does not know the mechanism or the command after all (RFC 4954 section 4, RFC 5321 4.2.4): it has judged
#: no password. After any other refusal the same password by another mechanism would be a second failed login.
_NOT_JUDGED = (500, 501, 502, 503, 504)
#: The login went well.
_LOGGED_IN = 235
_GO_ON = 334


class TokenError(SlowpostError):
    """There is no access token; the message says why, and quotes neither token nor what a command printed."""


class TokenSource(Protocol):
    """Where an account's access tokens come from."""

    def token(self) -> str:
        """Return an access token. Raises TokenError."""

    def another_than(self, refused: str) -> str | None:
        """Return a new access token in place of one that the server has refused; None: there is no other. Raises
        TokenError.
        """


def is_exposed(security: str, host: str) -> bool:
    """Tell whether a login would go over a connection without TLS to another machine."""
    return security == Security.PLAIN and not is_loopback(host)


def with_token(tokens: TokenSource, log_in: Callable[[str], T], is_refused: Callable[[Exception], bool]) -> T:
    """Return what a login with an access token returns; one that the server refuses is replaced once by a new one, if
    there is another. The token is there before the connection is opened: a server does not wait for a slow command.

    Args:
        tokens: where they come from.
        log_in: connects, and logs in with one.
        is_refused: tells of what `log_in` raises whether the server has refused the token.

    Raises:
        TokenError: there is no token; and what `log_in` raises.
    """
    token = tokens.token()
    try:
        return log_in(token)
    except Exception as error:
        another = tokens.another_than(token) if is_refused(error) else None
        if another is None:
            raise
    return log_in(another)


def bearer(username: str, token: str) -> str:
    """Return what a client says first in XOAUTH2 (developers.google.com/workspace/gmail/imap/xoauth2-protocol)."""
    return f"user={username}\x01auth=Bearer {token}\x01\x01"


def is_loopback(host: str) -> bool:
    """Tell whether `host` is this machine by its name, without asking a resolver."""
    name = host.strip("[]").rstrip(".").lower()
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def log_in_with_password(smtp: smtplib.SMTP, username: str, password: str, security: Security) -> None:
    """Log in by the first mechanism that the server offers and knows.

    Raises:
        StepError: the login was refused, or none of the mechanisms is offered.
    """
    mechanisms = _offered(smtp, WITHOUT_TLS if security is Security.PLAIN else INSIDE_TLS)
    for mechanism in mechanisms:
        reply = _SASL[mechanism](smtp, username, password)
        if reply.code not in _NOT_JUDGED:
            break
    _demand_login(reply)


def log_in_with_token(smtp: smtplib.SMTP, username: str, token: str) -> None:
    """Log in by XOAUTH2 (developers.google.com/workspace/gmail/imap/xoauth2-protocol,
    learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth).

    Raises:
        StepError: the login was refused, or XOAUTH2 is not offered.
    """
    _offered(smtp, ("XOAUTH2",))
    dialogue = _Dialogue(smtp, token)
    reply = dialogue.begin("XOAUTH2", bearer(username, token))
    if reply.code == _GO_ON:
        # The challenge is an error in JSON; an empty line asks for the reply that says so.
        reply = dialogue.answer("")
    _demand_login(reply)


def _offered(smtp: smtplib.SMTP, wanted: tuple[str, ...]) -> list[str]:
    """Return those mechanisms that the server offers, in the order wanted."""
    if not smtp.has_extn("auth"):
        raise StepError(refused(Verdict.ACCOUNT_FOR_NOW, Phase.AUTH, "AUTH is not offered on this connection"))
    # Names of mechanisms: RFC 4422 section 3.1.
    offered = re.findall(r"(?<!\S)[A-Z0-9_-]{1,20}(?!\S)", smtp.esmtp_features["auth"].upper())
    found = [mechanism for mechanism in wanted if mechanism in offered]
    if not found:
        text = f"AUTH {' '.join(dict.fromkeys(offered))} is offered, and none of {', '.join(wanted)}"
        raise StepError(refused(Verdict.ACCOUNT_FOR_NOW, Phase.AUTH, text))
    return found


def _demand_login(reply: Reply) -> None:
    if reply.code != _LOGGED_IN:
        raise StepError(Result(judge(Phase.AUTH, reply), Phase.AUTH, reply))


def _plain(smtp: smtplib.SMTP, username: str, password: str) -> Reply:
    """RFC 4616."""
    return _Dialogue(smtp, password).begin("PLAIN", f"\0{username}\0{password}")


def _login(smtp: smtplib.SMTP, username: str, password: str) -> Reply:
    """The draft draft-murchison-sasl-login-00: whatever the two prompts say, they ask for user and password."""
    dialogue = _Dialogue(smtp, password)
    reply = dialogue.begin("LOGIN")
    for answer in (username, password):
        if reply.code == _GO_ON:
            reply = dialogue.answer(answer)
    return reply


def _cram_md5(smtp: smtplib.SMTP, username: str, password: str) -> Reply:
    """RFC 2195."""
    dialogue = _Dialogue(smtp, password)
    reply = dialogue.begin("CRAM-MD5")
    if reply.code != _GO_ON:
        return reply

    def digest(_smtp: smtplib.SMTP) -> str:
        challenge = base64.b64decode(reply.text.strip(), validate=True)
        return hmac.new(password.encode(), challenge, "md5").hexdigest()

    return dialogue.answer(f"{username} {guarded(Phase.AUTH, digest, smtp)}")


_SASL: dict[str, Callable[[smtplib.SMTP, str, str], Reply]] = {
    "PLAIN": _plain,
    "LOGIN": _login,
    "CRAM-MD5": _cram_md5,
}


class _Dialogue:
    """An AUTH command and its answers, in UTF-8 and base64; keeps what was sent out of what the server replies."""

    def __init__(self, smtp: smtplib.SMTP, secret: str) -> None:
        self._smtp = smtp
        self._sent = [secret]

    def begin(self, mechanism: str, response: str | None = None) -> Reply:
        """Send AUTH, with the initial response if there is one and it fits into the command."""
        if response is None:
            return self._ask(f"AUTH {mechanism}")
        line = f"AUTH {mechanism} {self._encoded(response)}"
        if len(line) <= MAX_COMMAND:
            return self._ask(line)
        reply = self._ask(f"AUTH {mechanism}")
        return self.answer(response) if reply.code == _GO_ON else reply

    def answer(self, response: str) -> Reply:
        """Answer a challenge."""
        return self._ask(self._encoded(response))

    def _encoded(self, response: str) -> str:
        encoded = base64.b64encode(response.encode()).decode()
        self._sent.append(encoded)
        return encoded

    def _ask(self, line: str) -> Reply:
        reply: Reply = guarded(Phase.AUTH, lambda smtp: command(line, smtp), self._smtp)
        return reply if reply.code == _GO_ON else Reply(reply.code, self._without_what_was_sent(reply.text))

    def _without_what_was_sent(self, text: str) -> str:
        """Servers quote a command that they don't know, some of them only its beginning."""

        def hidden(found: re.Match[str]) -> str:
            word = found[0].strip("._~-")
            return "***" if any(word in sent for sent in self._sent) else found[0]

        return re.sub(r"[A-Za-z0-9+/._~-]{6,}=*", hidden, text)
