"""The connections of a process, kept between messages: one live connection for each account."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.smtp.connection import Connection, Endpoint, log_in
from pipeline.smtp.transaction import Transaction


class Connections:
    """The connections of a process, kept between messages. Safe for threads; a connection is used by one at a time."""

    def __init__(self, *, max_messages: int = 100, max_idle: float = 30) -> None:
        """Start with none; one is closed after `max_messages`, or `max_idle` seconds without one."""
        self._max_messages, self._max_idle = max_messages, max_idle
        self._kept: dict[int, Connection] = {}
        self._lock = threading.Lock()
        self._reaper: threading.Thread | None = None

    @contextmanager
    def transaction(self, endpoint: Endpoint) -> Iterator[Transaction]:
        """Give the block a transaction with the account's server; a connection still open afterwards is kept."""
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

    def _take(self, endpoint: Endpoint, *, new: bool = False) -> Connection:
        """Return the connection that is kept, if it can still be used and no `new` one is wanted, else a new one."""
        with self._lock:
            kept = self._kept.pop(endpoint.account_id, None)
        if kept is not None:
            if not new and self._is_fresh(kept, endpoint) and kept.is_alive():
                return kept
            kept.close(politely=True)
        return Connection(endpoint, log_in(endpoint))

    def _is_fresh(self, kept: Connection, endpoint: Endpoint) -> bool:
        return kept.endpoint == endpoint and kept.messages < self._max_messages and kept.idle < self._max_idle

    def _keep(self, connection: Connection) -> None:
        connection.used_at, connection.kept = time.monotonic(), True
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
            time.sleep(self._max_idle / 10)
            with self._lock:
                idle = [a for a, c in self._kept.items() if c.idle >= self._max_idle]
                closing = [self._kept.pop(account_id) for account_id in idle]
                if not self._kept:
                    self._reaper = None
            for connection in closing:
                connection.close(politely=True)
            if self._reaper is not threading.current_thread():
                return
