"""A connection that has logged in to a mailbox: what is asked of it, and in what words it fails.

Reads: the mailbox, without changing a flag. Writes: nothing but what `append` is given. Trouble: whatever goes wrong is
a `MailboxError`; nothing takes longer than the timeout for a command, and no answer is longer than `client` allows.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from imapclient.exceptions import CapabilityError, IMAPClientAbortError, IMAPClientError

from models.errors import SlowpostError
from pipeline.imap.client import Client
from pipeline.imap.folders import Folder, State, folders_of

T = TypeVar("T")

#: Header fields with what a message is called.
OWN_IDS = ("Message-ID", "X-Microsoft-Original-Message-ID", "X-Google-Original-Message-ID")
#: Header fields by which it is told whether a message may be ours.
FIELDS = (
    *OWN_IDS,
    *("In-Reply-To", "References"),
    *("From", "To", "Cc", "Bcc", "Subject", "Date", "Return-Path", "Content-Type", "Auto-Submitted"),
    *("X-Failed-Recipients", "X-HmXmrOriginalRecipient"),
)
#: Octets of a message's header fields that are asked for.
MAX_HEAD = 65_536
#: Messages with the same Message-ID that are looked at.
MAX_NAMESAKES = 10
#: Characters of what a server says that are kept.
MAX_SAID = 300


class MailboxError(SlowpostError):
    """A mailbox can't be read, or not now; the message says why.

    Attributes:
        refused: the server has said no to the command, and the connection is as good as before.
    """

    def __init__(self, why: str, *, refused: bool = False) -> None:
        super().__init__(why)
        self.refused = refused


@dataclass(frozen=True)
class Listed:
    """A message, as far as its header tells.

    Attributes:
        uid: its number in the folder.
        head: the fields of its header that were asked for, as they are.
        gmail_id: X-GM-MSGID, which is the same in each of Gmail's folders; None: the server has none.
    """

    uid: int
    head: bytes
    gmail_id: int | None


@dataclass
class Connection:
    """A connection that has logged in; `where` its server is, for people."""

    client: Client
    where: str

    def folders(self) -> list[Folder]:
        """Return the folders that are read, by what they are for. Raises MailboxError."""
        return self.ask(folders_of, "LIST")

    def examine(self, folder: str) -> State:
        """Open a folder for reading only. Raises MailboxError; `refused`: it is not there."""
        return self.ask(lambda c: State.of(c.select_folder(folder, readonly=True)), f"EXAMINE {folder}")

    def since(self, uid: int, day: dt.date) -> list[int]:
        """Return the UIDs, from `uid` on and in their order, of messages of the open folder that it got on this day or
        later. Raises MailboxError.
        """
        found = self.ask(lambda c: c.search(["UID", f"{uid}:*", "SINCE", day]), "SEARCH")
        # `n:*` names the last message, whatever its number is (RFC 3501 6.4.8).
        return sorted(one for one in found if one >= uid)

    def uid_of(self, message_id: str) -> int | None:
        """Return the UID of the message of the open folder that has this Message-ID, with angle brackets, in its own
        header; None: there is none. Raises MailboxError.
        """
        first, second, third = (["HEADER", name, message_id] for name in OWN_IDS)
        found = self.ask(lambda c: c.search(["OR", *first, "OR", *second, *third]), "SEARCH")
        # A server may take words for a match that it is only part of.
        wants = [f"BODY.PEEK[HEADER.FIELDS ({' '.join(OWN_IDS)})]<0.{MAX_HEAD}>"]
        heads = self.ask(lambda c: c.fetch(sorted(found)[:MAX_NAMESAKES], wants), "FETCH")
        has_it = (uid for uid, head in heads.items() if message_id.encode() in (_section(head) or b""))
        return min(has_it, default=None)

    def heads(self, uids: Sequence[int]) -> Iterator[Listed]:
        """Yield what the headers of messages of the open folder tell. One that has gone is left out, and one that the
        server can't show. Raises MailboxError.
        """
        if not uids:
            return
        wants = [f"BODY.PEEK[HEADER.FIELDS ({' '.join(FIELDS)})]<0.{MAX_HEAD}>"]
        wants += ["X-GM-MSGID"] if self.ask(lambda c: c.has_capability("X-GM-EXT-1"), "CAPABILITY") else []
        try:
            found = self.ask(lambda c: c.fetch(list(uids), wants), "FETCH")
        except MailboxError as error:
            if not error.refused:
                raise
            # One of them is what it can't show: its neighbours are asked for without it.
            middle = len(uids) // 2
            for half in (uids[:middle], uids[middle:]) if middle else ():
                yield from self.heads(half)
            return
        for uid in uids:
            if (head := _section(found.get(uid, {}))) is not None:
                yield Listed(uid, head, _whole(found[uid].get(b"X-GM-MSGID")))

    def beginning(self, uid: int, octets: int) -> bytes | None:
        """Return the first octets of a message of the open folder; None: it has gone. Raises MailboxError."""
        found = self.ask(lambda c: c.fetch([uid], [f"BODY.PEEK[]<0.{octets}>"]), "FETCH")
        return _section(found.get(uid, {}))

    def append(self, folder: str, message: bytes, at: dt.datetime) -> None:
        """Put a message into a folder, as one that has been read. Raises MailboxError; `refused`: it is not there."""
        self.ask(lambda c: c.append(folder, message, (b"\\Seen",), at), "APPEND")

    def can_wait(self) -> bool:
        """Tell whether the server says by itself what is new (IDLE, RFC 2177). Raises MailboxError."""
        return bool(self.ask(lambda c: c.has_capability("IDLE"), "CAPABILITY"))

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        """Wait until the server says something of the open folder; tell whether it has. Raises MailboxError.

        Args:
            seconds: how long: less than 29 minutes, after which a server may hang up (RFC 2177 3).
            stop: ends the waiting.
        """
        self.ask(lambda c: c.idle(), "IDLE")
        until, news = time.monotonic() + seconds, False
        while not (news or stop.is_set() or time.monotonic() >= until):
            news = guarded(lambda: self.client.bounded.has_news(0.5), self.where)
        self.ask(lambda c: c.idle_done(), "IDLE")
        return news

    def close(self) -> None:
        """Log out and close it."""
        with suppress(MailboxError):
            self.ask(lambda c: c.logout(), "LOGOUT")
        self.drop()

    def drop(self) -> None:
        """Close it without a word; a thread that waits for an answer gets none."""
        with suppress(Exception):  # it may be closed, and by halves
            self.client.shutdown()

    def ask(self, command: Callable[[Client], T], what: str, *, secret: str | None = None) -> T:
        """Give a command, and return its answer. Raises MailboxError, in which `secret` is not quoted."""
        self.client.bounded.begin()
        return guarded(lambda: command(self.client), self.where, what, secret)


def guarded(do: Callable[[], T], where: str, what: str = "connecting", secret: str | None = None) -> T:
    """Do something with a server; whatever goes wrong becomes a MailboxError, in which `secret` is not quoted."""
    try:
        return do()
    except CapabilityError as error:
        raise MailboxError(f"{where}: {what} is not offered: {_said(error, secret)}") from None
    except IMAPClientAbortError as error:
        raise MailboxError(f"{where}: {what}: {_said(error, secret)}") from None
    except IMAPClientError as error:
        raise MailboxError(f"{where}: {what}: {_said(error, secret)}", refused=True) from None
    except OSError as error:
        raise MailboxError(f"{where}: {what}: {_said(error.strerror or error, secret)}") from None
    except Exception as error:  # the library's parsers raise whatever at an answer that is none
        raise MailboxError(f"{where}: {what}: an answer that is none ({type(error).__name__})") from None


def _said(error: object, secret: str | None) -> str:
    """Return what was said, in one line, and without what logs in."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
    return (text.replace(secret, "***") if secret else text)[:MAX_SAID]


def _section(found: dict[bytes, Any]) -> bytes | None:
    """Return the part of a message that was asked for."""
    values = (value for key, value in found.items() if key.startswith(b"BODY[") and isinstance(value, bytes))
    return next(values, None)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None
