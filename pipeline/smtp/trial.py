"""A login that is only tried, and what is seen of the connection's protection while it is open."""

from __future__ import annotations

import datetime as dt
import smtplib
import ssl
from dataclasses import dataclass

from pipeline.smtp.connection import Connection, Endpoint, log_in
from pipeline.smtp.reply import Result
from pipeline.smtp.steps import StepError


@dataclass(frozen=True)
class Trial:
    """What came of a login.

    Attributes:
        result: the server's answer and what it means; None: it went well.
        tls: the version of TLS, such as TLSv1.3; None: without TLS.
        expires_at: until when the server's certificate is valid (UTC); None: without TLS.
    """

    result: Result | None = None
    tls: str | None = None
    expires_at: dt.datetime | None = None


def try_out(endpoint: Endpoint) -> Trial:
    """Log in, look at the connection, log out; send nothing."""
    try:
        smtp = log_in(endpoint)
    except StepError as trouble:
        return Trial(trouble.result)
    trial = _looked_at(smtp)
    Connection(endpoint, smtp).close(politely=True)
    return trial


def _looked_at(smtp: smtplib.SMTP) -> Trial:
    if not isinstance(smtp.sock, ssl.SSLSocket):
        return Trial()
    certificate = smtp.sock.getpeercert() or {}
    expires = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    return Trial(tls=smtp.sock.version(), expires_at=dt.datetime.fromtimestamp(expires, dt.UTC))
