"""All tests side by side, in several processes: most of them wait, for a server, a process or a timeout.

`script/test` runs all tests, or those of directories, so; with -k or a file it runs what is asked for in one process,
which starts at once. Each process has a database, a vhost and ports of its own; the servers are started once.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests import servers

#: Processes for each core, and at most.
PER_CORE, MOST = 2, 8
#: What takes long, the longest first, so that nothing long is left for the end; each of these tests goes by itself …
LONG = (
    "tests/faults/test_rabbitmq.py",
    "tests/faults/test_rabbitmq_losses.py",
    "tests/faults/test_soak.py",
    "tests/stages/test_state_machine.py",
    "tests/faults/test_smtp.py",
    "tests/faults/test_postgres.py",
    "tests/stages/test_bad_accounts.py",
    "tests/stages/test_month.py",
    "tests/stages/test_races.py",
    "tests/faults/",
    "tests/broker/test_trouble.py",
    "tests/broker/test_start.py",
    "tests/broker/test_bad_messages.py",
    "tests/broker/test_route.py",
    "tests/stages/test_pace.py",
    "tests/cli/test_process.py",
    "tests/unit/test_throttle_properties.py",
)
#: … but for those that share what is dear to start: a server of their own, or eight processes. They go together, as do
#: all other tests of a file.
TOGETHER = (
    "tests/faults/test_rabbitmq.py",
    "tests/faults/test_postgres.py",
    "tests/stages/test_races.py",
    "tests/broker/test_trouble.py",
)


class LongestFirst(LoadScopeScheduling):
    """Hands out tests in the order of LONG."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file in TOGETHER or not file.startswith(LONG) else nodeid


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes `-n auto` is: none but this where somebody asks for something in particular."""
    is_narrow = config.option.keyword or config.option.markexpr or not all(Path(a).is_dir() for a in config.args)
    if is_narrow or config.option.collectonly:
        return 0
    return min(MOST, PER_CORE * len(os.sched_getaffinity(0)), servers.most_vhosts())


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LongestFirst:
    """Return who hands out tests to the processes."""
    return LongestFirst(config, log)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Have the servers before there is more than one process, which find them in their environment."""
    if number := len(session.config.getoption("tx", None) or ()):
        session.config.option.loadscopereorder = False
        # Another process would find no vhost that is its own.
        session.config.option.maxworkerrestart = 0
        running = contextlib.ExitStack()
        session.config.add_cleanup(running.close)
        os.environ[servers.POSTGRES_VARIABLE] = running.enter_context(servers.postgres())
        os.environ[servers.RABBITMQ_VARIABLE] = ",".join(running.enter_context(servers.rabbitmq(number)))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put what takes longest first, where there are several processes."""
    if hasattr(config, "workerinput"):
        items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    return next((rank for rank, start in enumerate(LONG) if item.nodeid.startswith(start)), len(LONG))
