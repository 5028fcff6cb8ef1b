"""A mail server in a process of its own that takes every mail and keeps none, as fast as Python can.

    python -m benchmarks._sink [HOST]

It prints its port, and serves until its stdin is closed. Several commands that come at once it answers with one write
(RFC 2920).
"""

from __future__ import annotations

import select
import socket
import subprocess
import sys
from typing import Self

_EHLO = b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 20000000\r\n"
_ANSWERS = {b"DATA": b"354 go on\r\n", b"QUIT": b"221 2.0.0 bye\r\n", b"EHLO": _EHLO}
_OK = b"250 2.0.0 ok\r\n"
_DOT = b"\r\n.\r\n"


class Sink:
    """The server, as the benchmarks start it.

    Attributes:
        host: where it listens.
        port: likewise.
        pid: its process.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        """Prepare one that listens on `host`."""
        self.host = host

    def __enter__(self) -> Self:
        """Start it."""
        command = [sys.executable, "-m", "benchmarks._sink", self.host]
        self._process = subprocess.Popen(  # noqa: S603  (this file)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.pid, self.port = self._process.pid, int(self._process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.communicate(timeout=60)


class _Client:
    """One connection: what has come and is not answered yet."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._waiting = b""
        self._in_data = False

    def answer(self) -> bool:
        """Read what is there and answer it; return whether the connection goes on."""
        data = self.connection.recv(262_144)
        self._waiting += data
        said = b"".join(iter(self._next, b""))
        if said:
            self.connection.sendall(said)
        return bool(data) and not said.endswith(_ANSWERS[b"QUIT"])

    def _next(self) -> bytes:
        """Return the answer to the next whole command or mail; nothing if there is none."""
        if self._in_data:
            _, dot, rest = self._waiting.partition(_DOT)
            if not dot:
                return b""
            self._waiting, self._in_data = rest, False
            return _OK
        line, end, rest = self._waiting.partition(b"\r\n")
        if not end:
            return b""
        self._waiting = rest
        word = line[:4].upper()
        self._in_data = word == b"DATA"
        return _ANSWERS.get(word, _OK)


def serve(host: str) -> None:
    """Serve until stdin is closed."""
    listening = socket.create_server((host, 0), backlog=1000)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    clients: dict[int, _Client] = {}
    poll = select.epoll()
    poll.register(listening, select.EPOLLIN)
    poll.register(sys.stdin, select.EPOLLIN)
    while True:
        for number, _ in poll.poll():
            if number == sys.stdin.fileno():
                return
            if number == listening.fileno():
                connection, _ = listening.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.sendall(b"220 sink\r\n")
                clients[connection.fileno()] = _Client(connection)
                poll.register(connection, select.EPOLLIN)
            elif not _goes_on(clients[number]):
                poll.unregister(number)
                clients.pop(number).connection.close()


def _goes_on(client: _Client) -> bool:
    try:
        return client.answer()
    except OSError:
        return False


if __name__ == "__main__":
    serve(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1")
