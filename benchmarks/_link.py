"""A link in whose way each packet takes its time, acknowledgements too, in a network namespace of its own.

The kernel's own (netem) is not on every machine. Here a TUN device has the address HERE on this side, and what is sent
to THERE comes back after the delay with both addresses exchanged, which leaves its checksums right: so a server that
listens on HERE is reached at THERE.

    unshare --net python -m benchmarks._link MILLISECONDS

It prints a line when the link is there, and carries packets until its stdin is closed.
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import struct
import subprocess
import sys
import time
from collections import deque
from typing import Self

HERE, THERE = "10.99.0.1", "10.99.0.2"
_NAME = "slow0"
#: linux/if_tun.h: TUNSETIFF, IFF_TUN | IFF_NO_PI.
_TUNSETIFF, _FLAGS = 0x400454CA, 0x0001 | 0x1000
_INSIDE = "SLOWPOST_BENCH_NAMESPACE"


def enter_namespace() -> None:
    """Start this program again in a network namespace of its own, unless it is there. Ends it where that can't be."""
    if os.environ.get(_INSIDE):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)  # noqa: S607
        return
    missing = [program for program in ("unshare", "ip") if not shutil.which(program)]
    if missing or os.geteuid() != 0:
        sys.exit(f"a slow link needs root, unshare (util-linux) and ip (iproute2); missing: {missing or 'root'}")
    os.environ[_INSIDE] = "1"
    words = [sys.executable, "-m", sys.modules["__main__"].__spec__.name, *sys.argv[1:]]  # type: ignore[union-attr]
    os.execvp("unshare", ["unshare", "--net", *words])  # noqa: S606, S607


class Link:
    """The link, while the block runs."""

    def __init__(self, delay_ms: float) -> None:
        """Prepare one on which a packet takes so many milliseconds."""
        self._delay_ms = delay_ms

    def __enter__(self) -> Self:
        """Set it up."""
        command = [sys.executable, "-m", "benchmarks._link", str(self._delay_ms)]
        self._process = subprocess.Popen(  # noqa: S603  (this file)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise OSError("there is no link: this needs root and /dev/net/tun")
        return self

    def __exit__(self, *_: object) -> None:
        """Take it away."""
        self._process.communicate(timeout=60)


def _carry(delay: float) -> None:
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH", _NAME.encode(), _FLAGS))
    for words in (["addr", "add", f"{HERE}/30", "dev", _NAME], ["link", "set", _NAME, "up"]):
        subprocess.run(["ip", *words], check=True)  # noqa: S603, S607
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    under_way: deque[tuple[float, bytes]] = deque()
    while True:
        wait = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        ready, _, _ = select.select([tun, sys.stdin], [], [], wait)
        if sys.stdin in ready:
            return
        if tun in ready:
            packet = os.read(tun, 65536)
            # IPv4; nothing else is meant for the other side.
            if packet[0] >> 4 == 4:
                exchanged = packet[:12] + packet[16:20] + packet[12:16] + packet[20:]
                under_way.append((time.monotonic() + delay, exchanged))
        while under_way and under_way[0][0] <= time.monotonic():
            os.write(tun, under_way.popleft()[1])


if __name__ == "__main__":
    _carry(float(sys.argv[1]) / 1000)
