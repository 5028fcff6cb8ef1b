"""A child process that serves one thread: a line for a line. It is started anew (not forked), with nothing of this
process: no environment, no file, and no connection but the one over which it is asked.

It ends when its owner lets it go, or dies in whatever way: that connection is its stdin, which ends then.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence

#: Bytes of one answer, and of its last words.
MAX_ANSWER, MAX_LAST_WORDS = 32 * 1024 * 1024, 64 * 1024


class ChildEndedError(Exception):
    """It has ended without an answer.

    Attributes:
        last_words: what it wrote to stderr.
        signal: the number of the signal that ended it; None: none did.
    """

    def __init__(self, last_words: str, returncode: int) -> None:
        self.last_words = last_words
        self.signal = -returncode if returncode < 0 else None
        super().__init__(f"signal {self.signal}" if self.signal else f"exit code {returncode}")


class ChildSilentError(Exception):
    """It did not answer in time, or without end, and has been ended."""


class Child:
    """A process that runs a module of this installation.

    Attributes:
        pid: its process id.

    Args:
        module: its name, and its arguments.
        ready: the line that it says first.
        seconds: how long to wait for that, and for each answer.

    Raises:
        OSError, ChildEndedError, ChildSilentError: it can't be started.
    """

    def __init__(self, module: Sequence[str], ready: bytes, seconds: float) -> None:
        self._socket, its = socket.socketpair()
        self._seconds = seconds
        # The kernel's own timeouts: Python's would poll before each call.
        for timeout in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._socket.setsockopt(socket.SOL_SOCKET, timeout, struct.pack("@ll", *divmod(int(seconds * 1e6), 10**6)))
        command = [sys.executable, "-P", "-W", "ignore", "-m", *module]
        with its:
            try:
                self._process = subprocess.Popen(  # noqa: S603  (our own module)
                    command, stdin=its.fileno(), stdout=its.fileno(), stderr=subprocess.PIPE, env={}, cwd="/"
                )
            except OSError:
                self._socket.close()
                raise
        self.pid = self._process.pid
        self._finalize = weakref.finalize(self, _end, self._socket, self._process)
        if self._line() != ready:
            raise self._ended()

    def ask(self, question: bytes) -> bytes:
        """Return its answer to a question; both are lines. Raises ChildEndedError, ChildSilentError: there is none."""
        try:
            self._socket.sendall(question)
        except BlockingIOError:
            raise self._silent() from None
        except ConnectionError:
            raise self._ended() from None
        return self._line()

    def end(self) -> None:
        """End it now."""
        self._finalize()

    def _line(self) -> bytes:
        line = self._part()
        if not line.endswith(b"\n"):
            until = time.monotonic() + self._seconds
            parts = bytearray(line)
            while not parts.endswith(b"\n"):
                if len(parts) > MAX_ANSWER or time.monotonic() > until:
                    raise self._silent()
                parts += self._part()
            line = bytes(parts)
        return line

    def _part(self) -> bytes:
        try:
            part = self._socket.recv(1 << 14)
        except BlockingIOError:
            raise self._silent() from None
        except ConnectionError:
            part = b""
        if not part:
            raise self._ended()
        return part

    def _ended(self) -> ChildEndedError:
        """Return how it has ended; it is about to, if it has not yet."""
        assert self._process.stderr is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        returncode = self._process.poll()
        self._process.kill()
        self._process.wait()
        last_words = self._process.stderr.read(MAX_LAST_WORDS).decode(errors="replace")
        self.end()
        return ChildEndedError(last_words, returncode if returncode is not None else self._process.returncode)

    def _silent(self) -> ChildSilentError:
        self.end()
        return ChildSilentError()


def _end(connection: socket.socket, process: subprocess.Popen[bytes]) -> None:
    connection.close()
    process.kill()
    process.wait()
    if process.stderr is not None:
        process.stderr.close()
