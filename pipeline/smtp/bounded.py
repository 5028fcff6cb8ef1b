"""smtplib with replies that end: bounded in lines, in octets a line, and in time for the whole reply."""

from __future__ import annotations

import io
import math
import re
import smtplib
import socket
import ssl
import time
from typing import Any

#: Octets of one line of a reply (RFC 5321 4.5.3.1.5 says 512; many servers send more), and lines of one reply.
MAX_REPLY_LINE = 8192
MAX_REPLY_LINES = 100


def has_spoken_unasked(sock: socket.socket) -> bool:
    """Tell whether a server has closed the connection, or has said what is no reply to anything. What it said is gone:
    the connection is of no more use.
    """
    patience = sock.gettimeout()
    sock.settimeout(0)
    try:
        sock.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    finally:
        sock.settimeout(patience)
    return True


class Incoming(io.RawIOBase):
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
            self.file = io.BufferedReader(Incoming(self.sock))
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


class Smtp(_BoundedReplies, smtplib.SMTP):
    """A connection that begins in plain text."""


class SmtpTls(_BoundedReplies, smtplib.SMTP_SSL):
    """A connection that is TLS from its first byte."""
