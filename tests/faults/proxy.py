"""A TCP proxy between Slowpost and a server that resets, swallows or cuts what passes through it, at byte N.

It runs in a thread of the test. `plan` says what becomes of the connections opened from then on; those that are open
keep what they were opened with, but for `break_all`.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

T = TypeVar("T")


class Fault(StrEnum):
    """What becomes of a connection."""

    NONE = "none"
    #: RST to both sides.
    RESET = "reset"
    #: Open, and silent: nothing passes any more, in either direction.
    BLACKHOLE = "blackhole"
    #: FIN to both sides, after exactly so many bytes.
    CUT = "cut"


@dataclass(frozen=True)
class Plan:
    """What happens, after how many bytes, and of which direction: `up` is to the server, `down` is its answer."""

    fault: Fault = Fault.NONE
    after: int = 0
    direction: str = "down"


class Proxy:
    """Listens on a loopback port of its own.

    Attributes:
        port: where Slowpost connects.
        faults: when a connection was broken (UTC).
    """

    def __init__(self, target_port: int) -> None:
        """Pass on to `target_port`."""
        self._target = target_port
        self._plan: Callable[[], Plan] = Plan
        self._open: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._silent: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.faults: list[dt.datetime] = []
        self.port = 0

    def __enter__(self) -> Proxy:
        """Start to listen."""
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._pass, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        """Break what is open, and stop."""
        self.break_all(Fault.RESET)
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def plan(self, plan: Plan | Callable[[], Plan]) -> None:
        """Let the connections opened from now on have this plan, or each its own."""
        self._plan = plan if callable(plan) else lambda: plan

    def break_all(self, fault: Fault = Fault.RESET) -> int:
        """Break all connections that are open (RESET or CUT); return how many."""

        async def do() -> int:
            pairs = list(self._open)
            for pair in pairs:
                self._break(pair, fault)
            return len(pairs)

        return self._do(do())

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            _reset(writer)
            return
        pair = (writer, up_writer)
        self._open.add(pair)
        plan = self._plan()
        pumps = [
            asyncio.ensure_future(self._pump(reader, up_writer, plan, "up", pair)),
            asyncio.ensure_future(self._pump(up_reader, writer, plan, "down", pair)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        if plan.fault is not Fault.BLACKHOLE:
            for pump in pumps:
                pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        self._open.discard(pair)
        for end in pair:
            end.close()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        plan: Plan,
        direction: str,
        pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        passed = 0
        silent = False
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                left = plan.after - passed
                is_due = plan.fault is not Fault.NONE and direction == plan.direction and len(data) >= left
                if is_due and not silent:
                    data = data[: max(0, left)]
                    writer.write(data)
                    with contextlib.suppress(OSError):
                        await writer.drain()
                    if plan.fault is not Fault.BLACKHOLE:
                        self._break(pair, plan.fault)
                        return
                    silent = True
                    self._silent.add(pair)
                    self.faults.append(dt.datetime.now(dt.UTC))
                elif pair not in self._silent:
                    writer.write(data)
                    await writer.drain()
                passed += len(data)

    def _break(self, pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter], fault: Fault) -> None:
        self.faults.append(dt.datetime.now(dt.UTC))
        for writer in pair:
            _reset(writer) if fault is Fault.RESET else writer.close()

    async def _close(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _do(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(10)


def _reset(writer: asyncio.StreamWriter) -> None:
    found = writer.get_extra_info("socket")
    if found is not None:
        with contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
