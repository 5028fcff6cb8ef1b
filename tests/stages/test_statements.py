"""What a claim and an outcome ask the database, request by request, as they go over the wire."""

from __future__ import annotations

from collections.abc import Callable

from models import Delivery, State, database
from pipeline.delivery import outcome
from pipeline.delivery.claim import Claim, claim
from pipeline.smtp.reply import Phase, Reply, Result, Verdict
from tests.builders import a_delivery, an_account
from tests.wire import PostgresWire, in_short


def test_a_claim_is_16_requests(wire: PostgresWire) -> None:
    slot = a_slot()

    asked = requests(wire, lambda: claim(slot.id, "slot", slot.account_id))

    assert asked == [
        "BEGIN; SELECT smtp_account locked",
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
        "INSERT event; COMMIT",
    ]


def test_an_outcome_is_8_requests(wire: PostgresWire) -> None:
    slot = a_slot()
    given = claim(slot.id, "slot", slot.account_id)
    assert isinstance(given, Claim)
    accepted = Result(Verdict.ACCEPTED, Phase.DOT, Reply(250, "2.0.0 ok"))

    asked = requests(wire, lambda: outcome.settle(given, accepted))

    assert asked == [
        "BEGIN; SELECT smtp_account locked",
        "SELECT clock_timestamp()",
        "SELECT delivery locked",
        "SELECT clock_timestamp()",
        "UPDATE delivery",
        "INSERT event; UPDATE attempt",
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
    return [in_short(statement) for statement in wire.statements[before:]]
