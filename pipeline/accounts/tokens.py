"""Access tokens (XOAUTH2): what an account's command prints, or its file holds.

Reads: the command's output, or the file. Keeps a command's token for `MAX_AGE` in this process. Writes nothing.
Trouble: a command that fails or hangs is a `TokenError` with an alert, at most one an hour for an account and process;
neither its output nor a token is ever quoted.
"""

from __future__ import annotations

import os
import re
import selectors
import shlex
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.accounts.alerts import Alert, alert_once_an_hour
from pipeline.smtp.login import TokenError

#: Seconds that a command may take.
COMMAND_TIMEOUT = 30.0
#: Seconds in which a command that is killed has to be gone.
KILL_TIMEOUT = 5.0
#: Seconds for which a command's token is used again: a helper may hand out one that is good for little longer
#: (Google's libraries renew those with less than 225 s left).
MAX_AGE = 180.0
#: Octets that are read in search of the first line; the tokens of Microsoft have 2,000 to 3,000.
MAX_OUTPUT = 65_536

#: What a bearer token is made of (RFC 6750 section 2.1).
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


@dataclass(frozen=True)
class AccountTokens:
    """Where an account's access tokens come from: a command (its words as a shell would split them; there is no shell)
    or a file, of which the first line counts.
    """

    account_id: int
    command: str | None = field(default=None, repr=False)
    file: str | None = field(default=None, repr=False)

    def token(self) -> str:
        """Return an access token; a command's may be up to MAX_AGE old. Raises TokenError."""
        with _lock_of(self):
            kept = _kept.get(self)
            if kept is not None and time.monotonic() - kept.got_at < MAX_AGE:
                return kept.token
            return self._new()

    def another_than(self, refused: str) -> str | None:
        """Return a new access token in place of one that the server has refused; None: there is no other yet. Raises
        TokenError.
        """
        with _lock_of(self):
            kept = _kept.pop(self, None)
            new = kept.token if kept is not None and kept.token != refused else self._new()
            if new != refused:
                return new
            _kept.pop(self, None)
            return None

    def _new(self) -> str:
        try:
            token = _printed(self.command) if self.command is not None else _written(self.file or "")
        except TokenError as error:
            alert_once_an_hour(Alert.NO_TOKEN, str(error), account_id=self.account_id)
            raise
        if self.command is not None:
            _kept[self] = _Kept(token, time.monotonic())
        return token


@dataclass(frozen=True)
class _Kept:
    token: str = field(repr=False)
    got_at: float


_kept: dict[AccountTokens, _Kept] = {}
_locks: dict[AccountTokens, threading.Lock] = {}


def _lock_of(tokens: AccountTokens) -> threading.Lock:
    return _locks.setdefault(tokens, threading.Lock())


def _written(file: str) -> str:
    try:
        if not Path(file).is_file():
            raise TokenError("the token file is not there, or is no file")
        with Path(file).open("rb") as opened:
            return _first_line(opened.read(MAX_OUTPUT), "the token file holds")
    except OSError as error:
        raise TokenError(f"the token file can't be read: {error.strerror}") from None


def _printed(command: str) -> str:
    try:
        process = subprocess.Popen(  # noqa: S603  (the operator's own command)
            shlex.split(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError, IndexError) as error:
        why = getattr(error, "strerror", None) or "it is no command"
        raise TokenError(f"the token command can't be run: {why}") from None
    try:
        output = _output_of(process, time.monotonic() + COMMAND_TIMEOUT)
    except BaseException:
        # The group is its own: what the command has started goes, too. One that has become another user's stays, and
        # nobody waits for it.
        with suppress(OSError, subprocess.TimeoutExpired):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(KILL_TIMEOUT)
        raise
    finally:
        if process.stdout is not None:
            process.stdout.close()
    if process.returncode:
        raise TokenError(f"the token command failed with exit code {process.returncode}")
    return _first_line(output, "the token command printed")


def _output_of(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """Return the beginning of what a command prints, when it has ended; what it has left running is not waited for."""
    pipe: Any = process.stdout
    output = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            if selector.select(timeout=0.05):
                chunk = os.read(pipe.fileno(), MAX_OUTPUT)
                if not chunk:
                    break
                output = (output + chunk)[:MAX_OUTPUT]
            elif process.poll() is not None and not selector.select(timeout=0):
                break
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise TokenError(f"the token command did not end within {COMMAND_TIMEOUT:g} s") from None
    return output


def _first_line(output: bytes, what: str) -> str:
    first = (output.splitlines() or [b""])[0].decode("ascii", "replace").strip()
    if not first:
        raise TokenError(f"{what} nothing in its first line")
    if not _TOKEN.fullmatch(first):
        raise TokenError(f"{what} something that is no access token (RFC 6750) in its first line")
    return first
