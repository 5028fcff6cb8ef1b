"""What a claim and an outcome ask the database, request by request, as they go over the wire."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from models import Delivery, State, database
from models.database import db
from pipeline.delivery import outcome
from pipeline.delivery.claim import Claim, claim
from pipeline.smtp.reply import Phase, Reply, Result, Verdict
from tests.builders import a_delivery, an_account
from tests.wire import PostgresWire


def test_a_claim_is_18_requests(wire: PostgresWire) -> None:
    slot = a_slot()

    asked = requests(wire, lambda: claim(slot.id, "slot", slot.account_id))

    assert asked == [
        "BEGIN",
        "SELECT smtp_account locked",
        "SELECT clock_timestamp()",
        "SELECT delivery locked",
        "SELECT stored_key",
        "SELECT suppression",
        "SELECT contact",
        "SELECT domain_check",
        "SELECT control",
        "SELECT email_template",
        "SELECT delivery",
        "SELECT attempt",
        "SELECT attempt",
        "INSERT attempt",
        "SELECT clock_timestamp()",
        "UPDATE delivery",
        "INSERT event",
        "COMMIT",
    ]


def test_an_outcome_is_10_requests(wire: PostgresWire) -> None:
    slot = a_slot()
    given = claim(slot.id, "slot", slot.account_id)
    assert isinstance(given, Claim)
    accepted = Result(Verdict.ACCEPTED, Phase.DOT, Reply(250, "2.0.0 ok"))

    asked = requests(wire, lambda: outcome.settle(given, accepted))

    assert asked == [
        "BEGIN",
        "SELECT smtp_account locked",
        "SELECT clock_timestamp()",
        "SELECT delivery locked",
        "SELECT clock_timestamp()",
        "UPDATE delivery",
        "INSERT event",
        "UPDATE attempt",
        "UPDATE smtp_account",
        "COMMIT",
    ]


def a_slot() -> Delivery:
    """Store a delivery whose slot is due."""
    return a_delivery(State.RESERVED, account=an_account(), send_at=database.now(), token="slot")


def requests(wire: PostgresWire, do: Callable[[], object]) -> list[str]:
    """Return what `do` asks, each request in a few words."""
    before = len(wire.statements)
    do()
    return [_in_short(statement) for statement in wire.statements[before:]]


def _in_short(statement: str) -> str:
    table = re.search(r'(?:FROM|INTO|^UPDATE) "(\w+)"', statement)
    if table is None:
        return statement
    locked = " locked" if "FOR NO KEY UPDATE" in statement else ""
    return f"{statement.split()[0]} {table[1]}{locked}"


@pytest.fixture
def wire(postgres: str, configure: Callable[..., None]) -> Iterator[PostgresWire]:
    """A connection to PostgreSQL on which each request is seen; the window is always open, the clock the real one."""
    configure(mail_window_start=0, mail_window_end=0)
    port = db.obj.connect_params["port"]
    db.obj.close_all()
    with PostgresWire(port) as seen:
        database.connect(re.sub(rf":{port}/", f":{seen.port}/", postgres) + "?sslmode=disable&gssencmode=disable")
        with database.connection():
            yield seen
        db.obj.close_all()
