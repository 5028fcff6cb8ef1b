"""Starts programs of Slowpost as `python -m` does, without importing it each time: that takes most of a second of a
core, and the tests start hundreds.

One process has imported what they need, for all tests, and forks when it is asked to; it has no thread and no
connection. What it forks is a process of its own, with an environment of its own, that reads its settings anew. That a
program also starts from nothing is shown by tests/faults/test_stop.py, tests/broker and tests/cli.

    python -m tests.faults.starter
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import queue
import runpy
import selectors
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from pipeline.runtime import failpoints, setting_types

ROOT = Path(__file__).parents[2]
#: What the programs import.
MODULES = (
    "slowpost.cli.service",
    "slowpost.cli.route",
    "slowpost.service",
    "schedules.scheduler",
    "schedules.sweep",
    "actors.stages",
    "tests.faults.oracle",
)
#: Variables that begin so are read when Dramatiq is imported, and not again.
READ_BY_IMPORTS = "dramatiq_"
#: What most programs are started with, so that one process has imported it for all: milliseconds after which Dramatiq
#: opens a lost connection again, as few as make a short run.
USUAL = {"dramatiq_restart_delay": "500"}
#: Seconds in which it has to have started a program: the first has to wait for its imports.
PATIENCE = 60


class Process:
    """A program that runs, or has ended: what a test needs of `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = threading.Event()

    def ends(self, returncode: int) -> None:
        """Note that it has ended."""
        self.returncode = returncode
        self._ended.set()

    def poll(self) -> int | None:
        """Return its exit code, negative for a signal; None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; return its exit code. Raises subprocess.TimeoutExpired if that takes longer."""
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens if it has ended."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self.send_signal(signal.SIGKILL)


class Starter:
    """Starts programs in one environment."""

    def __init__(self, environment: dict[str, str]) -> None:
        """Prepare; what is imported meanwhile, the first start waits for."""
        self._environment = environment
        self._warm = _warm(frozenset(pair for pair in environment.items() if pair[0].startswith(READ_BY_IMPORTS)))
        self._processes: list[Process] = []

    def start(self, module: str, *words: str, log: Path, **environment: str) -> Process:
        """Start a module with arguments, in the test's working directory; its output goes to the end of `log`."""
        process = self._warm.start(
            {
                "module": module,
                "words": words,
                "log": str(log),
                "folder": str(Path.cwd()),
                "environment": self._environment | environment,
            }
        )
        self._processes.append(process)
        return process

    def close(self) -> None:
        """Kill what still runs."""
        for process in self._processes:
            process.kill()
            process.wait(PATIENCE)


class _Warm:
    """The process that has imported what they need, for all tests of this process."""

    def __init__(self, read_by_imports: frozenset[tuple[str, str]]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.starter"],
            cwd=ROOT,
            # With failpoints; in which directory, each start says.
            env=os.environ | dict(read_by_imports) | {failpoints.VARIABLE: os.devnull},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lock = threading.Lock()
        self._started: queue.Queue[Process] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def start(self, request: dict[str, Any]) -> Process:
        """Start what is asked for."""
        with self._lock:
            assert self._process.stdin
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            return self._started.get(timeout=PATIENCE)

    def close(self) -> None:
        """Start nothing any more; what still runs is killed."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._reader.join()

    def _read(self) -> None:
        running: dict[int, Process] = {}
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                pid, *ended = map(int, line.split())
                if ended:
                    running.pop(pid).ends(*ended)
                else:
                    running[pid] = Process(pid)
                    self._started.put(running[pid])


_all_warm: dict[frozenset[tuple[str, str]], _Warm] = {}


def _warm(read_by_imports: frozenset[tuple[str, str]]) -> _Warm:
    if read_by_imports not in _all_warm:
        _all_warm[read_by_imports] = _Warm(read_by_imports)
    return _all_warm[read_by_imports]


def close_all() -> None:
    """End the processes that start others, when the last test is done."""
    while _all_warm:
        _all_warm.popitem()[1].close()


def _serve() -> dict[str, Any] | None:
    """Fork when a line asks for it; return what it asks for in the child, and nothing, at the end, in the parent."""
    running: dict[int, int] = {}
    with selectors.DefaultSelector() as watched, os.fdopen(os.dup(0), "rb", buffering=0) as requests:
        watched.register(requests, selectors.EVENT_READ)
        while True:
            for key, _ in watched.select():
                if key.data is not None:
                    pid = key.data
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    watched.unregister(key.fd)
                    os.close(running.pop(pid))
                    print(pid, code, flush=True)  # noqa: T201
                elif line := requests.readline():
                    pid = os.fork()
                    if pid == 0:
                        for other in running.values():
                            os.close(other)
                        return dict(json.loads(line))
                    print(pid, flush=True)  # noqa: T201
                    running[pid] = os.pidfd_open(pid)
                    watched.register(running[pid], selectors.EVENT_READ, pid)
                else:
                    for pid in running:
                        os.kill(pid, signal.SIGKILL)
                    return None


def _become(request: dict[str, Any]) -> None:
    """Be the program that is asked for."""
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    # Which directory it looks into was read when it was imported.
    importlib.reload(failpoints)
    sys.argv = [request["module"], *request["words"]]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    for name in MODULES:
        importlib.import_module(name)
    setting_types.zones()
    # What is there now is there for good: no collection is to touch, and so copy, it in each child.
    gc.collect()
    gc.freeze()
    if asked := _serve():
        _become(asked)
