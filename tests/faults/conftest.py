"""How much is broken: a short form with every test run, the full counts with `script/faults`; and what came of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import effort
from tests.broker import vhost
from tests.builders import a_template, an_account
from tests.faults.oracle import oracle

#: Who leaves queues as a worker declares them.
FLEET = "fleet"


@pytest.fixture
def counts() -> Callable[[int, int], int]:
    """`counts(short, full)` is the number for this run."""
    return effort.counts


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Note what an experiment was and came to, as `report(kills=20, sent=500, …)`."""

    def note(**figures: Any) -> None:
        row = {"experiment": request.node.name, **figures}
        if effort.is_full():
            with Path(os.environ[effort.REPORT]).open("a") as file:
                file.write(json.dumps(row) + "\n")

    return note


@pytest.fixture
def mail_server(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """An oracle: its port and its file."""
    with oracle(tmp_path) as running:
        yield running


@pytest.fixture
def file(request: pytest.FixtureRequest, postgres: str, mail_server: tuple[int, Path]) -> Path:
    """What the oracle accepts from the accounts, as many as the test's file says; there is a template, too."""
    port, file = mail_server
    a_template()
    for _ in range(request.module.ACCOUNTS):
        an_account(port=port)
    return file


@pytest.fixture
def rabbitmq(rabbitmq_url: str) -> Iterator[str]:
    """A vhost without messages."""
    vhost.empty(rabbitmq_url, FLEET)
    yield rabbitmq_url
    vhost.leave(rabbitmq_url, FLEET)
