"""What a recipient asks for through a link holds at once, up to the moment before the dot, and can be taken back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest

from models import (
    Action,
    Choice,
    Contact,
    Control,
    Delivery,
    Enrolment,
    OptOut,
    State,
    Suppression,
    Way,
    Website,
    database,
)
from models.database import is_postgres
from pipeline import deliver_message
from pipeline.content.consent import TRIAL
from pipeline.delivery import claim as claims
from pipeline.operations import forget, suppression, unsubscribe
from pipeline.operations.unsubscribe import Standing
from pipeline.rules.company import company_of
from pipeline.rules.eligible import eligible
from pipeline.rules.last import reasons_to_skip
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
@pytest.mark.parametrize("choice", [Choice.NEVER, Choice.PAUSE])
def test_whoever_unsubscribes_gets_nothing_of_what_waits_and_is_in_no_campaign(
    any_database: str, state: State, choice: Choice
) -> None:
    person, other_spelling = a_contact(email="J.Doe@gmail.com"), a_contact(email="jdoe+news@googlemail.com")
    sent = a_mail_to(person)
    waits = on_its_way(an_enrolment(a_campaign(), other_spelling), state)
    enrolled, stranger = an_enrolment(a_campaign(), person), on_its_way(an_enrolment(a_campaign()), state)

    unsubscribe.ask(sent.id, choice, Way.PAGE)

    last = history_of([waits.id])[-1]
    assert (last.state, last.cause, last.reason) == (State.CANCELLED, "unsubscribe", "unsubscribed")
    ended = [Enrolment.get_by_id(e.id) for e in (waits.enrolment, enrolled)]
    assert [(e.state, e.reason) for e in ended] == [("unsubscribed", "unsubscribed")] * 2
    assert (Delivery.get_by_id(stranger.id).state, Enrolment.get_by_id(stranger.enrolment_id).state) == (
        state,
        "active",
    )
    [opt_out], [row] = OptOut.select(), Suppression.select()
    assert (opt_out.delivery_id, opt_out.contact_id, opt_out.choice, opt_out.way) == (
        sent.id,
        person.id,
        choice,
        "page",
    )
    assert (row.kind, row.value, row.opt_out_id, row.until) == ("address", "jdoe@gmail.com", opt_out.id, opt_out.until)
    assert [(a.who, a.verb, a.subject) for a in Action.select()] == [
        ("recipient", "unsubscribe", f"contact {person.id}")
    ]


def test_an_unsubscribe_between_the_words_and_the_dot_keeps_the_mail_back(
    any_database: str, clock: Clock, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = {"account": an_account(port=server.port), "send_at": clock.at, "token": "slot", "message_id": "<1@x.test>"}
    delivery, claim = a_delivery(State.RESERVED, **slot), claims.claim
    earlier = a_mail_to(delivery.contact)

    def then_claim(*about: object) -> object:
        unsubscribe.ask(earlier.id, Choice.NEVER, Way.ONE_CLICK)
        return claim(*about)  # type: ignore[arg-type]

    monkeypatch.setattr(claims, "claim", then_claim)
    deliver_message.deliver([delivery.id], "slot")

    assert (server.connections, server.mails) == (1, [])
    assert Delivery.get_by_id(delivery.id).state == State.CANCELLED


def test_a_pause_ends_by_itself_and_the_rest_does_not(any_database: str, clock: Clock) -> None:
    template = a_template()
    pauses, leaves = a_contact(), a_contact()
    unsubscribe.ask(a_mail_to(pauses).id, Choice.PAUSE, Way.PAGE)
    unsubscribe.ask(a_mail_to(leaves).id, Choice.NEVER, Way.PAGE)
    until = clock.at + dt.timedelta(days=90)
    assert unsubscribe.standing(Delivery.get(contact=pauses).id).paused_until == until

    clock.at = until - dt.timedelta(seconds=1)
    assert eligible(template, 10, 0) == []
    clock.at = until + dt.timedelta(days=1)
    assert eligible(template, 10, 0) == [pauses.id]
    assert unsubscribe.standing(Delivery.get(contact=pauses).id) == Standing(address="p…@example.test")


def test_the_strongest_wish_holds_until_it_is_taken_back(any_database: str, clock: Clock) -> None:
    sent = a_mail_to(a_contact(email="ann@example.test"))
    for choice in (Choice.PAUSE, Choice.NEVER, Choice.PAUSE, Choice.NEVER):
        asked = unsubscribe.ask(sent.id, choice, Way.PAGE)
    assert asked == Standing(address="a…@example.test", never=True, can_take_back=True)
    assert (Suppression.get().until, OptOut.select().count(), Action.select().count()) == (None, 2, 2)

    assert unsubscribe.take_back(sent.id) == Standing(address="a…@example.test")
    assert unsubscribe.take_back(sent.id) == Standing(address="a…@example.test")

    assert (Suppression.select().count(), OptOut.select().where(OptOut.taken_back_at.is_null()).count()) == (0, 0)
    assert Action.select().where(Action.verb == "take back").count() == 1
    assert unsubscribe.ask(sent.id, Choice.NEVER, Way.ONE_CLICK).never


@pytest.mark.parametrize("first", ["the operator", "the recipient"])
def test_what_the_operator_has_suppressed_is_not_taken_back_by_the_recipient(any_database: str, first: str) -> None:
    sent = a_mail_to(a_contact(email="ann@example.test"))
    acts: list[Callable[[], object]] = [
        lambda: suppression.add("ann@example.test", "me", "asked by telephone"),
        lambda: unsubscribe.ask(sent.id, Choice.NEVER, Way.ONE_CLICK),
    ]
    for act in acts if first == "the operator" else reversed(acts):
        act()

    assert unsubscribe.take_back(sent.id).never

    assert [(s.reason, s.opt_out_id) for s in Suppression.select()] == [("asked by telephone", None)]


def test_nobody_at_a_company_is_written_to_when_one_of_them_says_so(any_database: str, clock: Clock) -> None:
    website = a_website(domain="acme.test")
    ann, bob = (a_contact(email=f"{name}@acme.test", website=website) for name in ("ann", "bob"))
    private, elsewhere = a_contact(email="eve@mail.test", website=website), a_contact(email="joe@uk.acme.test")
    waiting = {c.id: a_delivery(contact=c) for c in (bob, private, elsewhere)}
    enrolled, stranger = an_enrolment(a_campaign(), bob), a_delivery()
    sent = a_mail_to(ann)

    asked = unsubscribe.ask(sent.id, Choice.COMPANY, Way.PAGE)

    assert asked == Standing("a…@acme.test", "acme.test", never=True, company_never=True, can_take_back=True)
    assert {Delivery.get_by_id(d.id).reason for d in waiting.values()} == {"website_unsubscribed"}
    assert Enrolment.get_by_id(enrolled.id).state == "suppressed"
    assert Delivery.get_by_id(stranger.id).state == State.READY
    newcomer = a_contact(email="new@mail.test", website=website)
    assert newcomer.id not in eligible(a_template(), 10, 0)
    later = a_delivery(State.RESERVED, contact=newcomer, account=an_account(), send_at=clock.at, token="x")
    assert reasons_to_skip([later], clock.at) == {later.id: ["website_unsubscribed"]}

    assert unsubscribe.take_back(sent.id) == Standing("a…@acme.test", "acme.test")
    assert (Suppression.select().count(), Website.get().opt_out_id) == (0, None)


def test_a_company_is_told_by_an_address_at_its_website_alone(sqlite: str) -> None:
    def company(email: str, domain: str) -> str | None:
        return company_of(a_contact(email=email, website=a_website(domain=domain)))

    assert company("ann@acme.test", "acme.test") == "acme.test"
    assert company("ann@web.test", "www.web.test") == "web.test"
    assert company("ann@acme.github.io", "acme.github.io") == "acme.github.io"
    strangers = [("ann@gmail.com", "other.test"), ("bob@gmail.com", "gmail.com"), ("ann@github.io", "github.io")]
    strangers += [("ann@orange.fr", "orange.fr"), ("ann@mailinator.com", "mailinator.com"), ("ann@co.uk", "co.uk")]
    assert [company(*some) for some in strangers] == [None] * len(strangers)
    assert company_of(a_contact(email="ann@none.test")) is None


def test_who_has_no_company_of_their_own_speaks_for_nobody_else(any_database: str) -> None:
    website = a_website(domain="acme.test")
    stranger, bob = a_contact(email="ann@gmail.com", website=website), a_contact(email="b@acme.test", website=website)
    waits = a_delivery(contact=bob)

    asked = unsubscribe.ask(a_mail_to(stranger).id, Choice.COMPANY, Way.PAGE)

    assert (asked.company, asked.never, asked.company_never) == (None, True, False)
    assert (Delivery.get_by_id(waits.id).state, OptOut.get().choice) == (State.READY, "never")


def test_the_operator_is_asked_about_a_large_company_once_and_can_say_no(
    any_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(unsubscribe, "alert", lambda what, why, _at: told.append(f"{what}: {why}"))
    for number, domain in ((20, "small.test"), (21, "large.test")):
        website = a_website(domain=domain)
        people = [a_contact(email=f"p{n}@{domain}", website=website) for n in range(number)]
        sent = a_mail_to(people[0])
        for _ in range(2):
            assert unsubscribe.ask(sent.id, Choice.COMPANY, Way.PAGE).company_never
    assert len(told) == 1
    assert told[0].startswith(f"company unsubscribed: one of 21 contacts of website {website.id} ")
    assert "test" not in told[0].replace("suppress remove", "")

    suppression.remove("large.test", "me")

    assert Website.get_by_id(website.id).opt_out_id is None
    assert not unsubscribe.standing(sent.id).company_never


def test_somebody_forgotten_stays_so_and_a_trial_or_an_unknown_mail_changes_nothing(any_database: str) -> None:
    person = a_contact()
    sent = a_mail_to(person)
    unsubscribe.ask(sent.id, Choice.PAUSE, Way.PAGE)
    forget.forget(person.id, "me")
    before = (OptOut.select().count(), Suppression.select().count())
    for act in (unsubscribe.standing, unsubscribe.take_back, lambda i: unsubscribe.ask(i, Choice.NEVER, Way.PAGE)):
        assert (act(sent.id), act(TRIAL), act(sent.id + 1000)) == (Standing(never=True), Standing(), None)
    assert (OptOut.select().count(), Suppression.select().count()) == before
    assert OptOut.get().contact_id == person.id


@pytest.mark.parametrize("choice", list(Choice))
def test_somebody_who_is_forgotten_while_they_ask_is_in_no_table_again(
    any_database: str, monkeypatch: pytest.MonkeyPatch, choice: Choice
) -> None:
    person = a_contact(email="ann@acme.test", website=a_website(domain="acme.test"))
    sent = a_mail_to(person)
    as_it_was = unsubscribe.contact_of(sent.id)
    forget.forget(person.id, "me")
    before = list(Suppression.select().dicts())
    monkeypatch.setattr(unsubscribe, "contact_of", lambda _: as_it_was)

    assert unsubscribe.ask(sent.id, choice, Way.PAGE) == Standing(never=True)

    assert (list(Suppression.select().dicts()), OptOut.select().count()) == (before, 0)


def test_two_requests_at_once_are_one(any_database: str) -> None:
    if not is_postgres():
        return
    sent = a_mail_to(a_contact())

    with database.transaction():
        database.lock_rows(Contact, Contact.id == sent.contact_id)
        both = [in_a_thread(lambda: unsubscribe.ask(sent.id, Choice.NEVER, Way.ONE_CLICK)) for _ in range(2)]
        until_waiting_for_a_lock()
    for thread in both:
        thread.join(20)
    assert (OptOut.select().count(), Suppression.select().count()) == (1, 1)


def test_who_waits_for_no_mail_waits_for_nobodys_slots(any_database: str) -> None:
    if not is_postgres():
        return
    sent = a_mail_to(a_contact())

    with database.transaction():
        database.lock_throttle()
        asks = in_a_thread(lambda: unsubscribe.ask(sent.id, Choice.NEVER, Way.ONE_CLICK))
        asks.join(20)
        assert not asks.is_alive()
    assert OptOut.select().count() == 1


def test_a_slot_that_gets_free_is_looked_for_without_a_broker(any_database: str, clock: Clock) -> None:
    slot = {"account": an_account(), "send_at": clock.at, "token": "slot"}
    waits = a_delivery(State.RESERVED, **slot)
    unsubscribe.ask(waits.id, Choice.NEVER, Way.ONE_CLICK)
    assert (Delivery.get().account_id, Control.get().wake_at) == (None, clock.at)


def a_mail_to(contact: Contact) -> Delivery:
    """Store a mail that was sent to a contact long ago."""
    return a_delivery(State.SENT, contact=contact, sent_at=database.now() - dt.timedelta(days=400))
