"""The checkers can fail: each violation is planted alone, and `check` names its invariant and no other."""

from __future__ import annotations

import datetime as dt
import smtplib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models import (
    Attempt,
    Campaign,
    ChargedTo,
    Delivery,
    Enrolment,
    Event,
    Outcome,
    SmtpAccount,
    State,
    database,
)
from models.dead_letter import file_message
from tests.builders import a_campaign, a_contact, a_delivery, a_template, an_account, an_enrolment
from tests.faults import fleet as fleets
from tests.faults.embedded import Embedded
from tests.faults.invariants import Run, check
from tests.faults.oracle import Accepted, accepted, oracle


def test_each_violation_is_named_and_no_other(
    undone: Callable[[Callable[[], None]], None], report: Callable[..., None]
) -> None:
    found: dict[str, set[str]] = {}

    for plant in PLANTED:

        def judge(plant: Callable[[Run], Run] = plant) -> None:
            run = a_clean_run()
            assert check(run) == []
            found[plant.__name__] = named(check(plant(run)))

        undone(judge)
    assert found == {plant.__name__: {name} for plant, name in PLANTED.items()}
    report(planted=len(PLANTED), found=len(found))


def test_what_excuses_a_violation_is_no_violation(undone: Callable[[Callable[[], None]], None]) -> None:
    def excused() -> None:
        run = a_clean_run()
        fault = NOON + dt.timedelta(seconds=2)
        assert check(replace(doubt_without_a_fault(run), faults=[fault])) == []
        holders = {Attempt.get(Attempt.delivery == first().id).token: "dead"}
        assert check(replace(run, holders=holders, broken={"dead": [fault]})) == []
        change(state=State.SENT)
        twice = accepted_twice(run)
        assert check(replace(twice, resent=frozenset({first().id}))) == []
        other = Delivery.select().order_by(Delivery.id.desc()).get()
        assert named(check(replace(twice, resent=frozenset({other.id})))) == {"I1"}
        file_message("intake", b"[77]", "unknown id", database.now(), message_id="dead")
        assert check(replace(run, sources=run.sources | {"dead": [77]})) == []
        assert named(check(replace(run, sources=run.sources | {"dead": [77], "alive": [78]}))) == {"I2"}

    undone(excused)


def test_a_double_send_and_a_loss_are_found_in_a_real_run(
    sqlite: str, tmp_path: Path, report: Callable[..., None]
) -> None:
    a_template()
    with oracle(tmp_path) as (port, file), Embedded(fleets.environment(sqlite, "memory://"), tmp_path) as embedded:
        an_account(port=port)
        an_account(port=port)
        embedded.select(4)
        embedded.start()
        embedded.settle()
        assert embedded.stop() == 0
        run = Run(embedded.sources, accepted(file), limit=1000, interval=0.1)
        assert check(run) == []

        delivery = first()
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as smtp:
            smtp.sendmail("x@y.test", [delivery.recipient], f"Message-ID: {delivery.message_id}\r\n\r\nagain\r\n")
        assert named(check(replace(run, accepted=accepted(file)))) == {"I1"}

    lines = file.read_text().splitlines(keepends=True)
    assert len(lines) == 5
    file.write_text("".join(line for line in lines if delivery.message_id not in line))
    assert named(check(replace(run, accepted=accepted(file)))) == {"I3"}
    Event.delete().where(Event.delivery == delivery.id).execute()
    Attempt.delete().where(Attempt.delivery == delivery.id).execute()
    Delivery.delete().where(Delivery.id == delivery.id).execute()
    assert named(check(replace(run, accepted=accepted(file)))) == {"I2"}
    report(contacts=4, planted=3, found=3)


INTERVAL, LIMIT, MAILS = 60, 5, 3
#: Ids of a sequence's deliveries begin behind it.
OF_SEQUENCE = 1000
NOON = dt.datetime(2026, 6, 2, 12, tzinfo=dt.UTC)


def an_attempt(delivery: Delivery, account: SmtpAccount, at: dt.datetime, outcome: Outcome) -> Attempt:
    """Store a claim and what came of it."""
    return Attempt.create(
        delivery=delivery,
        account=account,
        token=f"claim {delivery.id} {at}",
        local_on=at.date(),
        claimed_at=at,
        outcome=outcome,
    )


def sent_by(account: SmtpAccount, at: dt.datetime, **values: Any) -> tuple[Delivery, Accepted]:
    """Store a delivery that was sent; return it and the oracle's line."""
    contact = values.pop("contact", None) or a_contact()
    message_id = f"<{contact.id}.{values.get('position', 1)}@here.test>"
    delivery = a_delivery(State.SENT, contact=contact, message_id=message_id, sent_at=at, **values)
    an_attempt(delivery, account, at, Outcome.ACCEPTED)
    return delivery, Accepted(at.timestamp(), account.from_address, delivery.recipient, delivery.message_id)


def a_sequence(account: SmtpAccount) -> list[tuple[Delivery, Accepted]]:
    """Store an enrolment that has had both its steps."""
    campaign = a_campaign((0, [a_template()]), (0, [a_template()]))
    values = {"state": "finished", "position": 3, "last_id": OF_SEQUENCE + 2, "ended_at": NOON + dt.timedelta(hours=1)}
    enrolment = an_enrolment(campaign, **values)
    its = {"enrolment": enrolment, "contact": enrolment.contact, "campaign": campaign}
    at = [NOON + dt.timedelta(seconds=INTERVAL * i) for i in (1, 2)]
    return [sent_by(account, at[i - 1], position=i, id=OF_SEQUENCE + i, **its) for i in (1, 2)]


def a_clean_run() -> Run:
    """Store what a run leaves behind in which nothing was broken."""
    account = an_account()
    sent = [sent_by(account, NOON + dt.timedelta(seconds=INTERVAL * i)) for i in range(MAILS)]
    sources = {delivery.source: [delivery.contact_id] for delivery, _ in sent}
    sequence = a_sequence(an_account())
    lines = [line for _, line in (*sent, *sequence)]
    enrolled = {"enrolled": [sequence[0][0].contact_id]}
    return Run(sources, lines, [], limit=LIMIT, interval=INTERVAL, enrolled=enrolled)


def first() -> Delivery:
    """Return the first delivery of the clean run."""
    return Delivery.select().order_by(Delivery.id).get()


def change(**values: object) -> None:
    """Change columns of the first delivery, past the state machine."""
    Delivery.update(**values).where(Delivery.id == first().id).execute()


def a_state_without_its_event(run: Run) -> Run:
    Event.delete().where(Event.delivery == first().id).execute()
    return run


def an_event_out_of_line(run: Run) -> Run:
    Event.update(origin=State.READY).where(Event.delivery == first().id).execute()
    return run


def accepted_twice(run: Run) -> Run:
    return replace(run, accepted=[*run.accepted, run.accepted[0]])


def written_to_twice(run: Run) -> Run:
    delivery, line = sent_by(an_account(), NOON)
    Delivery.update(recipient=run.accepted[0].recipient).where(Delivery.id == delivery.id).execute()
    line = replace(line, recipient=run.accepted[0].recipient)
    return replace(run, sources=run.sources | {delivery.source: [delivery.contact_id]}, accepted=[*run.accepted, line])


def written_to_twice_beside_a_resend(run: Run) -> Run:
    last = Delivery.select().order_by(Delivery.id.desc()).get()
    return replace(written_to_twice(run), resent=frozenset({last.id}))


def nobody_knows_the_message(run: Run) -> Run:
    return replace(run, accepted=[*run.accepted, Accepted(NOON.timestamp(), "a@b.test", "c@d.test", "<other@b.test>")])


def an_id_vanished(run: Run) -> Run:
    return replace(run, sources=run.sources | {"lost": [a_contact().id]})


def an_id_has_two_rows(run: Run) -> Run:
    first_source, second_source, *_ = run.sources
    database.db.execute_sql("DROP INDEX delivery_source_contact_id")
    Delivery.update(source=first_source, contact=first().contact_id).where(Delivery.source == second_source).execute()
    return replace(run, sources={s: ids for s, ids in run.sources.items() if s != second_source})


def sent_and_nobody_has_it(run: Run) -> Run:
    return replace(run, accepted=run.accepted[1:])


def accepted_and_bounced(run: Run) -> Run:
    change(state=State.BOUNCED)
    return replace(run, may_end_otherwise=frozenset({first().recipient}))


def doubt_without_a_fault(run: Run) -> Run:
    change(state=State.IN_DOUBT, token=Attempt.get(Attempt.delivery == first().id).token)
    Attempt.update(outcome=Outcome.IN_DOUBT).where(Attempt.delivery == first().id).execute()
    return run


def doubt_long_after_the_fault(run: Run) -> Run:
    return replace(doubt_without_a_fault(run), faults=[NOON - dt.timedelta(seconds=1), NOON + dt.timedelta(minutes=1)])


def doubt_while_its_holder_lives(run: Run) -> Run:
    token = Attempt.get(Attempt.delivery == first().id).token
    return replace(doubt_without_a_fault(run), holders={token: "alive"}, broken={"dead": [NOON]})


def doubt_without_a_claim(run: Run) -> Run:
    change(state=State.IN_DOUBT)
    Attempt.delete().where(Attempt.delivery == first().id).execute()
    return replace(run, faults=[NOON])


def an_account_over_its_limit(run: Run) -> Run:
    return replace(run, limit=MAILS - 1)


def doubt_counts_for_the_limit(run: Run) -> Run:
    """One of the mails was accepted before its doubt: the server's own count shows nothing."""
    doubtful = a_delivery(State.SENT, message_id="<doubt@here.test>")
    account = SmtpAccount.get()
    an_attempt(doubtful, account, NOON + dt.timedelta(hours=1), Outcome.IN_DOUBT)
    an_attempt(doubtful, an_account(), NOON + dt.timedelta(hours=2), Outcome.ACCEPTED)
    line = Accepted(NOON.timestamp(), "another@b.test", doubtful.recipient, doubtful.message_id)
    sources = run.sources | {doubtful.source: [doubtful.contact_id]}
    return replace(run, sources=sources, accepted=[*run.accepted, line], limit=MAILS)


def more_from_a_sender_than_its_limit(run: Run) -> Run:
    """By the server's count alone: the rows name two accounts that send in one name."""
    delivery, line = sent_by(an_account(), NOON)
    sources = run.sources | {delivery.source: [delivery.contact_id]}
    lines = [*run.accepted, replace(line, sender=run.accepted[0].sender)]
    return replace(run, sources=sources, accepted=lines, limit=MAILS)


def two_claims_too_close(run: Run) -> Run:
    second = Attempt.select().order_by(Attempt.id)[1]
    moved = second.claimed_at - dt.timedelta(milliseconds=1)
    Attempt.update(claimed_at=moved).where(Attempt.id == second.id).execute()
    return run


def still_ready(run: Run) -> Run:
    change(state=State.READY)
    return replace(run, accepted=run.accepted[1:])


def still_sending(run: Run) -> Run:
    change(state=State.SENDING, token=Attempt.get(Attempt.delivery == first().id).token)
    Attempt.update(outcome=Outcome.OPEN).where(Attempt.delivery == first().id).execute()
    return replace(run, accepted=run.accepted[1:], faults=[NOON])


def untouched_and_failed(run: Run) -> Run:
    change(state=State.FAILED)
    Attempt.update(outcome=Outcome.FAILED, charged_to=ChargedTo.CONTENT).where(Attempt.delivery == first().id).execute()
    return replace(run, accepted=run.accepted[1:])


def a_step_is_written_to_twice(run: Run) -> Run:
    """Two deliveries of one step, each accepted once."""
    step = in_sequence(1)
    its = {"contact": step.contact, "enrolment": step.enrolment, "campaign": step.campaign, "position": 1}
    delivery, line = sent_by(an_account(), NOON, **its)
    again = {"message_id": "<again@here.test>", "recipient": "again@b.test"}
    Delivery.update(**again).where(Delivery.id == delivery.id).execute()
    return replace(run, accepted=[*run.accepted, replace(line, **again)])


def a_step_was_passed_over(run: Run) -> Run:
    step = in_sequence(2)
    Delivery.update(enrolment=None, campaign=None).where(Delivery.id == step.id).execute()
    Enrolment.update(last_id=in_sequence(1).id).execute()
    return run


def a_step_waits_for_ever(run: Run) -> Run:
    an_enrolment(Campaign.get())
    return run


def a_step_waits_for_what_has_ended(run: Run) -> Run:
    Enrolment.update(delivery_id=in_sequence(2).id).execute()
    return run


def a_sequence_ended_early(run: Run) -> Run:
    step = in_sequence(2)
    Delivery.update(enrolment=None, campaign=None).where(Delivery.id == step.id).execute()
    Enrolment.update(position=2, last_id=in_sequence(1).id).execute()
    return run


def another_mail_was_the_last(run: Run) -> Run:
    Enrolment.update(last_id=in_sequence(1).id).execute()
    return run


def ended_at_no_time(run: Run) -> Run:
    Enrolment.update(ended_at=None).execute()
    return run


def nobody_was_enrolled(run: Run) -> Run:
    return replace(run, enrolled=run.enrolled | {"lost": [a_contact().id]})


def a_reply_was_lost(run: Run) -> Run:
    return replace(run, replied=frozenset({in_sequence(1).contact_id}))


def claimed_after_a_reply(run: Run) -> Run:
    Enrolment.update(state="replied", ended_at=NOON + dt.timedelta(seconds=INTERVAL * 1.5)).execute()
    return run


def in_sequence(position: int) -> Delivery:
    """Return the delivery of a step of the clean run's sequence."""
    return Delivery.select().where(Delivery.position == position).order_by(Delivery.id).get()


PLANTED: dict[Callable[[Run], Run], str] = {
    accepted_twice: "I1",
    written_to_twice: "I1",
    nobody_knows_the_message: "I1",
    written_to_twice_beside_a_resend: "I1",
    an_id_vanished: "I2",
    an_id_has_two_rows: "I2",
    sent_and_nobody_has_it: "I3",
    accepted_and_bounced: "I3",
    doubt_without_a_fault: "I4",
    doubt_long_after_the_fault: "I4",
    doubt_while_its_holder_lives: "I4",
    doubt_without_a_claim: "I4",
    an_account_over_its_limit: "I5",
    doubt_counts_for_the_limit: "I5",
    more_from_a_sender_than_its_limit: "I5",
    two_claims_too_close: "I5",
    still_ready: "I6",
    still_sending: "I6",
    untouched_and_failed: "I6",
    a_state_without_its_event: "I7",
    an_event_out_of_line: "I7",
    a_step_is_written_to_twice: "I8",
    a_step_was_passed_over: "I8",
    a_step_waits_for_ever: "I8",
    a_step_waits_for_what_has_ended: "I8",
    a_sequence_ended_early: "I8",
    another_mail_was_the_last: "I8",
    ended_at_no_time: "I8",
    nobody_was_enrolled: "I8",
    a_reply_was_lost: "I8",
    claimed_after_a_reply: "I8",
}


def named(violations: list[str]) -> set[str]:
    """Return the invariants that the violations name."""
    return {violation.partition(":")[0] for violation in violations}


@pytest.fixture
def undone(any_database: str) -> Callable[[Callable[[], None]], None]:
    """Do something on either database, and take it back."""

    def do(what: Callable[[], None]) -> None:
        with database.db.atomic() as transaction:
            what()
            transaction.rollback()

    return do
