"""Raw messages from files: an mbox, a Maildir, one message. Streamed: of each no more is kept than is looked at."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from models.errors import SlowpostError
from pipeline.inbound.head import Head, head_of
from pipeline.inbound.message import MAX_BYTES

#: Octets that are read together.
_CHUNK = 65_536
#: Octets, without carriage returns, from which on a mail is known again by its beginning: its size takes all of it.
_KEYED = 100_000
#: Folders of a Maildir in which messages are (maildir(5)); what is in `tmp` is being written.
_OF_MAILDIR = ("new", "cur")
#: The line before each mail of an mbox: who, and when (RFC 4155 A). Some leave lines of a text that begin so alone.
_BEGINS, _ESCAPED = re.compile(rb"From .*\d:\d\d"), re.compile(rb">+From ")


class NotMailError(SlowpostError):
    """A file holds no mail; the message says what is expected."""


@dataclass(frozen=True)
class Mail:
    """A raw message as far as it is looked at.

    Attributes:
        octets: its beginning, at most MAX_BYTES.
        size: all its octets, without carriage returns and empty lines at its end, which a store may add or leave out.
    """

    octets: bytes
    size: int

    @cached_property
    def head(self) -> Head:
        """Its own header fields."""
        lines = self.octets[:_CHUNK].replace(b"\r\n", b"\n")
        return head_of(lines.partition(b"\n\n")[0].decode("utf-8", "replace"))

    @property
    def key(self) -> str:
        """Return by what it is known again: a hash of its Message-ID and size; without one, or of a long mail, of its
        beginning.
        """
        own, is_long = self.head.get("message-id").encode(), self.size > _KEYED
        text = b"" if own and not is_long else self.octets.replace(b"\r", b"")[:_KEYED]
        return hashlib.sha256(own + text + b"\0%d" % (_KEYED if is_long else self.size)).hexdigest()


def mail_of(beginning: bytes) -> Mail:
    """Return a mail of which these are the first MAX_BYTES octets, or all."""
    return _gathered(iter([beginning]))


def mails_in(path: Path) -> Iterator[Mail]:
    """Return the messages of a Maildir, an mbox, or a file that is one message. Raises OSError, NotMailError."""
    if path.is_dir():
        folders = [path / name for name in _OF_MAILDIR if (path / name).is_dir()]
        if not folders:
            raise NotMailError("it is a folder, and no Maildir: that has the folders `new` and `cur`")
        yield from _of_files(folders)
        return
    with path.open("rb") as file:
        yield from mails_of(file)


def mails_of(file: BinaryIO) -> Iterator[Mail]:
    """Return the messages of an mbox (it begins with `From `), or the only one. Raises NotMailError."""
    first = file.readline(_CHUNK)
    if not first:
        return
    if first.startswith(b"From "):
        yield from _of_mbox(_lines(file, first))
        return
    if (
        not first.partition(b":")[0].strip(b"\xef\xbb\xbf").replace(b"-", b"").replace(b"_", b"").isalnum()
        or b":" not in first
    ):
        raise NotMailError("it begins neither with a header field nor, as an mbox does, with `From `")
    yield _gathered(_lines(file, first))


def _of_files(folders: list[Path]) -> Iterator[Mail]:
    for folder in folders:
        # One folder's names are all in memory: 100,000 take some 10 MB.
        for path in sorted(one for one in folder.iterdir() if not one.name.startswith(".")):
            try:
                with path.open("rb") as file:
                    yield _gathered(iter(lambda file=file: file.read(_CHUNK), b""))  # type: ignore[misc]
            except (FileNotFoundError, IsADirectoryError):
                continue  # a mail program has moved it; or it is none


def _lines(file: BinaryIO, first: bytes) -> Iterator[bytes]:
    return chain([first], iter(lambda: file.readline(_CHUNK), b""))


def _of_mbox(lines: Iterator[bytes]) -> Iterator[Mail]:
    """Divide an mbox at the lines `From ` behind an empty one (RFC 4155)."""
    next(lines)
    more = True
    while more:
        more = False

        def one() -> Iterator[bytes]:
            nonlocal more
            was_empty, in_line = False, False
            for line in lines:
                if was_empty and not in_line and _BEGINS.match(line):
                    more = True
                    return
                was_empty = not in_line and line in (b"\n", b"\r\n")
                in_line = not line.endswith(b"\n")
                yield line[1:] if _ESCAPED.match(line) else line

        yield _gathered(one())


def _gathered(pieces: Iterator[bytes]) -> Mail:
    kept, size, at_end = bytearray(), 0, 0
    for piece in pieces:
        if len(kept) < MAX_BYTES:
            kept += piece[: MAX_BYTES - len(kept)]
        text = piece.replace(b"\r", b"")
        size += len(text)
        bare = len(text.rstrip(b"\n"))
        at_end = len(text) - bare if bare else at_end + len(text)
    return Mail(bytes(kept), size - at_end)
