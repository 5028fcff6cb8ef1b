"""Counts what passes between Slowpost and its servers: requests to PostgreSQL, commits, and messages to RabbitMQ.

It is a proxy before a server, so that it counts every process that connects through it, and what is sent and not what
a library calls: several statements in one request are one request.
PostgreSQL: https://www.postgresql.org/docs/current/protocol-message-formats.html, without encryption
(`?sslmode=disable`). AMQP 0-9-1: section 2.3.5, general frame format.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from models.requests import SEPARATOR
from tests.faults.proxy import Plan, Proxy

#: `Q`: a simple query, `S`: the end of an extended one; each is one round trip.
_REQUESTS = b"QS"
_WRITES = (b"INSERT", b"UPDATE", b"DELETE", b"MERGE", b"COPY")
_IDLE = b"I"
#: class 60, method 40 (basic.publish), in a frame of type 1.
_METHOD, _PUBLISH = 1, bytes((0, 60, 0, 40))
_PROTOCOL_HEADER = len("AMQP0091")


@dataclass(frozen=True)
class Counts:
    """What has passed.

    Attributes:
        requests: to PostgreSQL, each with one answer; BEGIN and COMMIT are two of them.
        commits: transactions that were committed, and writes outside of one.
        messages: that were published to RabbitMQ.
    """

    requests: int = 0
    commits: int = 0
    messages: int = 0

    def __sub__(self, other: Counts) -> Counts:
        """Return what has passed since."""
        return Counts(self.requests - other.requests, self.commits - other.commits, self.messages - other.messages)

    def __add__(self, other: Counts) -> Counts:
        """Return what both have counted."""
        return Counts(self.requests + other.requests, self.commits + other.commits, self.messages + other.messages)


class Wire(Proxy):
    """A proxy that looks at what passes, and changes nothing.

    Attributes:
        counts: of all connections since it has begun.
    """

    def __init__(self, target_port: int) -> None:
        """Pass on to `target_port` of this machine."""
        super().__init__(target_port)
        self.counts = Counts()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        plan: Plan,  # noqa: ARG002  (nothing is broken here)
        direction: str,
        pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter],  # noqa: ARG002
    ) -> None:
        look = self._up() if direction == "up" else self._down()
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                look(data)
                writer.write(data)
                await writer.drain()

    def _up(self) -> Callable[[bytes], None]:
        """Return what is given all that one connection sends to the server."""
        raise NotImplementedError

    def _down(self) -> Callable[[bytes], None]:
        """Return what is given all that the server answers."""
        return lambda _data: None


class PostgresWire(Wire):
    """Counts requests and commits.

    Attributes:
        statements: the text of each simple query, in their order.
    """

    def __init__(self, target_port: int) -> None:
        """Pass on to PostgreSQL at `target_port` of this machine."""
        super().__init__(target_port)
        self.statements: list[str] = []

    def _up(self) -> Callable[[bytes], None]:
        buffer, has_started = bytearray(), False

        def look(data: bytes) -> None:
            nonlocal has_started
            buffer.extend(data)
            if not has_started:
                # The first message alone has no type.
                if len(buffer) < 4 or len(buffer) < int.from_bytes(buffer[:4]):
                    return
                del buffer[: int.from_bytes(buffer[:4])]
                has_started = True
            for kind, body in _messages(buffer):
                if kind in _REQUESTS:
                    self.counts += Counts(requests=1)
                    if kind == b"Q":
                        self.statements.append(body[:-1].decode())

        return look

    def _down(self) -> Callable[[bytes], None]:
        buffer = bytearray()
        was_idle, has_written = True, False

        def look(data: bytes) -> None:
            nonlocal was_idle, has_written
            buffer.extend(data)
            for kind, body in _messages(buffer):
                if kind == b"C" and body == b"COMMIT\0":
                    self.counts += Counts(commits=1)
                    has_written = False
                elif kind == b"C":
                    has_written = has_written or body.startswith(_WRITES)
                elif kind == b"Z":
                    is_idle = body == _IDLE
                    self.counts += Counts(commits=was_idle and is_idle and has_written)
                    was_idle, has_written = is_idle, False

        return look


class AmqpWire(Wire):
    """Counts messages that are published to RabbitMQ."""

    def _up(self) -> Callable[[bytes], None]:
        buffer, to_skip = bytearray(), _PROTOCOL_HEADER

        def look(data: bytes) -> None:
            nonlocal to_skip
            buffer.extend(data)
            if len(buffer) < to_skip:
                return
            del buffer[:to_skip]
            to_skip = 0
            self.counts += Counts(messages=sum(_publishes(buffer)))

        return look


def in_short(request: str) -> str:
    """Return a request in a few words: of each of its statements the verb, the table it is about, and whether it locks
    its rows.
    """
    return "; ".join(map(_in_short, request.split(SEPARATOR)))


def _in_short(statement: str) -> str:
    *together, _ = statement.split(" AS asked (")
    if together:
        tables = [re.search(r'FROM "(\w+)"', question) for question in together]
        return f"SELECT clock, {', '.join(table[1] for table in tables if table)}"
    table = re.search(r'(?:FROM|INTO|^UPDATE) "(\w+)"', statement)
    if table is None:
        return statement
    locked = " locked" if "FOR NO KEY UPDATE" in statement else ""
    return f"{statement.split()[0]} {table[1]}{locked}"


def _messages(buffer: bytearray) -> Iterator[tuple[bytes, bytes]]:
    """Take the whole messages of PostgreSQL off the buffer's front: type and body of each."""
    at = 0
    while len(buffer) >= at + 5 and len(buffer) >= (end := at + 1 + int.from_bytes(buffer[at + 1 : at + 5])):
        yield bytes(buffer[at : at + 1]), bytes(buffer[at + 5 : end])
        at = end
    del buffer[:at]


def _publishes(buffer: bytearray) -> Iterator[bool]:
    """Take the whole frames of AMQP off the buffer's front; tell of each whether it publishes."""
    at = 0
    while len(buffer) >= at + 7 and len(buffer) >= (end := at + 8 + int.from_bytes(buffer[at + 3 : at + 7])):
        yield buffer[at] == _METHOD and buffer[at + 7 : at + 11] == _PUBLISH
        at = end
    del buffer[:at]
