"""What ends a sequence ends it at once: nothing of it is sent any more, unless it was claimed before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest

from models import (
    Action,
    Contact,
    DeadLetter,
    Delivery,
    Enrolment,
    EnrolmentState,
    Event,
    State,
    database,
)
from models.database import is_postgres
from pipeline import deliver_message, reserve_slot
from pipeline.delivery import claim as claims
from pipeline.delivery import outcome
from pipeline.delivery.claim import Claim, Refusal
from pipeline.flow import TRIGGER
from pipeline.operations import cancel, decisions, forget, imports, stops, suppression
from pipeline.operations.csv_rows import Listener
from pipeline.smtp.reply import Phase, Reply, Result, Verdict
from tests.builders import (
    a_campaign,
    a_contact,
    a_delivery,
    a_template,
    a_website,
    an_account,
    an_enrolment,
    history_of,
    on_its_way,
)
from tests.conftest import Clock, in_a_thread, until_waiting_for_a_lock
from tests.smtp_server import ScriptedServer


@pytest.mark.parametrize("state", [State.SELECTED, State.CLEARED, State.READY, State.RESERVED])
def test_a_reply_ends_all_campaigns_of_the_person_and_what_waits_is_cancelled(any_database: str, state: State) -> None:
    person, other_spelling = a_contact(email="J.Doe@gmail.com"), a_contact(email="jdoe+news@googlemail.com")
    first = on_its_way(an_enrolment(a_campaign(), person), state)
    second, third = an_enrolment(a_campaign(), person), an_enrolment(a_campaign(), other_spelling)
    finished = an_enrolment(a_campaign(), person, state=EnrolmentState.FINISHED)
    stranger = on_its_way(an_enrolment(a_campaign()), state)

    done = stops.replied([other_spelling.id], "me", "by telephone")

    assert done.ended == tuple(sorted([first.enrolment_id, second.id, third.id]))
    assert (done.cancelled, done.handoffs) == ((first.id,), (TRIGGER,))
    assert [how(e) for e in (first.enrolment, second, third)] == [("replied", "replied", None)] * 3
    assert how(finished)[0] == "finished"
    assert (outcome_of(first), outcome_of(stranger)) == (("cancelled", "replied"), (state, None))
    assert how(stranger.enrolment) == ("active", None, stranger.id)
    assert [(e.origin, e.state, e.cause) for e in history_of([first.id])[1:]] == [(state, "cancelled", "replied")]
    recorded = [(a.who, a.verb, a.subject, a.reason) for a in Action.select()]
    assert recorded == [("me", "replied", f"contact {other_spelling.id}", "by telephone")]


def test_a_second_reply_changes_nothing(any_database: str, clock: Clock) -> None:
    waiting = on_its_way(an_enrolment(a_campaign()), State.READY)
    stops.replied([waiting.contact_id], "me")
    before = everything()
    clock.tick(60)
    assert stops.replied([waiting.contact_id], "me").handoffs == ()
    assert everything() == before


def test_a_plain_mail_to_whom_has_replied_is_not_sent_either(any_database: str) -> None:
    plain = a_delivery(State.READY)
    assert stops.replied([plain.contact_id], "me").cancelled == (plain.id,)


@pytest.mark.parametrize(
    ("domain", "stops_website", "stopped"),
    [("acme.test", True, True), ("acme.test", False, False), ("gmail.com", True, False), ("gmx.de", True, False)],
)
def test_a_reply_ends_it_for_the_website_where_the_campaign_says_so_but_never_at_a_public_provider(
    any_database: str, domain: str, stops_website: bool, stopped: bool
) -> None:
    website = a_website(domain=domain)
    campaign, another = a_campaign(stops_website=stops_website), a_campaign(stops_website=True)
    answers = an_enrolment(campaign, a_contact(website=website), state=EnrolmentState.FINISHED)
    colleague = on_its_way(an_enrolment(campaign, a_contact(website=website)), State.READY)
    elsewhere = on_its_way(an_enrolment(another, a_contact(website=website)), State.READY)
    stranger = on_its_way(an_enrolment(campaign, a_contact(website=a_website())), State.READY)

    done = stops.replied([answers.contact_id], "me")

    assert done.ended == ((colleague.enrolment_id,) if stopped else ())
    assert outcome_of(colleague)[0] == (State.CANCELLED if stopped else State.READY)
    assert [outcome_of(d)[0] for d in (elsewhere, stranger)] == [State.READY] * 2


def test_a_reply_between_data_and_the_dot_is_not_sent(
    any_database: str, clock: Clock, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = with_a_slot(an_account(port=server.port))
    claim = claims.claim

    def claim_after_a_reply(*slot: Any) -> Claim | Refusal:
        stops.replied([waiting.contact_id], "me")
        return claim(*slot)

    monkeypatch.setattr(claims, "claim", claim_after_a_reply)
    assert deliver_message.deliver([waiting.id], "slot") == []
    assert (outcome_of(waiting), server.connections, server.mails) == (("cancelled", "replied"), 1, [])
    assert how(waiting.enrolment) == ("replied", "replied", None)


def test_a_claim_that_waits_for_a_reply_finds_its_slot_lost(any_database: str, clock: Clock) -> None:
    waiting = with_a_slot(an_account())
    given: list[Claim | Refusal] = []
    with database.transaction():
        stops.replied([waiting.contact_id], "me")
        other = waiting_in_a_thread(lambda: given.append(claims.claim(waiting.id, "slot", waiting.account_id)))
    other.join()
    assert given == [Refusal.SLOT_LOST]
    assert outcome_of(waiting) == ("cancelled", "replied")


def test_a_reply_that_waits_for_a_claim_leaves_that_mail_and_ends_the_rest(any_database: str, clock: Clock) -> None:
    waiting = with_a_slot(an_account())
    done: list[Any] = []
    with database.transaction():
        given = claims.claim(waiting.id, "slot", waiting.account_id)
        other = waiting_in_a_thread(lambda: done.append(stops.replied([waiting.contact_id], "me")))
    other.join()
    assert isinstance(given, Claim)
    assert (done[0].ended, done[0].cancelled) == ((waiting.enrolment_id,), ())
    outcome.settle(given, ACCEPTED)
    assert outcome_of(waiting) == ("sent", "accepted")
    assert how(waiting.enrolment) == ("replied", "replied", None)


@pytest.mark.parametrize("result", ["accepted", "bounced", "for now", "given up", "in doubt", "resent"])
def test_whatever_comes_of_what_was_claimed_before_a_reply_nothing_more_is_sent(
    any_database: str, clock: Clock, server: ScriptedServer, result: str
) -> None:
    account = an_account(port=server.port)
    waiting = with_a_slot(account)
    given = claims.claim(waiting.id, "slot", account.id)
    assert isinstance(given, Claim)
    stops.replied([waiting.contact_id], "me")
    assert outcome_of(waiting)[0] == State.SENDING
    outcome.settle(given, RESULTS[result])
    if result == "resent":
        clock.tick(3600)
        with pytest.raises(decisions.DecisionRefusedError, match="sequence_ended"):
            decisions.resolve_resend(waiting.id, "me")
    for _ in range(3):
        clock.tick(3600)
        for handoff in reserve_slot.reserve():
            clock.at = max(clock.at, handoff.not_before or clock.at)
            deliver_message.deliver(handoff.ids, handoff.slot_token or "")
    assert server.mails == []
    assert outcome_of(waiting)[0] == AFTERWARDS[result]
    assert how(waiting.enrolment)[:2] == ("replied", "replied")


def test_what_had_failed_before_a_reply_is_not_replayed(any_database: str) -> None:
    failed = on_its_way(an_enrolment(a_campaign(), state=EnrolmentState.FAILED), State.FAILED)
    letter = DeadLetter.create(kind="delivery", delivery=failed, reason="fault", created_at=database.now())
    stops.replied([failed.contact_id], "me")
    with pytest.raises(decisions.DecisionRefusedError, match="sequence_ended"):
        decisions.replay(letter.id, "me", put_back=lambda *_: None)
    assert outcome_of(failed)[0] == State.FAILED


@pytest.mark.parametrize(
    ("suppress", "reason"),
    [
        (lambda: suppression.add("ANN@mail.acme.test", "me"), "suppressed_address"),
        (lambda: suppression.add("acme.test", "me"), "suppressed_domain"),
        (lambda: imports.suppressions(StringIO("value\nacme.test\nx.test\n"), Listener()), "suppressed_domain"),
    ],
)
def test_a_suppression_ends_the_campaigns_of_those_it_is_about_and_skips_what_waits(
    any_database: str, suppress: Callable[[], object], reason: str
) -> None:
    about, stranger = a_contact(email="ann@mail.acme.test"), a_contact(email="bob@notacme.test")
    reserved = {"account": an_account(), "send_at": database.now(), "token": "slot"}
    waits = a_delivery(State.RESERVED, contact=about, **reserved)
    of_stranger = a_delivery(State.READY, contact=stranger)
    enrolments = [an_enrolment(a_campaign(), about) for _ in range(2)]
    left = an_enrolment(a_campaign(), stranger)
    suppress()
    assert [how(e) for e in enrolments] == [("suppressed", reason, None)] * 2
    assert how(left)[0] == "active"
    assert [outcome_of(d) for d in (waits, of_stranger)] == [("skipped", reason), ("ready", None)]


def test_a_bounce_ends_all_campaigns_of_the_person(any_database: str, clock: Clock) -> None:
    waiting = with_a_slot(an_account())
    same_person = a_contact(email=waiting.recipient.upper() + "x")
    Contact.update(address=waiting.address).where(Contact.id == same_person.id).execute()
    others = [an_enrolment(a_campaign(), contact) for contact in (waiting.contact, same_person)]
    given = claims.claim(waiting.id, "slot", waiting.account_id)
    assert isinstance(given, Claim)
    outcome.settle(given, RESULTS["bounced"])
    assert outcome_of(waiting)[0] == State.BOUNCED
    assert [how(e) for e in (waiting.enrolment, *others)] == [("bounced", "recipient_refused", None)] * 3


def test_to_cancel_a_contact_stops_its_campaigns_and_to_forget_it_forgets_them(any_database: str) -> None:
    cancelled, forgotten = (on_its_way(an_enrolment(a_campaign()), State.READY) for _ in range(2))
    more = [an_enrolment(a_campaign(), d.contact) for d in (cancelled, forgotten)]
    of_template = on_its_way(an_enrolment(a_campaign()), State.READY)
    assert cancel.cancel("me", contact=cancelled.contact_id).ended == (cancelled.enrolment_id, more[0].id)
    assert cancel.cancel("me", template_id=of_template.template_id).ended == (of_template.enrolment_id,)
    forget.forget(forgotten.contact_id, "me")
    assert [how(e) for e in (cancelled.enrolment, more[0])] == [("stopped", "cancelled", None)] * 2
    assert [how(e) for e in (forgotten.enrolment, more[1])] == [("forgotten", "forgotten", None)] * 2


def test_an_unknown_contact_in_a_message_of_replies_is_a_dead_letter_and_the_others_are_noted(
    any_database: str,
) -> None:
    waiting = on_its_way(an_enrolment(a_campaign()), State.READY)
    for _ in range(2):
        stops.note_replies([waiting.contact_id, 999], source="m1")
    assert how(waiting.enrolment)[0] == "replied"
    letters = [(d.queue, bytes(d.body), d.reason, d.message_id) for d in DeadLetter.select()]
    assert letters == [("replied", b'{"contact_ids": [999]}', "contact 999 does not exist", "m1")]


def test_a_person_is_meant_by_an_id_and_by_an_address_that_several_contacts_have(any_database: str) -> None:
    one, other = a_contact(email="j.doe@gmail.com"), a_contact(email="jd.oe@gmail.com")
    assert stops.person_of(" JDoe@googlemail.com ") in (one.id, other.id)
    assert stops.person_of(str(other.id)) == other.id
    with pytest.raises(LookupError, match="no contact with the address"):
        stops.person_of("nobody@x.test")


ACCEPTED = Result(Verdict.ACCEPTED, Phase.DOT, Reply(250, "2.0.0 ok"))
IN_DOUBT = Result(Verdict.UNKNOWN, Phase.DOT, Reply(None, ""))
RESULTS = {
    "accepted": ACCEPTED,
    "bounced": Result(Verdict.RECIPIENT_FOR_GOOD, Phase.DOT, Reply(550, "5.1.1 no such user")),
    "for now": Result(Verdict.RECIPIENT_FOR_NOW, Phase.DOT, Reply(450, "4.2.0 later")),
    "given up": Result(Verdict.CONTENT, Phase.DOT, Reply(554, "5.7.1 spam")),
    "in doubt": IN_DOUBT,
    "resent": IN_DOUBT,
}
#: Where what was claimed before a reply stands in the end.
AFTERWARDS = {
    "accepted": State.SENT,
    "bounced": State.BOUNCED,
    "for now": State.SKIPPED,
    "given up": State.FAILED,
    "in doubt": State.IN_DOUBT,
    "resent": State.IN_DOUBT,
}


def with_a_slot(account: Any) -> Delivery:
    """Store a delivery of a campaign of two steps that is due now."""
    campaign = a_campaign((0, [a_template()]), (3, [a_template()]), accounts=[account])
    slot = {"account": account, "send_at": database.now(), "token": "slot", "message_id": "<1@x.test>"}
    return on_its_way(an_enrolment(campaign), State.RESERVED, **slot)


def outcome_of(delivery: Delivery) -> tuple[str, str | None]:
    """Return state and reason as stored."""
    row = Delivery.get_by_id(delivery.id)
    return row.state, row.reason


def how(enrolment: Enrolment) -> tuple[str, str | None, int | None]:
    """Return state, reason and delivery as stored; what has ended says since when."""
    row = Enrolment.get_by_id(enrolment.id)
    assert (row.ended_at is not None) == (row.state not in ("active", "finished"))
    return row.state, row.reason, row.delivery_id


def everything() -> list[Any]:
    """Return enrolments, deliveries and events as stored."""
    return [list(model.select().order_by(model.id).dicts()) for model in (Enrolment, Delivery, Event)]


def waiting_in_a_thread(act: Callable[[], object]) -> threading.Thread:
    """Do something beside this thread, which has what it waits for (SQLite: the only lock there is)."""
    thread = in_a_thread(act)
    if is_postgres():
        until_waiting_for_a_lock()
    return thread
