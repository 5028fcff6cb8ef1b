"""Stage 3: a cleared delivery gets its words, which are what is sent; a mistake in a template fails it alone."""

from __future__ import annotations

from models import DeadLetter, Delivery, EmailTemplate, State
from pipeline import render_message
from pipeline.flow import TRIGGER, Handoff, Stage
from pipeline.operations.rerender import rerender
from tests.builders import a_contact, a_delivery, a_template, a_website, an_account
from tests.conftest import Clock


def test_each_delivery_of_a_list_gets_its_own_words(any_database: str) -> None:
    ann = a_contact(name="Ann", website=a_website(title="Ann's <site>"), extra={"city": "Bonn"})
    bob = a_contact(name="Bob")
    plain = a_template(subject="Hi {{ contact.name }}", text="Dear {{ contact.name }},\n")
    rich = a_template(
        subject="For {{ website.title }}",
        text="In {{ contact.city }}",
        html="<p>{{ website.title }}</p>",
        preheader="{{ contact.name }}!",
    )
    to_ann, to_bob = unrendered(ann, rich), unrendered(bob, plain)

    assert render_message.render([to_ann.id, to_bob.id]) == [TRIGGER]

    assert words_of(to_ann) == ("For Ann's <site>", "In Bonn", "<p>Ann&#39;s &lt;site&gt;</p>", "Ann!")
    assert words_of(to_bob) == ("Hi Bob", "Dear Bob,\n", None, None)
    assert [d.state for d in Delivery.select()] == [State.READY] * 2


def test_a_mistake_in_a_template_fails_its_deliveries_with_the_line_and_no_other(any_database: str) -> None:
    undefined = unrendered(a_contact(), a_template(text="Dear you,\n{{ contact.nickname }}"))
    misspelt = unrendered(a_contact(), a_template(html="<p>\n\n{% endfor %}"))
    fine = unrendered(a_contact(name="Ann"), a_template())

    assert render_message.render([undefined.id, misspelt.id, fine.id]) == [
        Handoff(Stage.RECORD, [undefined.id, misspelt.id]),
        TRIGGER,
    ]

    assert [d.state for d in Delivery.select().order_by(Delivery.id)] == [State.FAILED, State.FAILED, State.READY]
    letters = {row.delivery_id: row for row in DeadLetter.select()}
    assert {letter.reason for letter in letters.values()} == {"template_error"}
    assert letters[undefined.id].detail.startswith("text, line 2: ")
    assert letters[misspelt.id].detail.startswith("html, line 3: ")
    assert Delivery.get_by_id(undefined.id).detail == letters[undefined.id].detail


def test_only_mistakes_trigger_no_reservation(any_database: str) -> None:
    delivery = unrendered(a_contact(), a_template(text="{{ nothing }}"))
    assert render_message.render([delivery.id]) == [Handoff(Stage.RECORD, [delivery.id])]


def test_a_second_message_hands_on_again_and_changes_no_words(any_database: str) -> None:
    delivery = unrendered(a_contact(name="Ann"), a_template())
    render_message.render([delivery.id])
    EmailTemplate.update(subject="edited", text="edited").execute()
    assert render_message.render([delivery.id]) == [TRIGGER]
    assert words_of(delivery) == ("Hello Ann", "Dear Ann", None, None)


def test_what_is_not_cleared_is_left_alone(any_database: str) -> None:
    for state in (State.SELECTED, State.SENT, State.CANCELLED):
        delivery = a_delivery(state)
        assert render_message.render([delivery.id]) == []
        assert (Delivery.get_by_id(delivery.id).state, words_of(delivery)[0]) == (state, "Hello")


def test_an_edit_reaches_what_waits_by_rerender_alone_and_takes_its_slots_back(any_database: str, clock: Clock) -> None:
    template = a_template()
    slot = {"account": an_account(), "send_at": clock.at, "token": "slot"}
    reserved = a_delivery(State.RESERVED, contact=a_contact(name="Ann"), template=template, **slot)
    ready = a_delivery(contact=a_contact(name=""), template=template)
    sent = a_delivery(State.SENT, template=template, sent_at=clock.at)
    EmailTemplate.update(subject="News, {{ contact.name or undefined }}", text="Anew").execute()

    done = rerender(template.id, "me")

    assert (done.rerendered, [e.delivery_id for e in done.errors]) == ((reserved.id,), [ready.id])
    assert done.handoffs == (TRIGGER,)
    assert words_of(reserved)[:2] == ("News, Ann", "Anew")
    assert words_of(ready)[:2] == words_of(sent)[:2] == ("Hello", "Dear reader")
    assert (Delivery.get_by_id(reserved.id).state, Delivery.get_by_id(reserved.id).token) == (State.READY, None)


WORDS = (Delivery.subject, Delivery.text, Delivery.html, Delivery.preheader)


def unrendered(contact: object, template: object) -> Delivery:
    """Store a cleared delivery that has no words yet."""
    return a_delivery(State.CLEARED, contact=contact, template=template, subject=None, text=None)


def words_of(delivery: Delivery) -> tuple[str | None, ...]:
    """Return subject, text, HTML and preheader as stored."""
    return Delivery.select(*WORDS).where(Delivery.id == delivery.id).tuples().get()
