"""The mail catcher of the demo and the tests: an SMTP server on loopback that keeps each accepted mail as an `.eml`
file.

It sends nothing on. A mail is on disk before its 250 (RFC 5321 6.1). Recipients can be refused, so that bounces, full
mailboxes and refused content can be seen.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

#: Asked for each recipient and, with the message, at its end; returns a reply that refuses, or None.
Refuse = Callable[[str, bytes | None], str | None]


@dataclass(frozen=True)
class Caught:
    """One accepted mail."""

    sender: str
    recipient: str
    message_id: str
    file: Path
    at: float
    peer: object


class _Controller(Controller):
    """Closes what is open when it stops; aiosmtpd's own leaves connections to the garbage collector."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._sessions: weakref.WeakSet[SMTP] = weakref.WeakSet()
        super().__init__(*args, **options)

    def factory(self) -> SMTP:
        session: SMTP = super().factory()  # type: ignore[no-untyped-call]  # aiosmtpd has no types here
        self._sessions.add(session)
        return session

    def stop(self, *args: Any, **options: Any) -> None:
        asyncio.run_coroutine_threadsafe(self._abort(), self.loop).result()
        super().stop(*args, **options)

    async def _abort(self) -> None:
        for session in list(self._sessions):
            if isinstance(session.transport, asyncio.Transport):
                session.transport.abort()
        # a transport tells its protocol in the next rounds of the loop
        for _ in range(3):
            await asyncio.sleep(0)


class Catcher:
    """An SMTP server on a loopback port of its own."""

    def __init__(self, folder: Path, *, refuse: Refuse | None = None, port: int = 0, **options: Any) -> None:
        """Keep mails in `folder`; `options` go to aiosmtpd (tls_context, require_starttls, authenticator …)."""
        self.folder = folder
        self.mails: list[Caught] = []
        self._refuse = refuse or (lambda _recipient, _data: None)
        self._lock = threading.Lock()
        self._controller = _Controller(self, hostname="127.0.0.1", port=port or _free_port(), **options)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._controller.port)

    def __enter__(self) -> Catcher:
        """Start to listen."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._controller.stop()

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """aiosmtpd's hook for RCPT TO."""
        refusal = self._refuse(address, None)
        if refusal is None:
            envelope.rcpt_tos.append(address)
        return refusal or "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:
        """aiosmtpd's hook for the end of the message."""
        data = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content).encode()
        recipient = envelope.rcpt_tos[0]
        refusal = self._refuse(recipient, data)
        if refusal is not None:
            return refusal
        with self._lock:
            number = len(self.mails) + 1
            file = self.folder / f"{number:04}-{_safe(recipient)}.eml"
            _write_for_good(file, data)
            message_id = str(message_from_bytes(data)["Message-ID"])
            caught = Caught(envelope.mail_from or "", recipient, message_id, file, time.time(), session.peer)
            self.mails.append(caught)
        return "250 2.0.0 OK: kept"


def _write_for_good(file: Path, data: bytes) -> None:
    with file.open("wb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(opened.fileno())


def _safe(address: str) -> str:
    return "".join(c if c.isalnum() or c in "@.-_+" else "_" for c in address)[:80]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
