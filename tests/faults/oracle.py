"""The oracle: an SMTP server in a process of its own that knows, whatever dies, which messages were accepted.

Each accepted message is a line of its file, on disk before the 250 goes out (RFC 5321 6.1): time, sender, recipient,
Message-ID. The 250 follows a moment later, so that a kill can come between dot and reply.

    python -m tests.faults.oracle FOLDER SECONDS_TO_REPLY [MISBEHAVIOUR …]
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import json
import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from email import message_from_bytes
from pathlib import Path
from typing import Any

from tests.faults.starter import USUAL, Starter

#: Seconds from a dot to its reply.
REPLIES_AFTER = 0.05
#: Tells the process another number.
VARIABLE = "ORACLE_REPLIES_AFTER"


@dataclass(frozen=True)
class Accepted:
    """A message the server has answered for: when (UTC, seconds), from and to whom, and its Message-ID."""

    at: float
    sender: str
    recipient: str
    message_id: str


def accepted(file: Path) -> list[Accepted]:
    """Return what stands in an oracle's file."""
    lines = (line.split("\t") for line in file.read_text().splitlines())
    return [Accepted(float(at), sender, recipient, message_id) for at, sender, recipient, message_id in lines]


#: The moments at which a server can misbehave. HELO comes where EHLO is refused, RSET before the second message of a
#: connection, and QUIT where that is refused.
STEPS = ("GREETING", "EHLO", "HELO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "DOT", "RSET", "QUIT")
#: What it does there. `closes-before` and `silent` after the dot: the message is not accepted; `floods` (10 MiB),
#: `garbles` and `drips` (byte by byte): it is.
ACTIONS = ("4yz", "5yz", "closes-before", "closes-after", "silent", "floods", "garbles", "drips")
#: What it does only after it has accepted a message: the 250 never comes, or just before or after DATA_TIMEOUT.
AFTER_ACCEPTING = ("accepts-and-closes", "accepts-and-is-silent", "in-time", "too-late")
#: The last words of a dialogue after which nobody but the oracle knows whether the message was accepted.
_TELLS = ("4yz", "5yz", "closes-after", "in-time")
#: The client's timeouts, in seconds, against which `in-time` and `too-late` are measured.
SMTP_TIMEOUT, DATA_TIMEOUT = 2.0, 3.0
#: Seconds between two bytes of what drips, and how many there are.
DRIP_EVERY, DRIPS = 0.2, 300


@dataclass(frozen=True)
class Misbehaviour:
    """What a port of the oracle is for: a step, what it does there, and whether it offers PIPELINING."""

    step: str
    action: str
    pipelining: bool = True

    def __str__(self) -> str:
        return f"{self.step}/{self.action}" + ("" if self.pipelining else "/stepwise")

    @classmethod
    def parse(cls, text: str) -> Misbehaviour:
        """Return what `str` made a text of."""
        step, action, *stepwise = text.split("/")
        return cls(step, action, not stepwise)

    @property
    def leaves_doubt(self) -> bool:
        """Tell whether the client can't know what has become of the message."""
        return self.step == "DOT" and self.action not in _TELLS

    @property
    def accepts(self) -> bool:
        """Tell whether the message is accepted all the same."""
        return self.step == "DOT" and self.action not in ("4yz", "5yz", "closes-before", "silent")


@dataclass(frozen=True)
class Misbehaved:
    """What the oracle has done: when (UTC, seconds), and in which dialogue.

    Attributes:
        held: how long the client then waited until it hung up; None while it still waits.
    """

    at: float
    what: str
    recipient: str
    message_id: str
    held: float | None = None

    @property
    def kind(self) -> Misbehaviour:
        """How it misbehaved."""
        return Misbehaviour.parse(self.what)

    @property
    def time(self) -> dt.datetime:
        """When, as the invariants want it."""
        return dt.datetime.fromtimestamp(self.at, dt.UTC)


def misbehaved(folder: Path) -> list[Misbehaved]:
    """Return what an oracle has done, the last word on each dialogue."""
    rows = [Misbehaved(**json.loads(line)) for line in (folder / "misbehaved").read_text().splitlines()]
    return list({(row.at, row.what): row for row in rows}.values())


@contextmanager
def oracle(folder: Path, replies_after: float = REPLIES_AFTER) -> Iterator[tuple[int, Path]]:
    """Run an oracle in a process that always behaves, and replies to a dot after so many seconds; yield its port and
    its file.
    """
    with misbehaving(folder, [], replies_after) as ports:
        yield ports[0], folder / "accepted"


@contextmanager
def misbehaving(
    folder: Path, misbehaviours: Sequence[Misbehaviour], replies_after: float = REPLIES_AFTER
) -> Iterator[list[int]]:
    """Run an oracle in a process; yield its good port, and one for each misbehaviour; `accepted` and `misbehaved` in
    `folder` are its files.
    """
    port_file = folder / "port"
    for name in ("accepted", "misbehaved"):
        (folder / name).touch()
    starter, log = Starter(os.environ | USUAL), folder / "oracle.log"
    words = (str(folder), str(replies_after), *map(str, misbehaviours))
    process = starter.start("tests.faults.oracle", *words, log=log, **{VARIABLE: str(replies_after)})
    try:
        deadline = time.monotonic() + 20
        while not port_file.exists():
            assert process.poll() is None, f"the oracle did not start: {log.read_text()}"
            assert time.monotonic() < deadline, "the oracle does not answer"
            time.sleep(0.02)
        yield [int(port) for port in port_file.read_text().split()]
    finally:
        starter.close()


#: What is said to commands that are not answered with 250; there is no TLS, only its refusal.
_REPLIES = {"STARTTLS": b"454 4.7.0 not now", "AUTH": b"235 2.7.0 welcome", "QUIT": b"221 2.0.0 bye"}


class _CutError(Exception):
    """This dialogue has ended."""


class _Port:
    """A port, and whether it still has to misbehave."""

    def __init__(self, files: dict[str, int], replies_after: float, misbehaviour: Misbehaviour | None) -> None:
        self.files = files
        self.replies_after = replies_after
        self.misbehaviour = misbehaviour
        self.is_due = misbehaviour is not None

    @property
    def refuses(self) -> tuple[str, ...]:
        """The command without which the client comes to the step that this port is for."""
        step = self.misbehaviour.step if self.misbehaviour else ""
        return {"HELO": ("EHLO",), "QUIT": ("RSET",)}.get(step, ())

    @property
    def offers(self) -> bytes:
        """What EHLO is told."""
        if self.misbehaviour is None:
            return b"250-PIPELINING\r\n"
        pipelining = b"250-PIPELINING\r\n" if self.misbehaviour.pipelining else b""
        step = {"STARTTLS": b"250-STARTTLS\r\n", "AUTH": b"250-AUTH PLAIN\r\n"}.get(self.misbehaviour.step, b"")
        return pipelining + step

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Have a dialogue."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, _CutError):
            await _Session(self, reader, writer).talk()
        writer.close()

    def keep(self, file: str, line: str) -> None:
        """Write a line and have it on disk."""
        os.write(self.files[file], f"{line}\n".encode())
        os.fsync(self.files[file])


class _Session:
    def __init__(self, port: _Port, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._port, self._reader, self._writer = port, reader, writer
        self._sender = self._recipient = self._message_id = ""

    async def talk(self) -> None:
        """Answer until the client quits."""
        await self._say("GREETING", b"220 oracle")
        while line := (await self._reader.readline()).decode():
            word = line.strip().upper().partition(" ")[0].partition(":")[0]
            if word in self._port.refuses:
                await self._say("", b"502 5.5.1 not here")
            else:
                await self._answer(word, line)
            if word == "QUIT":
                return

    async def _answer(self, word: str, line: str) -> None:
        match word:
            case "EHLO":
                await self._say(word, b"250-oracle\r\n" + self._port.offers + b"250 SIZE 1000000")
            case "MAIL":
                self._sender, self._recipient, self._message_id = _address(line), "", ""
                await self._say(word, b"250 2.1.0 ok")
            case "RCPT":
                self._recipient = _address(line)
                if not await self._say(word, b"250 2.1.5 ok"):
                    self._recipient = ""
            case "DATA" if not self._recipient:
                await self._say("", b"503 5.5.1 no recipients")
            case "DATA":
                if await self._say(word, b"354 go on"):
                    await self._message()
            case _:
                await self._say(word, _REPLIES.get(word, b"250 2.0.0 ok"))

    async def _message(self) -> None:
        data = await self._reader.readuntil(b"\r\n.\r\n")
        self._message_id = str(message_from_bytes(data)["Message-ID"])
        due = self._port.misbehaviour if self._port.is_due else None
        if due is None or due.step != "DOT" or due.accepts:
            line = (str(time.time()), self._sender, self._recipient, self._message_id)
            self._port.keep("accepted", "\t".join(line))
            await asyncio.sleep(float(os.environ.get(VARIABLE, REPLIES_AFTER)))
        await self._say("DOT", b"250 2.0.0 kept")

    async def _say(self, step: str, reply: bytes) -> bool:
        """Reply, or misbehave; tell whether it was the good reply."""
        due = self._port.misbehaviour
        if due is None or not self._port.is_due or due.step != step:
            self._writer.write(reply + b"\r\n")
            await self._writer.drain()
            return True
        self._port.is_due = False
        row = Misbehaved(time.time(), str(due), self._recipient, self._message_id)
        self._port.keep("misbehaved", json.dumps(asdict(row)))
        try:
            with contextlib.suppress(ConnectionError):
                await self._misbehave(due.action, reply)
            if due.action in ("4yz", "5yz", "in-time"):
                return due.action == "in-time"
            if "closes" in due.action:
                # At once: a message's dot must not come in between.
                self._writer.close()
            else:
                with contextlib.suppress(ConnectionError):
                    while await self._reader.read(65536):
                        pass
            raise _CutError
        finally:
            held = asdict(row) | {"held": time.time() - row.at}
            self._port.keep("misbehaved", json.dumps(held))

    async def _misbehave(self, action: str, reply: bytes) -> None:
        write: Any = self._writer.write
        match action:
            case "4yz" | "5yz":
                write((b"451" if action == "4yz" else b"554") + b" misbehaves\r\n")
            case "closes-after":
                # In one segment: whatever this machine does meanwhile, the client has its end with the reply.
                self._writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
                write(reply + b"\r\n")
                self._writer.write_eof()
            case "floods":
                write(reply + b"x" * (10 << 20) + b"\r\n")
            case "garbles":
                write(os.urandom(64) + b"\r\n")
            case "drips":
                for byte in reply + b"." * DRIPS:
                    write(bytes([byte]))
                    await self._writer.drain()
                    if self._reader.at_eof():
                        break
                    await asyncio.sleep(DRIP_EVERY)
            case "in-time":
                await asyncio.sleep(DATA_TIMEOUT - 1)
                write(reply + b"\r\n")
            case "too-late":
                await asyncio.sleep(DATA_TIMEOUT + 0.5)
                write(reply + b"\r\n")
        await self._writer.drain()


def _address(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]


async def _serve(folder: str, replies_after: str, *misbehaviours: str) -> None:
    append = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    files = {name: os.open(Path(folder) / name, append, 0o600) for name in ("accepted", "misbehaved")}
    purposes = [None, *map(Misbehaviour.parse, misbehaviours)]
    ports = [_Port(files, float(replies_after), purpose) for purpose in purposes]
    listen = functools.partial(asyncio.start_server, host="127.0.0.1", port=0)
    servers = [await listen(port.serve) for port in ports]
    draft = Path(folder) / "port.draft"
    draft.write_text(" ".join(str(server.sockets[0].getsockname()[1]) for server in servers))
    draft.rename(Path(folder) / "port")
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
