"""Where a mailbox is, and the login to it. It never goes without the TLS that the account needs."""

from __future__ import annotations

from dataclasses import dataclass, field

from imapclient.exceptions import LoginError

from models import Security
from pipeline.imap.client import Client
from pipeline.imap.connection import Connection, MailboxError, guarded
from pipeline.imap.folders import Folder
from pipeline.smtp.connection import tls_context
from pipeline.smtp.login import TokenError, TokenSource, bearer, is_exposed, with_token
from pipeline.smtp.steps import StepError


@dataclass(frozen=True)
class Endpoint:
    """Where and how an account's mailbox is read.

    Attributes:
        account_id: the account.
        host, port, security: its server, and how the connection is protected.
        username: who logs in.
        password: the password, where that is the way to log in.
        tokens: where access tokens come from, where that is the way (XOAUTH2).
        plain_password: password or token may go over a connection without TLS to another machine.
        ca_file: certificates to trust beside the system's.
        timeout: seconds for a command.
    """

    account_id: int
    host: str
    port: int
    security: Security
    username: str
    password: str | None = field(default=None, repr=False)
    tokens: TokenSource | None = field(default=None, repr=False)
    plain_password: bool = False
    ca_file: str | None = None
    timeout: float = 60


def connect(endpoint: Endpoint) -> Connection:
    """Connect and log in.

    An access token that the server refuses is replaced once by a new one, if there is another.

    Raises:
        MailboxError: it went wrong; also where TLS is not offered, or the login would go unprotected.
    """
    if is_exposed(endpoint.security, endpoint.host) and not endpoint.plain_password:
        raise MailboxError(
            f"imap_security plain would send the login to {endpoint.host} unencrypted, which the account does not allow"
        )
    if endpoint.tokens is None:
        return _opened(endpoint, endpoint.password or "")
    try:
        return with_token(endpoint.tokens, lambda token: _opened(endpoint, token), _is_refused)
    except TokenError as error:
        raise MailboxError(str(error)) from None


def _is_refused(error: Exception) -> bool:
    return isinstance(error, MailboxError) and error.refused


def try_out(endpoint: Endpoint) -> list[Folder]:
    """Log in, look which folders there are, and log out. Raises MailboxError."""
    connection = connect(endpoint)
    try:
        return connection.folders()
    finally:
        connection.close()


def _opened(endpoint: Endpoint, secret: str) -> Connection:
    try:
        context = None if endpoint.security is Security.PLAIN else tls_context(endpoint.ca_file)
    except StepError as error:
        raise MailboxError(str(error)) from None
    where = f"{endpoint.host}:{endpoint.port}"
    client: Client = guarded(
        lambda: Client(endpoint.host, endpoint.port, endpoint.security, endpoint.timeout, context), where
    )
    connection = Connection(client, where)
    try:
        if endpoint.security is Security.STARTTLS:
            connection.ask(lambda c: c.starttls(context), "STARTTLS")
        connection.ask(lambda c: _log_in(c, endpoint, secret), "login", secret=secret)
    except BaseException:
        connection.drop()
        raise
    return connection


def _log_in(client: Client, endpoint: Endpoint, secret: str) -> None:
    """Log in by XOAUTH2, or else by AUTHENTICATE PLAIN (RFC 4616), or LOGIN where that is not offered."""
    if endpoint.tokens is not None:
        words = iter((bearer(endpoint.username, secret),))
        # The challenge is an error in JSON; an empty line asks for the reply that says so.
        client.sasl_login("XOAUTH2", lambda _challenge: next(words, ""))
    elif client.has_capability("AUTH=PLAIN"):
        client.plain_login(endpoint.username, secret)
    else:
        if client.has_capability("LOGINDISABLED"):
            raise LoginError("it offers neither AUTH=PLAIN nor LOGIN on this connection")
        if not (secret.isascii() and secret.isprintable() and endpoint.username.isascii()):
            raise LoginError("it offers no AUTH=PLAIN, and LOGIN can't carry other than ASCII")
        quoted = endpoint.username.replace("\\", "\\\\").replace('"', '\\"')
        client.login(f'"{quoted}"', secret)
