"""Who reads a mailbox: one process at a time, so that an account has one connection.

Writes: the mailbox's row. The right lasts `HELD_FOR` and is taken anew as long as somebody reads; of a process that has
died another takes it when that is over. Trouble: whoever finds that it is another's by now stops (`LostError`).
"""

from __future__ import annotations

import datetime as dt
import os
import secrets
import socket
import time
from dataclasses import dataclass, field
from typing import Any

from models import Mailbox, database
from models.base import insert_new
from models.errors import SlowpostError
from pipeline.runtime.settings import settings

#: How long the right lasts at least.
HELD_FOR = dt.timedelta(minutes=3)
#: Seconds from one taking to the next.
_AGAIN = 30.0


class LostError(SlowpostError):
    """Another process reads the mailbox by now."""


@dataclass
class Lease:
    """The right to read a mailbox."""

    account_id: int
    holder: str
    taken_at: float = field(default_factory=time.monotonic)

    def keep(self) -> None:
        """Take the right anew, now and then. Raises LostError."""
        if time.monotonic() - self.taken_at < _AGAIN:
            return
        if not _update(self._mine(), held_until=_held_until()):
            raise LostError(f"another process reads the mailbox of account {self.account_id} by now")
        self.taken_at = time.monotonic()

    def give_back(self, **found: Any) -> None:
        """Give the right back, and store what there is to say of the mailbox."""
        _update(self._mine(), holder=None, held_until=None, **found)

    def store(self, **found: Any) -> None:
        """Store what there is to say of the mailbox."""
        _update(self._mine(), **found)

    def _mine(self) -> Any:
        return (Mailbox.account == self.account_id) & (Mailbox.holder == self.holder)


def take(account_id: int) -> Lease | None:
    """Return the right to read an account's mailbox; None: another process has it."""
    insert_new(Mailbox, account=account_id)
    now, holder = database.now(), f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(8)}"
    free = Mailbox.holder.is_null() | (Mailbox.held_until < now)
    taken = _update((Mailbox.account == account_id) & free, holder=holder, held_until=_held_until())
    return Lease(account_id, holder) if taken else None


def _held_until() -> dt.datetime:
    """Return until when the right lasts: longer than any command to a mailbox."""
    return database.now() + max(HELD_FOR, dt.timedelta(seconds=2 * _AGAIN + settings().mail_smtp_timeout))


def _update(which: Any, **values: Any) -> bool:
    return bool(Mailbox.update(**values).where(which).execute())
