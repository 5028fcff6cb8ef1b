"""What a claim and an outcome ask the database, request by request, as they go over the wire."""

from __future__ import annotations

from collections.abc import Callable

from models import Delivery, State, database
from pipeline.delivery import outcome
from pipeline.delivery.claim import Claim, claim
from pipeline.delivery.refusals import questions
from pipeline.rules.forgotten import hashes
from pipeline.smtp.reply import Phase, Reply, Result, Verdict
from tests.builders import a_delivery, an_account
from tests.wire import PostgresWire, in_short


def test_a_claim_is_2_requests(wire: PostgresWire) -> None:
    # What this process has never asked is asked by itself.
    claimed(a_slot())
    slot = a_slot()
    asked_of_it = questions([slot], slot.account_id, database.now(), hashes())

    asked = requests(wire, lambda: claim(slot.id, "slot", slot.account_id, asked_of_it))

    assert asked == [
        "BEGIN; SELECT smtp_account locked; SELECT delivery locked; SELECT clock, smtp_account, delivery, control, "
        "email_template, delivery, attempt, attempt, stored_key, suppression, contact, domain_check",
        "INSERT attempt; UPDATE delivery; INSERT event; COMMIT",
    ]


def test_an_outcome_is_2_requests(wire: PostgresWire) -> None:
    accepted = Result(Verdict.ACCEPTED, Phase.DOT, Reply(250, "2.0.0 ok"))
    outcome.settle(claimed(a_slot()), accepted)
    given = claimed(a_slot())

    asked = requests(wire, lambda: outcome.settle(given, accepted))

    assert asked == [
        "BEGIN; SELECT smtp_account locked; SELECT delivery locked; SELECT clock, smtp_account, delivery, attempt",
        "UPDATE delivery; INSERT event; UPDATE attempt; COMMIT",
    ]


def test_neither_reads_the_words_of_the_mail(wire: PostgresWire) -> None:
    slot = a_slot()
    before = len(wire.statements)

    outcome.settle(claimed(slot), Result(Verdict.ACCEPTED, Phase.DOT, Reply(250, "2.0.0 ok")))

    asked = "".join(wire.statements[before:])
    assert ('"recipient"' in asked, '"html"' in asked) == (True, False)


def claimed(slot: Delivery) -> Claim:
    """Claim the dot for a delivery that has a slot."""
    given = claim(slot.id, "slot", slot.account_id, questions([slot], slot.account_id, database.now(), hashes()))
    assert isinstance(given, Claim)
    return given


def a_slot() -> Delivery:
    """Store a delivery whose slot is due."""
    return a_delivery(State.RESERVED, account=an_account(), send_at=database.now(), token="slot")


def requests(wire: PostgresWire, do: Callable[[], object]) -> list[str]:
    """Return what `do` asks, each request in a few words."""
    before = len(wire.statements)
    do()
    return [in_short(statement) for statement in wire.statements[before:]]
