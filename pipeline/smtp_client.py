"""The SMTP dialogue, up to and after the dot, over connections that are kept: one live connection for each account.

Reads: an account's endpoint and an envelope. Returns: a `Result` for every trouble; nothing of a dialogue is raised.
The steps are apart so that the caller can claim between them: `offer` sends everything but the final dot, `finish`
sends the dot and reads the reply, `abandon` closes the connection, which makes the server throw the message away (RFC
5321 4.1.1.5).
"""

from __future__ import annotations

import functools
import io
import math
import re
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

from models import Security

from .failpoints import reach
from .message import Envelope
from .smtp_reply import Phase, Reply, Result, Verdict, judge, judge_failure

#: A connection is closed after so many messages, or so many idle seconds.
MAX_MESSAGES = 100
MAX_IDLE = 30.0
#: Octets of one line of a reply (RFC 5321 4.5.3.1.5 says 512; many servers send more), and lines of one reply.
MAX_REPLY_LINE = 8192
MAX_REPLY_LINES = 100


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


class _StepError(Exception):
    """A step of the dialogue did not go well."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.reply.text)
        self.result = result


class _Incoming(io.RawIOBase):
    """What a server sends. Its deadline counts for all reads together: one that drips a byte at a time holds nobody."""

    deadline = math.inf

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        patience = self._socket.gettimeout()
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(None if left == math.inf else left)
        try:
            return self._socket.recv_into(buffer)
        finally:
            self._socket.settimeout(patience)


class _BoundedReplies:
    """Reads replies as smtplib does, but not without end: a server can send lines for ever, or one byte at a time.

    The socket's timeout is that of a whole reply. After any trouble it is closed, as smtplib does.
    """

    file: Any
    sock: Any

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None:
            self.file = io.BufferedReader(_Incoming(self.sock))
        patience = self.sock.gettimeout()
        self.file.raw.deadline = time.monotonic() + (math.inf if patience is None else patience)
        try:
            return self._reply()
        except (OSError, smtplib.SMTPException, ValueError):
            self.close()  # type: ignore[attr-defined]
            raise

    def _reply(self) -> tuple[int, bytes]:
        lines: list[bytes] = []
        while len(lines) < MAX_REPLY_LINES:
            line = self.file.readline(MAX_REPLY_LINE + 1)
            if not line:
                raise smtplib.SMTPServerDisconnected("the server closed the connection")
            if len(line) > MAX_REPLY_LINE or not re.match(rb"\d{3}[ \r\n-]", line):
                break
            lines.append(line[4:].strip())
            if line[3:4] != b"-":
                return int(line[:3]), b"\n".join(lines)
        raise ValueError("a reply that is none")


class _Smtp(_BoundedReplies, smtplib.SMTP):
    pass


class _SmtpTls(_BoundedReplies, smtplib.SMTP_SSL):
    pass


@dataclass
class _Connection:
    """A logged-in connection, and what it has been used for."""

    endpoint: Endpoint
    smtp: smtplib.SMTP
    messages: int = 0
    used_at: float = field(default_factory=time.monotonic)

    def is_fresh(self, endpoint: Endpoint) -> bool:
        """Tell whether it may carry another message for this endpoint."""
        idle = time.monotonic() - self.used_at
        return endpoint == self.endpoint and self.messages < MAX_MESSAGES and idle < MAX_IDLE

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


class Connections:
    """The connections of this process, kept between messages. Safe for threads; a connection is used by one at a
    time.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._kept: dict[int, _Connection] = {}
        self._lock = threading.Lock()
        self._reaper: threading.Thread | None = None

    @contextmanager
    def transaction(self, endpoint: Endpoint) -> Iterator[Transaction]:
        """Give the block a transaction with the account's server; what it leaves in order is kept for the next."""
        transaction = Transaction(functools.partial(self._take, endpoint), endpoint)
        try:
            yield transaction
        except BaseException:
            transaction.abandon()
            raise
        if transaction.connection is not None:
            self._keep(transaction.connection)

    def close(self) -> None:
        """Close all that are kept."""
        with self._lock:
            kept, self._kept = self._kept, {}
        for connection in kept.values():
            connection.close(politely=True)

    def _take(self, endpoint: Endpoint) -> _Connection:
        with self._lock:
            kept = self._kept.pop(endpoint.account_id, None)
        if kept is not None:
            if kept.is_fresh(endpoint) and kept.is_alive():
                return kept
            kept.close(politely=True)
        return _Connection(endpoint, _log_in(endpoint))

    def _keep(self, connection: _Connection) -> None:
        connection.used_at = time.monotonic()
        with self._lock:
            other = self._kept.pop(connection.endpoint.account_id, None)
            self._kept[connection.endpoint.account_id] = connection
            if self._reaper is None:
                self._reaper = threading.Thread(target=self._reap, name="idle SMTP connections", daemon=True)
                self._reaper.start()
        if other is not None:
            other.close(politely=True)

    def _reap(self) -> None:
        """Close what has idled for too long; ends when nothing is kept."""
        while True:
            time.sleep(MAX_IDLE / 10)
            with self._lock:
                idle = [a for a, c in self._kept.items() if time.monotonic() - c.used_at >= MAX_IDLE]
                closing = [self._kept.pop(account_id) for account_id in idle]
                if not self._kept:
                    self._reaper = None
            for connection in closing:
                connection.close(politely=True)
            if self._reaper is not threading.current_thread():
                return


class Transaction:
    """One message to one server, step by step."""

    def __init__(self, take: Callable[[], _Connection], endpoint: Endpoint) -> None:
        """Connect only when something is offered."""
        self._take = take
        self._endpoint = endpoint
        self.connection: _Connection | None = None

    def offer(self, envelope: Envelope) -> Result | None:
        """Send envelope, headers and body without the final dot.

        Returns:
            None: the server waits for the dot. A Result: it won't have the message, and why; nothing was sent to
            anybody.
        """
        try:
            self.connection = self._take()
            reach("smtp:connected")
            self._envelope(self.connection.smtp, envelope)
            _guarded(Phase.BODY, lambda smtp: smtp.send(_dot_stuffed(envelope.data)), self.connection.smtp)
        except _StepError as trouble:
            if trouble.result.reply.code in (None, 421) or trouble.result.phase is Phase.BODY:
                self.abandon()
            return trouble.result
        return None

    def finish(self) -> Result:
        """Send the final dot and read the reply; a reply that does not come says nothing (RFC 1047).

        A dot that the connection does not take any more was surely not sent: that is as if the body had failed.
        """
        connection = self.connection
        if connection is None:
            raise RuntimeError("nothing was offered")
        smtp = connection.smtp
        connection.messages += 1
        phase = Phase.BODY
        try:
            if smtp.sock is not None:
                smtp.sock.settimeout(self._endpoint.data_timeout)
            smtp.send(b".\r\n")
            phase = Phase.DOT
            reach("smtp:dot")
            reply = _reply(smtp.getreply())
            if smtp.sock is not None:
                smtp.sock.settimeout(self._endpoint.timeout)
        except (OSError, smtplib.SMTPException, ValueError) as error:
            self.abandon()
            return judge_failure(phase, error)
        if reply.code == 421:
            self.abandon()
        return Result(judge(Phase.DOT, reply), Phase.DOT, reply)

    def abandon(self) -> None:
        """Close the connection; the server throws away a message without a dot."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _envelope(self, smtp: smtplib.SMTP, envelope: Envelope) -> None:
        options = ""
        if envelope.needs_smtputf8:
            if not smtp.has_extn("smtputf8"):
                raise _StepError(_refused(Verdict.RECIPIENT_FOR_NOW, Phase.MAIL, "SMTPUTF8 is not offered"))
            options += " SMTPUTF8 BODY=8BITMIME"
            smtp.command_encoding = "utf-8"
        if smtp.has_extn("size"):
            options += f" SIZE={len(envelope.data)}"
        commands = (
            (Phase.MAIL, f"MAIL FROM:<{envelope.sender}>{options}", 250),
            (Phase.RCPT, f"RCPT TO:<{envelope.recipient}>", 250),
            (Phase.DATA, "DATA", 354),
        )
        if smtp.has_extn("pipelining"):
            self._in_one_write(smtp, commands)
            return
        for phase, command, wanted in commands:
            reply = _guarded(phase, functools.partial(_command, command), smtp)
            _demand(phase, reply, wanted)

    def _in_one_write(self, smtp: smtplib.SMTP, commands: tuple[tuple[Phase, str, int], ...]) -> None:
        """RFC 2920: all commands, then all replies; the first that is not as wanted counts, also where the server
        then hangs up.
        """
        lines = "".join(f"{command}\r\n" for _, command, _ in commands).encode()
        _guarded(Phase.MAIL, lambda s: s.send(lines), smtp)
        troubles: list[_StepError] = []
        waits_for_message = False
        for phase, _, wanted in commands:
            try:
                reply = _guarded(phase, lambda s: _reply(s.getreply()), smtp)
                waits_for_message = reply.code == 354
                _demand(phase, reply, wanted)
            except _StepError as error:
                troubles.append(error)
                if error.result.reply.code is None:
                    self.abandon()
                    break
        if troubles:
            if waits_for_message:
                # It waits for a message all the same: only closing takes that back.
                self.abandon()
            raise troubles[0]


def log_in_and_out(endpoint: Endpoint) -> Result | None:
    """Log in and send nothing; return None if that went well, else what came of it."""
    try:
        _Connection(endpoint, _log_in(endpoint)).close(politely=True)
    except _StepError as trouble:
        return trouble.result
    return None


def _log_in(endpoint: Endpoint) -> smtplib.SMTP:
    """Return a connection that is ready for MAIL; what the endpoint asks for is never silently dropped."""
    # smtplib's own default context verifies nothing.
    context = ssl.create_default_context()
    smtp = _guarded(Phase.CONNECT, lambda _: _open(endpoint, context), None)
    try:
        _hello(smtp)
        if endpoint.security is Security.STARTTLS:
            if not smtp.has_extn("starttls"):
                raise _StepError(_refused(Verdict.ACCOUNT_FOR_NOW, Phase.TLS, "STARTTLS is not offered"))
            _guarded(Phase.TLS, lambda s: s.starttls(context=context), smtp)
            _hello(smtp)
        if endpoint.username is not None:
            _authenticate(smtp, endpoint.username, endpoint.password or "")
    except _StepError:
        smtp.close()
        raise
    return smtp


def _open(endpoint: Endpoint, context: ssl.SSLContext) -> smtplib.SMTP:
    options: dict[str, Any] = {"timeout": endpoint.timeout, "local_hostname": _own_name()}
    smtp: Any = _SmtpTls(context=context, **options) if endpoint.security is Security.TLS else _Smtp(**options)
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


@functools.cache
def _own_name() -> str:
    """The name for EHLO, looked up once: a resolver that is away makes it slow (RFC 5321 4.1.1.1)."""
    name = socket.getfqdn()
    return name if "." in name else "[127.0.0.1]"


def _hello(smtp: smtplib.SMTP) -> None:
    _guarded(Phase.GREETING, lambda s: s.ehlo_or_helo_if_needed(), smtp)


def _authenticate(smtp: smtplib.SMTP, username: str, password: str) -> None:
    if not (username + password).isascii():
        # smtplib can't send them, and its error would quote what it can't send.
        raise _StepError(_refused(Verdict.ACCOUNT_FOR_GOOD, Phase.AUTH, "user and password must be ASCII"))
    if not smtp.has_extn("auth"):
        raise _StepError(_refused(Verdict.ACCOUNT_FOR_NOW, Phase.AUTH, "AUTH is not offered on this connection"))
    _guarded(Phase.AUTH, lambda s: s.login(username, password), smtp)


def _guarded(phase: Phase, step: Callable[[Any], Any], smtp: smtplib.SMTP | None) -> Any:
    """Do a step; whatever goes wrong becomes a _StepError with the phase."""
    try:
        return step(smtp)
    except smtplib.SMTPResponseException as error:
        reply = _reply((error.smtp_code, error.smtp_error))
        raise _StepError(Result(judge(phase, reply), phase, reply)) from None
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise _StepError(judge_failure(phase, error)) from None


def _demand(phase: Phase, reply: Reply, wanted: int) -> None:
    good = reply.code == wanted or (wanted == 250 and reply.code in (251, 252))
    if not good:
        raise _StepError(Result(judge(phase, reply), phase, reply))


def _command(command: str, smtp: smtplib.SMTP) -> Reply:
    return _reply(smtp.docmd(command))


def _refused(verdict: Verdict, phase: Phase, text: str) -> Result:
    return Result(verdict, phase, Reply(None, text))


def _reply(answer: tuple[int, bytes | str]) -> Reply:
    code, text = answer
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    # A database can't keep NUL, nor a terminal show control characters.
    return Reply(code, "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in words)[:2000])


def _dot_stuffed(data: bytes) -> bytes:
    """RFC 5321 4.5.2."""
    return re.sub(rb"(?m)^\.", b"..", data)
