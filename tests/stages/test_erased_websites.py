"""A website is erased with the last of its people, and is known again if an import brings its domain."""

from __future__ import annotations

from collections.abc import Callable

from models import Contact, Reason, State, Website, database
from pipeline.operations import imports
from pipeline.operations.batches import Imported
from pipeline.operations.csv_rows import Listener
from pipeline.operations.forget import forget
from pipeline.rules.duplicates import reasons_against
from tests.builders import a_contact, a_delivery, a_website
from tests.conftest import until_waiting_for_a_lock
from tests.stages.test_select_contacts import in_a_thread

DOMAIN = "doe.example"


def test_a_website_of_others_too_stays_until_the_last_of_them_is_forgotten(any_database: str) -> None:
    website = a_website(domain="doe.example", title="The Does", meets_requirements=False)
    people = [a_contact(website=website), a_contact(website=website)]
    forget(people[0].id, "me")
    assert (Website.get().domain, Website.get().title) == ("doe.example", "The Does")
    forget(people[1].id, "me")
    assert (Website.get().domain[:5], Website.get().title) == ("hmac:", "")
    # Its row is known again, with what was decided about it, when an import brings the domain.
    lines = ["email,website", "new@doe.example,doe.example", "other@doe.example,doe.example"]
    assert imported(imports.contacts, lines).added == 2
    assert [(w.id, w.domain, w.meets_requirements) for w in Website.select()] == [(website.id, "doe.example", False)]


def test_the_days_between_two_mails_to_a_website_outlast_its_name(any_database: str) -> None:
    person = a_contact(website=a_website(domain="doe.example"))
    a_delivery(State.SENT, contact=person, sent_at=database.now())
    forget(person.id, "me")
    # Refused with the person's own address, the domain does not come back.
    assert imported(imports.contacts, ["email,website", f"{person.email},{DOMAIN}"]).refused == 1
    assert Website.get().domain != "doe.example"
    imported(imports.websites, ["domain,title", "doe.example,New"])
    imported(imports.contacts, ["email,website", "new@doe.example,doe.example"])
    new = a_delivery(State.SELECTED, contact=Contact.get(Contact.email == "new@doe.example"))
    assert reasons_against([new]) == {new.id: [Reason.WEBSITE_CONTACTED_RECENTLY]}


def test_a_website_to_which_somebody_is_being_added_is_not_erased(postgres: str) -> None:
    person = a_contact(website=a_website(domain=DOMAIN))
    forgets = in_a_thread(lambda: forget(person.id, "me"))
    with database.transaction():
        imported(imports.contacts, ["email,website", f"new@{DOMAIN},{DOMAIN}"])
        forgets.start()
        until_waiting_for_a_lock()
    forgets.join()
    assert [w.domain for w in Website.select()] == [DOMAIN]


def test_who_is_added_to_a_website_while_it_is_erased_brings_it_back(postgres: str) -> None:
    website = a_website(domain=DOMAIN)
    person = a_contact(website=website)
    adds = in_a_thread(lambda: imported(imports.contacts, ["email,website", f"new@{DOMAIN},{DOMAIN}"]))
    with database.transaction():
        forget(person.id, "me")
        adds.start()
        until_waiting_for_a_lock()
    adds.join()
    assert [(w.id, w.domain) for w in Website.select()] == [(website.id, DOMAIN)]
    assert Contact.get(Contact.email == f"new@{DOMAIN}").website_id == website.id


def imported(load: Callable[..., Imported], lines: list[str]) -> Imported:
    """Import lines, whatever is refused."""
    return load(lines, Listener(lambda *_: None))
