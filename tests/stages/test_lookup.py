"""A contact is found by its id or by its address, in whatever spelling; or it is said why not."""

from __future__ import annotations

import pytest

from models.lookup import NotThereError, contact_of
from tests.builders import a_contact


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
