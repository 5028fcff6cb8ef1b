"""A connection that has logged in and is ready for MAIL. It never goes without the TLS or login the account needs."""

from __future__ import annotations

import functools
import smtplib
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

from models import Security
from pipeline.smtp.bounded import Smtp, SmtpTls
from pipeline.smtp.reply import Phase, Result, Verdict
from pipeline.smtp.steps import StepError, guarded, refused


@dataclass(frozen=True)
class Endpoint:
    """Where and how an account logs in; timeouts in seconds, for a command and for the reply to the dot."""

    account_id: int
    host: str
    port: int
    security: Security
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout: float = 60
    data_timeout: float = 600


@dataclass
class Connection:
    """A logged-in connection, and what it has been used for."""

    endpoint: Endpoint
    smtp: smtplib.SMTP
    messages: int = 0
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
    """Return a connection that is ready for MAIL. Raises StepError, also where TLS or login is not offered."""
    smtp: smtplib.SMTP = guarded(Phase.CONNECT, lambda _: _open(endpoint), None)
    try:
        _hello(smtp)
        if endpoint.security is Security.STARTTLS:
            if not smtp.has_extn("starttls"):
                raise StepError(refused(Verdict.ACCOUNT_FOR_NOW, Phase.TLS, "STARTTLS is not offered"))
            guarded(Phase.TLS, lambda s: s.starttls(context=_verifying()), smtp)
            _hello(smtp)
        if endpoint.username is not None:
            _authenticate(smtp, endpoint.username, endpoint.password or "")
    except StepError:
        smtp.close()
        raise
    return smtp


def _open(endpoint: Endpoint) -> smtplib.SMTP:
    options: dict[str, Any] = {"timeout": endpoint.timeout, "local_hostname": _own_name()}
    smtp: Any = SmtpTls(context=_verifying(), **options) if endpoint.security is Security.TLS else Smtp(**options)
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


def _verifying() -> ssl.SSLContext:
    """Return a context that verifies: smtplib's own does not. It reads all roots, which takes longer than a login."""
    return ssl.create_default_context()


@functools.cache
def _own_name() -> str:
    """The name for EHLO, looked up once: a resolver that is away makes it slow (RFC 5321 4.1.1.1)."""
    name = socket.getfqdn()
    return name if "." in name else "[127.0.0.1]"


def _hello(smtp: smtplib.SMTP) -> None:
    guarded(Phase.GREETING, lambda s: s.ehlo_or_helo_if_needed(), smtp)


def _authenticate(smtp: smtplib.SMTP, username: str, password: str) -> None:
    if not (username + password).isascii():
        # smtplib can't send them, and its error would quote what it can't send.
        raise StepError(refused(Verdict.ACCOUNT_FOR_GOOD, Phase.AUTH, "user and password must be ASCII"))
    if not smtp.has_extn("auth"):
        raise StepError(refused(Verdict.ACCOUNT_FOR_NOW, Phase.AUTH, "AUTH is not offered on this connection"))
    guarded(Phase.AUTH, lambda s: s.login(username, password), smtp)
