"""A child process that serves one thread: a line for a line. It is started anew (not forked), with nothing of this
process: no environment, no file, and no connection but the one over which it is asked.

It ends when its owner lets it go, or dies in whatever way: that connection is its stdin, which ends then.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence

#: Seconds in which it has to say that it is ready.
STARTS_WITHIN = 60.0
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
    """It did not answer in time, and has been ended."""


class Child:
    """A process that runs a module of this installation.

    Attributes:
        pid: its process id.

    Args:
        module: its name, and its arguments.
        ready: the line that it says first.

    Raises:
        OSError, ChildEndedError, ChildSilentError: it can't be started.
    """

    def __init__(self, module: Sequence[str], ready: bytes) -> None:
        self._socket, its = socket.socketpair()
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
        if self._line(STARTS_WITHIN) != ready:
            raise self._ended()

    def ask(self, question: bytes, seconds: float) -> bytes:
        """Return its answer to a question; both are lines, with their ends.

        Args:
            question: the line.
            seconds: how long to wait for the answer.

        Raises:
            ChildEndedError, ChildSilentError: there is none, and it has ended.
        """
        try:
            self._socket.settimeout(seconds)
            self._socket.sendall(question)
        except TimeoutError:
            raise self._silent() from None
        except ConnectionError:
            raise self._ended() from None
        return self._line(seconds)

    def end(self) -> None:
        """End it now."""
        self._finalize()

    def _line(self, seconds: float) -> bytes:
        until = time.monotonic() + seconds
        line = bytearray()
        while not line.endswith(b"\n"):
            # Looked at also when the time is up: this process may have stood still itself.
            self._socket.settimeout(max(until - time.monotonic(), 0.001))
            try:
                read = self._socket.recv(1 << 14)
            except TimeoutError:
                raise self._silent() from None
            except ConnectionError:
                read = b""
            if not read or len(line) > MAX_ANSWER:
                raise self._ended()
            line += read
        return bytes(line)

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
