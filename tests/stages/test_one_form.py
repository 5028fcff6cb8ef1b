"""One form of an address, and the migration to it: nobody is written to twice, or against their will."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from models import Action, Contact, Delivery, State, Suppression, database, schema
from models.database import db
from models.errors import SlowpostError
from pipeline import check_duplicates, select_contacts
from pipeline.operations import forget, suppression
from pipeline.rules.forgotten import forgotten_among
from pipeline.rules.suppressed import suppressed_among
from tests.builders import a_contact, a_delivery, a_template, a_website, history_of
from tests.conftest import Clock

pytestmark = pytest.mark.usefixtures("any_database")


@pytest.mark.parametrize("address", ["carol@x.test", '"carol"@x.test'])
@pytest.mark.parametrize(
    ("before", "becomes"),
    [
        (lambda: suppression.add("carol@x.test", "me"), "suppressed_address"),
        (lambda: suppression.add(r'"c\arol"@x.test', "me"), "suppressed_address"),
        (lambda: a_delivery(State.SENT, contact=carol(), sent_at=database.now()), "contacted_recently"),
        (lambda: a_delivery(State.IN_DOUBT, contact=carol()), "in_flight"),
        (lambda: forget.forget(carol().id, "me"), "suppressed_address"),
    ],
)
def test_quotes_lead_around_no_rule(before: Callable[[], object], becomes: str, address: str) -> None:
    """The version before, which may be at work still, stores an address with its quotes."""
    a_template()
    before()
    contact = stored('"carol"@x.test', address)
    for handoff in select_contacts.select(select_contacts.asked("m1", [contact.id])):
        check_duplicates.clear(handoff.ids)
    assert Delivery.get(Delivery.contact == contact).reason == becomes


def test_who_is_forgotten_in_one_spelling_is_in_all(clock: Clock) -> None:
    contacts = [carol(), stored('"carol"@x.test', '"carol"@x.test')]
    Suppression.create(kind="address", value='"carol"@x.test', reason="of the version before", created_at=clock.at)
    done = forget.forget('"caroL"@x.test', "me", 'asked by "carol"@x.test')
    assert set(done.contact_ids) == {c.id for c in contacts}
    assert [s.value[:5] for s in Suppression.select()] == ["hmac:"]
    assert forgotten_among({"carol@x.test"}) == {"carol@x.test"}
    assert Action.get().reason == "(erased)"


def test_two_contacts_that_become_one_are_merged_and_each_is_told_of() -> None:
    older = stored('"carol"@example.com', '"carol"@example.com', extra={"topic": "bees"})
    lacked = {"name": "Carol", "website": a_website(), "timezone": "Europe/Berlin"}
    younger = a_contact(email="Carol@example.com", validated=False, extra={"topic": "x", "city": "Bonn"}, **lacked)
    source = {"source": "one message"}
    first, second = a_delivery(contact=older, **source), a_delivery(State.RESERVED, contact=younger, **source)

    told = migrated()

    assert [d.address for d in Delivery.select()] == ["carol@example.com"] * 2
    contact = Contact.get()
    assert (contact.id, contact.email, contact.address) == (older.id, '"carol"@example.com', "carol@example.com")
    assert {name: getattr(contact, name) for name in lacked} == lacked
    assert not contact.validated
    assert contact.extra == {"topic": "bees", "city": "Bonn"}
    assert [d.contact_id for d in Delivery.select()] == [older.id] * 2
    assert Delivery.get_by_id(first.id).timezone == "Europe/Berlin"
    assert [state_of(d) for d in (first, second)] == [("ready", None), ("skipped", "in_flight")]
    assert [(e.origin, e.state, e.reason, e.cause) for e in history_of([second.id])][-1:] == [
        ("reserved", "skipped", "in_flight", "migration")
    ]
    assert told == [
        f"delivery {second.id} is skipped (in_flight): there is another to the same person",
        f"contact {younger.id} ('Carol@example.com') is contact {older.id} ('\"carol\"@example.com') now, "
        "which got its deliveries: 1",
    ]


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ('"john"@gmail.com', '"john"@gmail.com'),
        ('"j.ohn+x"@gmail.com', '"john@gmail.com'),
        ("JOHN+y@googlemail.com", "john@gmail.com"),
        ("jo\u0308hn@gmail.com", "jo\u0308hn@gmail.com"),
    ],
)
@pytest.mark.parametrize("state", [State.CLEARED, State.READY, State.RESERVED])
def test_who_was_written_to_in_another_spelling_is_not_written_to_again(
    written: str, address: str, state: State, clock: Clock
) -> None:
    usual = "j\u00f6hn@gmail.com" if "\u0308" in written else "john@gmail.com"
    waiting = a_delivery(state, contact=a_contact(email=usual))
    a_delivery(State.SENT, contact=stored(written, address), sent_at=clock.at)
    migrated()
    is_new = written[:4] != "JOHN"
    assert state_of(waiting) == (("skipped", "contacted_recently") if is_new else (state, None))
    assert {d.address for d in Delivery.select()} == {usual}


@pytest.mark.parametrize(
    ("first", "second", "become"),
    [
        (State.SELECTED, State.SENDING, ("skipped", "sending")),
        (State.READY, State.IN_DOUBT, ("skipped", "in_doubt")),
        (State.SENDING, State.IN_DOUBT, ("sending", "sent")),
        (State.IN_DOUBT, State.IN_DOUBT, ("in_doubt", "sent")),
    ],
)
def test_what_is_claimed_or_in_doubt_stays_on_its_way(first: State, second: State, become: tuple[str, str]) -> None:
    one = a_delivery(first, contact=stored('"bob"@x.test', '"bob"@x.test'))
    other = a_delivery(second, contact=a_contact(email="bob@x.test"))
    assert migrated()
    assert (state_of(one)[0], state_of(other)[0]) == become


def test_two_mails_that_are_being_sent_to_one_person_are_waited_for() -> None:
    contacts = [stored('"bob"@x.test', '"bob"@x.test'), a_contact(email="bob@x.test")]
    before = [a_delivery(State.SENDING, contact=c).address for c in contacts]
    with pytest.raises(SlowpostError, match="in a minute"):
        migrated()
    assert ([d.address for d in Delivery.select()], Contact.select().count()) == (before, 2)
    Delivery.update(state=State.SENT).execute()
    assert migrated()


def test_suppressions_become_one_and_forgotten_people_stay_forgotten(clock: Clock) -> None:
    for value in (
        '"a"@x.test',
        "a@x.test",
        '"b"@x.test',
        '"john@gmail.com',
        unkeyed('"c"@x.test'),
        unkeyed('"d@gmail.com'),
    ):
        Suppression.create(kind="address", value=value, created_at=clock.at)
    # Before, and after it.
    asked = {"a@x.test", "b@x.test", "john@gmail.com", "c@x.test", "d@gmail.com"}
    assert set(suppressed_among({*asked, "e@x.test"}, database.now())) == asked
    told = migrated()
    assert told == ["the suppression of '\"a\"@x.test' is that of 'a@x.test' now"]
    assert set(suppressed_among({*asked, "e@x.test"}, database.now())) == asked
    stored = [s.value for s in Suppression.select().order_by(Suppression.id)]
    assert stored == ["a@x.test", "b@x.test", "john@gmail.com", unkeyed('"c"@x.test'), unkeyed('"d@gmail.com')]


def test_killed_at_any_line_it_has_done_nothing_and_does_it_all_when_it_is_run_again(clock: Clock) -> None:
    for name in ("ann", "bob"):
        a_delivery(contact=stored(f'"{name}"@x.test', f'"{name}"@x.test'))
        a_delivery(contact=a_contact(email=f"{name}@x.test"))
        for value in (f'"{name}"@x.test', f"{name}@x.test"):
            Suppression.create(kind="address", value=value, created_at=clock.at)
    before = everything()
    for line in range(6):
        with pytest.raises(KeyboardInterrupt):
            migrated(killed_at=line)
        assert everything() == before
    assert len(migrated()) == 6
    assert Contact.select().count() == 2
    after = everything()
    assert migrated() == []
    assert everything() == after


def unkeyed(address: str) -> str:
    """Return the hash by which the version before kept who was forgotten."""
    return f"sha256:{hashlib.sha256(address.encode()).hexdigest()}"


def carol() -> Contact:
    """Store her."""
    return a_contact(email="carol@x.test")


def stored(email: str, address: str, **values: Any) -> Contact:
    """Store a contact as the version before did."""
    return a_contact(email=email, address=address, **values)


def migrated(killed_at: int | None = None) -> list[str]:
    """Run the migration, once more if it has been; return what was told."""
    db.execute_sql("DELETE FROM migratehistory WHERE name = '005_addresses'")
    told: list[str] = []

    def tell(line: str) -> None:
        if len(told) == killed_at:
            raise KeyboardInterrupt
        told.append(line)

    assert "005_addresses" in schema.migrate(tell)
    return told


def state_of(delivery: Delivery) -> tuple[str, str | None]:
    """Return state and reason of a delivery as it is now."""
    now: Delivery = Delivery.get_by_id(delivery.id)
    return now.state, now.reason


def everything() -> list[Any]:
    """Return all rows that the migration can change."""
    return [list(model.select().order_by(model.id).dicts()) for model in (Contact, Delivery, Suppression)]
