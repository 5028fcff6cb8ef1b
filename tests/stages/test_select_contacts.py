"""Stage 1: an id becomes one delivery, once, or a reason."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

from models import CampaignState, DeadLetter, Delivery, Enrolment, EnrolmentState, State, database
from pipeline import select_contacts
from pipeline.flow import Stage
from pipeline.operations import forget
from tests.builders import a_campaign, a_contact, a_delivery, a_template, a_website, an_enrolment
from tests.conftest import until_waiting_for_a_lock


def test_contacts_become_deliveries_of_the_active_template_with_the_lowest_id(any_database: str) -> None:
    a_template(active=False)
    template = a_template()
    a_template()
    first, second = a_contact(priority=4, email="Ann@Example.test"), a_contact()

    handoffs = select_contacts.select(select_contacts.asked("m1", [first.id, second.id, first.id]))

    deliveries = list(Delivery.select().order_by(Delivery.contact))
    assert [(h.stage, sorted(h.ids)) for h in handoffs] == [(Stage.DEDUPE, sorted(d.id for d in deliveries))]
    assert [d.template_id for d in deliveries] == [template.id, template.id]
    assert [d.priority for d in deliveries] == [4, 0]
    assert (deliveries[0].recipient, deliveries[0].address) == ("Ann@Example.test", "ann@example.test")


def test_a_redelivered_message_makes_nothing_new_and_is_handed_on_again(any_database: str) -> None:
    a_template()
    contact = a_contact()
    first = select_contacts.select(select_contacts.asked("m1", [contact.id]))
    assert select_contacts.select(select_contacts.asked("m1", [contact.id])) == first
    assert Delivery.select().count() == 1


def test_two_messages_in_one_call_that_ask_for_one_contact_give_two_rows(any_database: str) -> None:
    a_template()
    contact = a_contact().id
    asked = [("m1", contact), ("m2", contact), ("m2", 999_999), ("m1", contact)]
    (handoff,) = select_contacts.select(asked)
    rows = list(Delivery.select().order_by(Delivery.id))
    assert [(d.source, d.state, d.reason) for d in rows] == [("m1", "selected", None), ("m2", "skipped", "in_flight")]
    assert list(handoff.ids) == [rows[0].id]
    assert [(d.message_id, d.reason) for d in DeadLetter.select()] == [("m2", "contact 999999 does not exist")]
    assert select_contacts.select(asked[:1]) == [handoff]


def test_every_reason_against_a_contact_is_stored(any_database: str) -> None:
    a_template()
    unfit = a_website(meets_requirements=False)
    bad = a_contact(validated=False, address_valid=False, website=unfit)
    assert select_contacts.select(select_contacts.asked("m1", [bad.id])) == []
    assert states() == {bad.id: (State.SKIPPED, "not_validated,invalid_address,website_requirements")}


def test_an_unfinished_delivery_of_the_contact_or_its_address_is_in_flight(any_database: str) -> None:
    a_template()
    doubtful = a_delivery(State.IN_DOUBT).contact
    one, same_person = a_contact(email="j.doe@gmail.com"), a_contact(email="JDoe+x@googlemail.com")

    select_contacts.select(select_contacts.asked("m1", [doubtful.id, one.id, same_person.id]))

    reasons = states()
    assert reasons[doubtful.id] == (State.SKIPPED, "in_flight")
    assert sorted([reasons[one.id], reasons[same_person.id]]) == [("selected", None), ("skipped", "in_flight")]


def test_what_can_not_be_selected_is_a_dead_letter_that_can_be_put_back(any_database: str) -> None:
    template = a_template()
    contact = a_contact()
    for _ in range(2):  # a redelivery files nothing twice
        select_contacts.select(select_contacts.asked("m1", [contact.id, 999_999]), template_id=template.id, priority=5)
    select_contacts.select(select_contacts.asked("m2", [contact.id]), template_id=888_888)

    letters = [(d.reason, json.loads(bytes(d.body))) for d in DeadLetter.select().order_by(DeadLetter.id)]
    assert letters == [
        (
            "contact 999999 does not exist",
            {"contact_ids": [999_999], "template_id": template.id, "priority": 5},
        ),
        ("template 888888 does not exist", {"contact_ids": [contact.id], "template_id": 888_888}),
    ]
    assert Delivery.select().count() == 1


def test_a_message_that_names_a_campaign_enrols_and_again_changes_nothing(any_database: str) -> None:
    campaign, other = a_campaign(), a_campaign()
    new, busy = a_contact(priority=4), an_enrolment(other).contact
    ended = an_enrolment(campaign, state=EnrolmentState.STOPPED).contact
    for _ in range(2):
        ids = [new.id, busy.id, ended.id, 999_999]
        assert select_contacts.select(select_contacts.asked("m1", ids), campaign_id=campaign.id) == []
    enrolled = [(e.contact_id, e.state, e.position, e.priority) for e in Enrolment.select().order_by(Enrolment.id)]
    assert enrolled[1:] == [(ended.id, "stopped", 1, 0), (new.id, "active", 1, 4)]
    letters = [(d.reason, json.loads(bytes(d.body))) for d in DeadLetter.select().order_by(DeadLetter.id)]
    assert letters == [
        (
            f"contact {busy.id} is in another campaign, which goes on",
            {"contact_ids": [busy.id], "campaign_id": campaign.id},
        ),
        ("contact 999999 does not exist", {"contact_ids": [999_999], "campaign_id": campaign.id}),
    ]
    assert Delivery.select().count() == 0


def test_nobody_is_enrolled_in_a_campaign_that_is_unknown_or_done(any_database: str) -> None:
    done, contact = a_campaign(state=CampaignState.DONE), a_contact()
    for campaign_id in (done.id, 99):
        select_contacts.select(select_contacts.asked("m1", [contact.id]), campaign_id=campaign_id)
    letters = [
        (d.reason, json.loads(bytes(d.body))["campaign_id"]) for d in DeadLetter.select().order_by(DeadLetter.id)
    ]
    assert letters == [
        (f"campaign {done.id} is done, and takes nobody any more", done.id),
        ("campaign 99 does not exist", 99),
    ]
    assert Enrolment.select().count() == 0


def test_two_processes_that_select_one_address_at_the_same_instant_make_one_delivery(postgres: str) -> None:
    a_template()
    contacts = [a_contact(email=f"j.d{'.' * (i % 2)}oe+{i}@gmail.com") for i in range(8)]
    start = threading.Barrier(len(contacts))

    def select(contact_id: int, source: str) -> None:
        with database.connection():
            start.wait()
            select_contacts.select(select_contacts.asked(source, [contact_id]))

    threads = [threading.Thread(target=select, args=(c.id, f"m{c.id}")) for c in contacts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(states().values()) == [("selected", None), *[("skipped", "in_flight")] * 7]


def test_who_is_forgotten_at_the_same_instant_is_selected_no_more(postgres: str) -> None:
    a_template()
    contact = a_contact(email="jo@person.test")
    other = in_a_thread(lambda: select_contacts.select(select_contacts.asked("m1", [contact.id])))
    with database.transaction():
        forget.forget(contact.id, "me")
        other.start()
        until_waiting_for_a_lock()
    other.join()
    assert Delivery.select().count() == 0
    assert [d.reason for d in DeadLetter.select()] == [f"contact {contact.id} does not exist"]


def test_who_is_selected_at_the_same_instant_is_forgotten_with_that_delivery(postgres: str) -> None:
    a_template()
    contact = a_contact(email="jo@person.test")
    other = in_a_thread(lambda: forget.forget(contact.id, "me"))
    with database.transaction():
        select_contacts.select(select_contacts.asked("m1", [contact.id]))
        other.start()
        until_waiting_for_a_lock()
    other.join()
    delivery = Delivery.get()
    assert (delivery.state, delivery.reason, delivery.recipient) == (State.CANCELLED, "forgotten", "forgotten")
    assert "person.test" not in delivery.address


def states() -> dict[int, tuple[str, str | None]]:
    """Return state and reason of the newest delivery of each contact."""
    return {d.contact_id: (d.state, d.reason) for d in Delivery.select().order_by(Delivery.id)}


def in_a_thread(do: Callable[[], object]) -> threading.Thread:
    """Return a thread, not yet started, that does something on a connection of its own."""

    def work() -> None:
        with database.connection():
            do()

    return threading.Thread(target=work)
