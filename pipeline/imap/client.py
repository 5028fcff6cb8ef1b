"""IMAPClient with answers that end: bounded in octets a line and a command, and in time for the whole answer."""

from __future__ import annotations

import imaplib
import io
import math
import select
import socket
import ssl
import time
from typing import Any

from imapclient import IMAPClient

from models import Security
from pipeline.smtp.bounded import Incoming

#: Octets of a line: a list of two million UIDs fits.
MAX_LINE = 16 * 1024 * 1024
#: Octets of all that a server answers to one command.
MAX_ANSWER = 64 * 1024 * 1024


class _Imap4(imaplib.IMAP4):
    """imaplib's connection, with reads of our own: a server can send for ever, or one byte at a time."""

    def __init__(self, host: str, port: int, timeout: float, context: ssl.SSLContext | None) -> None:
        self._context, self._patience = context, timeout
        self._octets_left = MAX_ANSWER
        self._reader: io.BufferedReader | None = None
        self._incoming: Incoming | None = None
        self._read_from: socket.socket | None = None
        self._deadline = time.monotonic() + timeout
        super().__init__(host, port)

    def _create_socket(self, timeout: float | None = None) -> socket.socket:  # noqa: ARG002  (imaplib's)
        sock = socket.create_connection((self.host, self.port), timeout=self._patience)
        return sock if self._context is None else self._context.wrap_socket(sock, server_hostname=self.host)

    def begin(self) -> None:
        """Begin a command: its answer has to come within the timeout."""
        self._deadline = time.monotonic() + self._patience
        self._octets_left = MAX_ANSWER

    def read(self, size: int) -> bytes:
        self._count(size)
        return bytes(self._stream(self._deadline).read(size))

    def readline(self) -> bytes:
        line = bytes(self._stream(self._deadline).readline(MAX_LINE + 1))
        if len(line) > MAX_LINE:
            raise self.abort("a line that does not end")
        self._count(len(line))
        return line

    def has_news(self, seconds: float) -> bool:
        """Tell whether the server has said something, or has closed the connection; wait so long for it."""
        try:
            # What came along with the last answer. Nothing is read from the socket: its time is over.
            if self._stream(-math.inf).peek(1):
                return True
        except TimeoutError:
            pass
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return True
        poll = select.poll()
        poll.register(self.sock.fileno(), select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def _stream(self, deadline: float) -> io.BufferedReader:
        # A new one behind STARTTLS: what came before it in the clear does not count (RFC 9051 11.1).
        if self._reader is None or self._incoming is None or self._read_from is not self.sock:
            self._read_from = self.sock
            self._incoming = Incoming(self.sock)
            self._reader = io.BufferedReader(self._incoming)
        self._incoming.deadline = deadline
        return self._reader

    def _count(self, octets: int) -> None:
        self._octets_left -= octets
        if self._octets_left < 0:
            raise self.abort("an answer that is too long")


class Client(IMAPClient):  # type: ignore[misc]  # it has no types (setup.cfg)
    """IMAPClient on such a connection."""

    def __init__(
        self, host: str, port: int, security: Security, timeout: float, context: ssl.SSLContext | None
    ) -> None:
        self._bounded = (timeout, context if security is Security.TLS else None)
        super().__init__(host, port, ssl=security is Security.TLS, timeout=timeout)
        # What is said is logged nowhere, at no level.
        self._imap.debug = 0
        self.normalise_times = False

    def _create_IMAP4(self) -> _Imap4:  # noqa: N802  (IMAPClient's)
        timeout, context = self._bounded
        return _Imap4(self.host, self.port, timeout, context)

    @property
    def bounded(self) -> Any:
        """The connection below."""
        return self._imap

    def list_with_uses(self) -> list[tuple[tuple[bytes, ...], bytes | None, str]]:
        """Return the folders with what they are for; some servers tell that only where they are asked for it
        (RFC 6154 3), and those that are not know no such question.
        """
        if not (self.has_capability("SPECIAL-USE") and self.has_capability("LIST-EXTENDED")):
            return list(self.list_folders())
        self._imap.begin()
        status, answer = self._imap._simple_command("LIST", '""', '"*"', "RETURN", "(SPECIAL-USE)")
        self._checkok("LIST", status, answer)
        _, answer = self._imap._untagged_response(status, answer, "LIST")
        return list(self._proc_folder_list(answer))
