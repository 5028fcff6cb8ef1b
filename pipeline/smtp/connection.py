"""A connection that has logged in and is ready for MAIL. It never goes without the TLS or login the account needs."""

from __future__ import annotations

import smtplib
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

from models import Security
from pipeline.smtp import login
from pipeline.smtp.bounded import Smtp, SmtpTls
from pipeline.smtp.login import TokenError, TokenSource
from pipeline.smtp.reply import Phase, Result, Verdict
from pipeline.smtp.steps import StepError, guarded, refused


@dataclass(frozen=True)
class Endpoint:
    """Where and how an account logs in.

    Attributes:
        account_id: the account.
        host, port, security: its server, and how the connection is protected.
        username: who logs in; None: no login.
        password: the password, where that is its way to log in.
        tokens: where its access tokens come from, where that is its way (XOAUTH2).
        plain_password: password or token may go over a connection without TLS to another machine.
        ehlo_name: the name for EHLO (RFC 5321 4.1.1.1).
        ca_file: certificates to trust beside the system's.
        timeout, data_timeout: seconds for a command, and for the reply to the dot.
    """

    account_id: int
    host: str
    port: int
    security: Security
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tokens: TokenSource | None = field(default=None, repr=False)
    plain_password: bool = False
    ehlo_name: str = "[127.0.0.1]"
    ca_file: str | None = None
    timeout: float = 60
    data_timeout: float = 600


@dataclass
class Connection:
    """A logged-in connection, and what it has been used for; `kept`: it is not new, it was kept after a message."""

    endpoint: Endpoint
    smtp: smtplib.SMTP
    messages: int = 0
    kept: bool = False
    used_at: float = field(default_factory=time.monotonic)

    @property
    def idle(self) -> float:
        """Seconds since it was last used."""
        return time.monotonic() - self.used_at

    def is_alive(self) -> bool:
        """Ask the server, and clear what an earlier message may have left (RFC 5321 4.1.1.5)."""
        try:
            return self.smtp.rset()[0] == 250
        except (OSError, smtplib.SMTPException, ValueError):
            return False

    def close(self, *, politely: bool = False) -> None:
        """Close it; `politely`: with QUIT."""
        with suppress(OSError, smtplib.SMTPException, ValueError):
            if politely:
                self.smtp.quit()
        with suppress(OSError):
            self.smtp.close()


def log_in_and_out(endpoint: Endpoint) -> Result | None:
    """Log in and send nothing; return None if that went well, else the server's answer and what it means."""
    try:
        Connection(endpoint, log_in(endpoint)).close(politely=True)
    except StepError as trouble:
        return trouble.result
    return None


def log_in(endpoint: Endpoint) -> smtplib.SMTP:
    """Return a connection that is ready for MAIL.

    An access token that the server refuses is replaced once by a new one, if there is another.

    Raises:
        StepError: it went wrong; also where TLS or login is not offered, or the login would go unprotected.
    """
    if endpoint.username is None:
        return _ready(endpoint, None)
    _demand_protection(endpoint)
    if endpoint.tokens is None:
        return _ready(endpoint, endpoint.password or "")
    try:
        return login.with_token(endpoint.tokens, lambda token: _ready(endpoint, token), _is_refused)
    except TokenError as error:
        raise StepError(refused(Verdict.ACCOUNT_FOR_NOW, Phase.AUTH, str(error))) from None


def _is_refused(error: Exception) -> bool:
    return isinstance(error, StepError) and error.is_refusal_of(Phase.AUTH)


def _demand_protection(endpoint: Endpoint) -> None:
    if login.is_exposed(endpoint.security, endpoint.host) and not endpoint.plain_password:
        text = f"security plain would send the login to {endpoint.host} unencrypted, which the account does not allow"
        raise StepError(refused(Verdict.ACCOUNT_FOR_GOOD, Phase.AUTH, text))


def _ready(endpoint: Endpoint, secret: str | None) -> smtplib.SMTP:
    """Return a connection that is ready for MAIL; `secret` is the password or the access token."""
    # Made only where it is used: it reads all root certificates, which takes longer than a login.
    context = None if endpoint.security is Security.PLAIN else tls_context(endpoint.ca_file)
    smtp: smtplib.SMTP = guarded(Phase.CONNECT, lambda _: _open(endpoint, context), None)
    try:
        _hello(smtp)
        if endpoint.security is Security.STARTTLS:
            if not smtp.has_extn("starttls"):
                raise StepError(refused(Verdict.ACCOUNT_FOR_NOW, Phase.TLS, "STARTTLS is not offered"))
            guarded(Phase.TLS, lambda s: s.starttls(context=context), smtp)
            _hello(smtp)
        if endpoint.username is not None and secret is not None:
            if endpoint.tokens is None:
                login.log_in_with_password(smtp, endpoint.username, secret, endpoint.security)
            else:
                login.log_in_with_token(smtp, endpoint.username, secret)
    except BaseException:
        smtp.close()
        raise
    return smtp


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Return a context that verifies (smtplib's own default verifies nothing), also by the certificates of a file."""
    context = ssl.create_default_context()
    try:
        if ca_file is not None:
            context.load_verify_locations(ca_file)
    except OSError as error:
        text = f"MAIL_CA_FILE can't be read: {error.strerror or error}"
        raise StepError(refused(Verdict.ACCOUNT_FOR_NOW, Phase.TLS, text)) from None
    return context


def _open(endpoint: Endpoint, context: ssl.SSLContext | None) -> smtplib.SMTP:
    options: dict[str, Any] = {"timeout": endpoint.timeout, "local_hostname": endpoint.ehlo_name}
    smtp: Any = SmtpTls(context=context, **options) if endpoint.security is Security.TLS else Smtp(**options)
    # smtplib knows the name to verify only if its constructor connects, and then leaks the socket when that fails.
    smtp._host = endpoint.host
    try:
        code, text = smtp.connect(endpoint.host, endpoint.port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, text)
    except BaseException:
        smtp.close()
        raise
    return cast(smtplib.SMTP, smtp)


def _hello(smtp: smtplib.SMTP) -> None:
    guarded(Phase.GREETING, lambda s: s.ehlo_or_helo_if_needed(), smtp)
