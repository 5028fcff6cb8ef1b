"""Stage 3: a cleared delivery gets its words, which are what is sent; a mistake in a template fails it alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from models import Action, DeadLetter, Delivery, EmailTemplate, State, database
from models.database import db
from pipeline import render_message
from pipeline.content import template as templates
from pipeline.content.template import Parts
from pipeline.flow import TRIGGER, Handoff, Stage
from pipeline.operations import pause
from pipeline.operations.forget import forget
from pipeline.operations.pause import Target
from pipeline.operations.rerender import rerender
from pipeline.operations.templates import change
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


def test_slots_of_what_keeps_its_words_stay_and_what_is_done_is_done_when_it_is_stopped_and_run_again(
    any_database: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.operations.rerender.AT_ONCE", 2)
    template = a_template(subject="Hello", text="Dear reader")
    slot = {"account": an_account(), "send_at": clock.at, "token": "slot"}
    reserved = a_delivery(State.RESERVED, template=template, **slot)
    ids = [reserved.id, *(a_delivery(template=template).id for _ in range(4))]
    unchanged = rerender(template.id, "me")
    assert (unchanged.rerendered, Delivery.get_by_id(reserved.id).token) == (tuple(ids), "slot")

    EmailTemplate.update(text="Anew").execute()
    seen: list[tuple[int, int]] = []

    def stop(*so_far: int) -> None:
        seen.append(so_far)
        if so_far == (4, 5):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rerender(template.id, "me", progress=stop)
    assert seen == [(2, 5), (4, 5)]
    assert [d.text for d in Delivery.select().order_by(Delivery.id)] == ["Anew"] * 4 + ["Dear reader"]
    assert rerender(template.id, "me").rerendered == tuple(ids)
    assert {(d.state, d.text) for d in Delivery.select()} == {(State.READY, "Anew")}
    assert Action.select().count() == 3


def test_nothing_is_open_while_a_template_is_rendered_so_that_others_go_on(any_database: str, other: Other) -> None:
    account, template = an_account(), a_template()
    deliveries = [unrendered(a_contact(), template) for _ in range(3)]
    pauses = [lambda: pause.pause(Target(account.id), "me"), lambda: pause.pause(Target(), "me")]
    other.acts_while_it_renders(pauses[0])
    render_message.render([d.id for d in deliveries])
    other.acts_while_it_renders(pauses[1])
    EmailTemplate.update(text="Anew").execute()
    assert len(rerender(template.id, "me").rerendered) == 3
    assert [other.states, other.changed] == [["idle", "idle"] if database.is_postgres() else [], [True, True]]


@pytest.mark.parametrize("again", [False, True], ids=["render", "rerender"])
def test_an_edit_while_it_renders_reaches_every_word(any_database: str, other: Other, again: bool) -> None:
    template = a_template()
    waits = a_delivery(template=template) if again else unrendered(a_contact(), template)
    other.acts_while_it_renders(lambda: change(template.id, "me", {"subject": "News", "text": "{{ contact.id }}"}))
    if again:
        rerender(template.id, "me")
    else:
        render_message.render([waits.id])
    assert words_of(waits)[:2] == ("News", str(waits.contact_id))


@pytest.mark.parametrize("again", [False, True], ids=["render", "rerender"])
def test_of_a_person_who_is_forgotten_while_it_renders_no_word_is_stored(
    any_database: str, other: Other, again: bool
) -> None:
    template, contact = a_template(subject="Dear {{ contact.name }}"), a_contact(name="Ann")
    waits = a_delivery(contact=contact, template=template) if again else unrendered(contact, template)
    other.acts_while_it_renders(lambda: forget(contact.id, "me"))
    if again:
        assert rerender(template.id, "me").rerendered == ()
    else:
        assert render_message.render([waits.id]) == []
    assert (Delivery.get().state, words_of(waits)) == (State.CANCELLED, (None,) * 4)


def test_a_template_just_under_its_time_limit_is_rendered_however_long_a_list_takes(
    any_database: str, other: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database.is_postgres():
        db.execute_sql("SET idle_in_transaction_session_timeout = 100")
    deliveries = [unrendered(a_contact(), a_template()) for _ in range(3)]
    other.acts_while_it_renders(lambda: time.sleep(0.3))
    assert render_message.render([d.id for d in deliveries]) == [TRIGGER]


class Other:
    """Somebody else, who does something in a connection of their own just when a template is rendered.

    Attributes:
        changed: what came of it, where that can be told.
        states: what the connection that renders was doing then, on PostgreSQL.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.changed: list[Any] = []
        self.states: list[str] = []

    def acts_while_it_renders(self, act: Callable[[], Any]) -> None:
        """Prepare it, once."""
        real = templates.render

        def render(*args: Any) -> Parts:
            self._monkeypatch.setattr(templates, "render", real)
            pid = db.execute_sql("SELECT pg_backend_pid()").fetchone()[0] if database.is_postgres() else None
            thread = threading.Thread(target=self._act, args=(act, pid))
            thread.start()
            thread.join(20)
            assert not thread.is_alive(), "it waits for the one that renders"
            return real(*args)

        self._monkeypatch.setattr(templates, "render", render)

    def _act(self, act: Callable[[], Any], pid: int | None) -> None:
        with database.connection():
            if pid is not None:
                query = "SELECT state FROM pg_stat_activity WHERE pid = %s"
                self.states.append(db.execute_sql(query, (pid,)).fetchone()[0])
            self.changed.append(getattr(act(), "changed", None))


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Other:
    """Somebody else."""
    return Other(monkeypatch)


WORDS = (Delivery.subject, Delivery.text, Delivery.html, Delivery.preheader)


def unrendered(contact: object, template: object) -> Delivery:
    """Store a cleared delivery that has no words yet."""
    return a_delivery(State.CLEARED, contact=contact, template=template, subject=None, text=None)


def words_of(delivery: Delivery) -> tuple[str | None, ...]:
    """Return subject, text, HTML and preheader as stored."""
    return Delivery.select(*WORDS).where(Delivery.id == delivery.id).tuples().get()
