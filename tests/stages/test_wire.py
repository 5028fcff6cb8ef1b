"""What is counted on the wire to PostgreSQL is what is sent, whoever sends it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest

from models import SmtpAccount, database
from models.database import db
from tests.builders import an_account
from tests.wire import Counts, PostgresWire


def several() -> None:
    with database.transaction():
        rename()
        rename()


def undone() -> None:
    with suppress(ValueError), database.transaction():
        rename()
        raise ValueError


def rename() -> None:
    SmtpAccount.update(name="another").execute()


def ask(statement: str) -> None:
    db.execute_sql(statement)


ONE = "SELECT 1"


@pytest.mark.parametrize(
    ("do", "requests", "commits"),
    [
        (partial(ask, ONE), 1, 0),
        (rename, 1, 1),
        (several, 3, 1),
        (undone, 2, 0),
        (partial(ask, f"{ONE}; {ONE}"), 1, 0),
        (partial(ask, "BEGIN; UPDATE smtp_account SET name = 'b'; COMMIT"), 1, 1),
    ],
    ids=["a question", "a write alone", "a transaction", "one undone", "two in one", "a transaction in one"],
)
def test_requests_and_commits_are_counted(
    wire: PostgresWire, do: Callable[[], object], requests: int, commits: int
) -> None:
    an_account()
    before = wire.counts

    do()

    assert wire.counts - before == Counts(requests, commits)
