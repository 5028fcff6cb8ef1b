"""A contact is found by its id or by its address, in whatever spelling; or it is said why not."""

from __future__ import annotations

import pytest

from models import Purpose, State, database
from models.lookup import NotThereError, contact_of
from models.suppression import suppress
from pipeline.reports import contacts
from pipeline.rules.forgotten import kept
from pipeline.runtime import keys
from tests.builders import a_contact, a_delivery, a_website


def test_a_contact_is_found_by_id_and_by_any_spelling_of_its_address(any_database: str) -> None:
    a_contact(email="other@x.test")
    contact = a_contact(email="J.Doe@gmail.com")
    for text in (str(contact.id), f" {contact.id} ", "j.doe@gmail.com", "JDOE+news@googlemail.com"):
        assert contact_of(text) == contact


def test_of_several_with_one_address_the_one_that_is_written_like_that_is_meant(any_database: str) -> None:
    first, second = a_contact(email="j.doe@gmail.com"), a_contact(email="jdoe@gmail.com")
    assert contact_of("JDoe@gmail.com") == second
    with pytest.raises(NotThereError) as refused:
        contact_of("j.d.o.e@gmail.com")
    assert str(refused.value) == (
        f"several contacts have the address jdoe@gmail.com: give one of the ids {first.id}, {second.id}"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("17", "there is no contact 17"),
        ("nobody@x.test", "there is no contact with the address nobody@x.test"),
    ],
)
def test_a_contact_that_is_not_there_is_named_as_it_was_asked_for(any_database: str, text: str, says: str) -> None:
    with pytest.raises(NotThereError) as refused:
        contact_of(text)
    assert str(refused.value) == says


def test_a_part_of_address_name_or_domain_finds_contacts_on_either_database(any_database: str) -> None:
    by_address, by_name = a_contact(email="x@Doe-1.test"), a_contact(name="Jane DOE")
    by_website = a_contact(website=a_website(domain="doe.test"))
    a_contact(email="doe@x.test", forgotten_at=database.now())
    a_contact(email="d.o.e@x.test", name="D%E")
    assert [row.id for row in contacts.find("doe", 10)] == [by_address.id, by_name.id, by_website.id]
    assert [row.id for row in contacts.find("d_e", 10)] == []
    assert len(contacts.find("", 3)) == 3


def test_all_that_keeps_a_contact_from_being_mailed_is_shown_with_it(any_database: str) -> None:
    contact = a_contact(email="j.doe@mail.x.test")
    delivery = a_delivery(State.SKIPPED, contact=contact, reason="in_flight,suppressed_domain")
    hashed = kept(keys.make(Purpose.FORGOTTEN), contact.address)
    suppress("address", ["other@mail.x.test", hashed], "", database.now())
    suppress("domain", ["x.test", "test.x"], "", database.now())
    found = contacts.contact("J.Doe@mail.x.test")
    assert [row.value for row in found.suppressions] == [hashed, "x.test"]
    assert [(d.id, d.reasons) for d in found.deliveries] == [(delivery.id, ("in_flight", "suppressed_domain"))]
