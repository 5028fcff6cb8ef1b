"""The oracle: an SMTP server in a process of its own that knows, whatever dies, which messages were accepted.

Each accepted message is a line of its file, on disk before the 250 goes out (RFC 5321 6.1): time, sender, recipient,
Message-ID. The 250 follows a moment later, so that a kill can come between dot and reply.

    python -m tests.faults.oracle FILE PORT_FILE
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path

#: Where `python -m tests.…` finds its module.
ROOT = Path(__file__).parents[2]


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


@contextmanager
def oracle(folder: Path) -> Iterator[tuple[int, Path]]:
    """Run an oracle in a process; yield its port and its file."""
    file, port_file = folder / "accepted", folder / "port"
    file.touch()
    command = [sys.executable, "-m", "tests.faults.oracle", str(file), str(port_file)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            deadline = time.monotonic() + 20
            while not (port_file.exists() and port_file.read_text()):
                assert process.poll() is None, "the oracle did not start"
                assert time.monotonic() < deadline, "the oracle does not answer"
                time.sleep(0.02)
            yield int(port_file.read_text()), file
        finally:
            process.kill()


class _Session:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender = recipient = ""
        writer.write(b"220 oracle\r\n")
        while line := (await reader.readline()).decode():
            word = line.strip().upper().partition(" ")[0].partition(":")[0]
            if word == "EHLO":
                writer.write(b"250-oracle\r\n250-PIPELINING\r\n250 SIZE 1000000\r\n")
            elif word == "MAIL":
                sender = _address(line)
                writer.write(b"250 2.1.0 ok\r\n")
            elif word == "RCPT":
                recipient = _address(line)
                writer.write(b"250 2.1.5 ok\r\n")
            elif word == "DATA":
                writer.write(b"354 go on\r\n")
                data = await reader.readuntil(b"\r\n.\r\n")
                self._keep(sender, recipient, str(message_from_bytes(data)["Message-ID"]))
                await asyncio.sleep(0.05)
                writer.write(b"250 2.0.0 kept\r\n")
            elif word == "QUIT":
                writer.write(b"221 2.0.0 bye\r\n")
                return
            else:
                writer.write(b"250 2.0.0 ok\r\n")
            await writer.drain()

    def _keep(self, sender: str, recipient: str, message_id: str) -> None:
        os.write(self._descriptor, f"{time.time()}\t{sender}\t{recipient}\t{message_id}\n".encode())
        os.fsync(self._descriptor)


def _address(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]


async def _serve(file: str, port_file: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    server = await asyncio.start_server(_Session(descriptor), "127.0.0.1", 0)
    Path(port_file).write_text(str(server.sockets[0].getsockname()[1]))
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
