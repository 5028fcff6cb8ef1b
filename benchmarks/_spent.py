"""What processes have used: CPU time and memory, of each and all that it has started, as Linux knows them (proc(5))."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")


def cpu(*pids: int) -> float:
    """Return the seconds of CPU time of these processes and all that they have started, also of what has ended."""
    # utime, stime, and those of children that have been waited for.
    return sum(int(ticks) * _TICK for pid in _family(pids) for ticks in _stat(pid)[11:15])


def memory(*pids: int) -> float:
    """Return the megabytes of memory of these processes and all that they have started; what several of them share is
    counted once.
    """
    return sum(_kibibytes(pid) for pid in _family(pids)) * 1024 / 1e6


def _family(pids: tuple[int, ...]) -> Iterator[int]:
    children, rest = _children(), list(pids)
    while rest:
        pid = rest.pop()
        yield pid
        rest += children.get(pid, ())


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (stat := _stat(int(folder.name))):
            found[int(stat[1])].append(int(folder.name))
    return found


def _stat(pid: int) -> list[str]:
    """Return the fields of a process from its state on; none if it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def _kibibytes(pid: int) -> int:
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return 0
