"""An SMTP server that says what a test tells it to, on a raw socket: for what a well-behaved server never does."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType


class Drip(str):
    """A reply of which a byte comes after the other, with a pause before each."""

    __slots__ = ()


class HangUp(str):
    """A reply after which the server closes the connection."""

    __slots__ = ()


#: An answer to a command: None closes the connection; "" stays silent; a tuple: a line after the other, with a pause
#: before each; a `Drip`: byte by byte; a `HangUp`: and closes then.
Answer = str | tuple[str, ...] | None


class Turns(list[Answer]):
    """Answers that take turns, on whatever connection; the last stays."""

    __slots__ = ()

    def next(self) -> Answer:
        """Return the one whose turn it is."""
        return self.pop(0) if len(self) > 1 else self[0]


#: What the server answers to a command, by its first word.
Replies = Mapping[str, Answer | Turns]

PAUSE = 0.1

GREETING = "GREETING"
DOT = "DOT"
#: A line that answers a 334.
RESPONSE = "RESPONSE"
_DEFAULT: Replies = {
    GREETING: "220 test",
    "EHLO": "250-test\r\n250-PIPELINING\r\n250 SIZE 1000000",
    "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok",
    "DATA": "354 go on",
    DOT: "250 2.0.0 kept",
    "RSET": "250 2.0.0 ok",
    "NOOP": "250 2.0.0 ok",
    "QUIT": "221 2.0.0 bye",
}


class ScriptedServer:
    """Answers as it is told; `received` is everything it was sent, a bytes object for each read."""

    def __init__(
        self,
        replies: Replies | None = None,
        *,
        on_dot: Callable[[], None] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Answer `replies` over the defaults; call `on_dot` when a message's dot has come, before the reply; with `tls`
        from the first byte.
        """
        self._tls = tls
        self.replies = {**_DEFAULT, **(replies or {})}
        self.received: list[bytes] = []
        self.connections = 0
        self.mails: list[bytes] = []
        self._on_dot = on_dot or (lambda: None)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._open: list[socket.socket] = []

    def __enter__(self) -> ScriptedServer:
        """Start to listen."""
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Stop, and close what is open."""
        # A thread that waits in accept() is woken by a connection, not by a close.
        self._stopping = True
        with socket.create_connection(("127.0.0.1", self.port)):
            pass
        self._thread.join()
        self._socket.close()
        for connection in self._open:
            connection.close()

    def leave(self, words: bytes = b"") -> None:
        """Say `words` unasked and nothing after them; what comes is still read, so that nothing is reset."""
        self._open[-1].sendall(words)
        self._open[-1].shutdown(socket.SHUT_WR)

    _stopping = False

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            self._open.append(connection)
            if self._stopping:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls is None:
                self._talk(connection)
            else:
                with self._tls.wrap_socket(connection, server_side=True) as secured:
                    self._talk(secured)
        except OSError:
            return

    def _talk(self, connection: socket.socket) -> None:
        waiting = b""
        in_data = asked = False
        if self._say(connection, GREETING) is None:
            return
        while chunk := connection.recv(65536):
            self.received.append(chunk)
            waiting += chunk
            while True:
                if in_data:
                    mail, dot, rest = waiting.partition(b"\r\n.\r\n")
                    if not dot:
                        break
                    waiting, in_data = rest, False
                    self.mails.append(mail)
                    self._on_dot()
                    word = DOT
                else:
                    line, end, rest = waiting.partition(b"\r\n")
                    if not end:
                        break
                    waiting = rest
                    word = RESPONSE if asked else line.split(b" ")[0].decode("ascii", "replace").upper()
                said = self._say(connection, word)
                if said is None:
                    return
                in_data, asked = word == "DATA" and said.startswith("354"), said.startswith("334")

    def _say(self, connection: socket.socket, word: str) -> str | None:
        """Answer a command; return what was said, None if the connection is closed now."""
        turn = self.replies.get(word, "500 5.5.1 what?")
        reply = turn.next() if isinstance(turn, Turns) else turn
        if reply is None:
            connection.close()
            return None
        if isinstance(reply, tuple):
            for line in reply:
                time.sleep(PAUSE)
                connection.sendall(line.encode("latin-1") + b"\r\n")
        elif isinstance(reply, Drip):
            for byte in reply.encode("latin-1"):
                time.sleep(PAUSE)
                connection.sendall(bytes([byte]))
        elif reply:
            connection.sendall(reply.encode("latin-1") + b"\r\n")
        if isinstance(reply, HangUp):
            connection.close()
            return None
        return "".join(reply)
