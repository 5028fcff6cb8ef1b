"""Who is signed in to the operator's pages: kept in this process, so that to sign out, or to restart it, ends a session
for certain. Pure, but for the clock.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from pipeline.runtime.clocks import elapsed

#: Hours after which somebody has to sign in again.
HOURS = 10
#: Bytes of what can't be guessed: a session's id, and a key.
_BYTES = 32


class Role(StrEnum):
    """What somebody may do: everything, or only look."""

    OPERATOR = "operator"
    READER = "reader"


@dataclass(frozen=True)
class Session:
    """Somebody who is signed in.

    Attributes:
        role: what they may do.
        who: what they call themselves; it stands with what they do.
        until: by the clock, in seconds, when it ends.
    """

    role: Role
    who: str
    until: float


class Sessions:
    """The sessions of this process, used by several threads."""

    def __init__(self, clock: Callable[[], float] = elapsed) -> None:
        self._clock, self._key, self._lock = clock, secrets.token_bytes(_BYTES), threading.Lock()
        self._open: dict[str, Session] = {}

    def begin(self, role: Role, who: str) -> str:
        """Begin a session, and return its id, which nobody has known before."""
        begun, now = new_id(), self._clock()
        with self._lock:
            self._open = {known: session for known, session in self._open.items() if session.until > now}
            self._open[begun] = Session(role, who, now + HOURS * 3600)
        return begun

    def of(self, session_id: str) -> Session | None:
        """Return the session of an id; None: there is none, or it is over."""
        session = self._open.get(session_id)
        return session if session is not None and session.until > self._clock() else None

    def end(self, session_id: str) -> None:
        """End a session."""
        with self._lock:
            self._open.pop(session_id, None)

    def form_token(self, browser: str) -> str:
        """Return what a form has to bring that this process made for a browser (by the id in its cookie)."""
        return hmac.new(self._key, browser.encode(), hashlib.sha256).hexdigest()


def new_id() -> str:
    """Return an id that can't be guessed."""
    return secrets.token_urlsafe(_BYTES)
