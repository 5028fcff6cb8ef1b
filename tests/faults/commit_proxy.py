"""A proxy before PostgreSQL that knows a COMMIT when it sees one, and whose it is: it cuts the connection before the
server gets it, or when the server has committed and the answer is on its way.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator

from models.requests import SEPARATOR
from tests.faults.proxy import Fault, Plan, Proxy

#: What a transaction has said that is a stage's, a claim or an outcome; the first that fits. All words have to be in
#: its statements.
KINDS: dict[str, tuple[str, ...]] = {
    "claim": ('UPDATE "delivery"', "'sending'", 'INSERT INTO "attempt"'),
    "outcome": ('UPDATE "attempt"', 'UPDATE "delivery"', "'accepted'"),
    "intake": ('INSERT INTO "delivery"',),
    "dedupe": ('UPDATE "delivery"', "'cleared'", "'selected'"),
    "render": ('UPDATE "delivery"', '"subject"', "'cleared'"),
    "reserve": ("pg_advisory_xact_lock", 'UPDATE "delivery"', "'reserved'"),
    "record": ('UPDATE "delivery"', '"recorded_at" ='),
}
#: Where a COMMIT is cut.
BEFORE, AFTER = "before", "after"

_STARTS = 196608
_COMMITTED = b"COMMIT\x00"

Pair = tuple[asyncio.StreamWriter, asyncio.StreamWriter]


class CommitProxy(Proxy):
    """Cuts one COMMIT each time it is armed.

    Attributes:
        seen: how many transactions of each kind have come by.
    """

    def __init__(self, target_port: int) -> None:
        """Pass on to `target_port`."""
        super().__init__(target_port)
        self._armed: tuple[str, str] | None = None
        self._away = 0.0
        self._is_away_until = 0.0
        self._cut = threading.Event()
        self._answers: set[Pair] = set()
        self.seen: dict[str, int] = dict.fromkeys(KINDS, 0)

    def arm(self, kind: str, where: str, away: float = 0.0) -> None:
        """Cut the next COMMIT of this kind, there; the server can't be reached for `away` seconds afterwards."""
        self._cut.clear()
        self._away = away
        self._armed = (kind, where)

    def disarm(self) -> None:
        """Cut no COMMIT any more that has not come by yet."""
        self._armed = None

    def has_cut(self, patience: float) -> bool:
        """Wait until that has happened; tell whether it has."""
        return self._cut.wait(patience)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if time.monotonic() < self._is_away_until:
            writer.transport.abort()
        else:
            await super()._pass(reader, writer)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        plan: Plan,  # noqa: ARG002  (a plan is of bytes; here it is COMMITs that are cut)
        direction: str,
        pair: Pair,
    ) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await (self._up(reader, writer, pair) if direction == "up" else self._down(reader, writer, pair))

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: Pair) -> None:
        has_started = False
        said: list[str] = []
        while True:
            kind = await reader.readexactly(1) if has_started else b""
            length = await reader.readexactly(4)
            body = await reader.readexactly(int.from_bytes(length) - 4)
            has_started = has_started or int.from_bytes(body[:4]) == _STARTS
            if kind == b"Q":
                for statement in body[:-1].decode().split(SEPARATOR):
                    if statement == "BEGIN":
                        said = []
                    elif statement == "COMMIT" and self._is_cut(said, pair):
                        return
                    said.append(statement)
            writer.write(kind + length + body)
            await writer.drain()

    def _is_cut(self, said: list[str], pair: Pair) -> bool:
        """Tell whether the connection was cut at this COMMIT, or see to it that it is at its answer."""
        kind = kind_of(said)
        if kind is None:
            return False
        self.seen[kind] += 1
        if self._armed is None or kind != self._armed[0]:
            return False
        (_, where), self._armed = self._armed, None
        if where == AFTER:
            self._answers.add(pair)
            return False
        self._do_cut(pair)
        return True

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: Pair) -> None:
        answer = b""
        while data := await reader.read(65536):
            if pair not in self._answers:
                writer.write(data)
                await writer.drain()
                continue
            answer += data
            if _COMMITTED in answer:
                self._answers.discard(pair)
                self._do_cut(pair)
                return

    def _do_cut(self, pair: Pair) -> None:
        self._break(pair, Fault.CUT)
        self._is_away_until = time.monotonic() + self._away
        self._cut.set()


def kind_of(said: list[str]) -> str | None:
    """Return whose transaction this is, or None."""
    return next(_kinds_of("\n".join(said)), None)


def _kinds_of(text: str) -> Iterator[str]:
    return (kind for kind, words in KINDS.items() if all(word in text for word in words))
