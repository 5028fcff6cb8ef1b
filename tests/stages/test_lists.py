"""Lists of contacts: how they are named, who is on them, and that they decide who is picked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from models import Action, Contact, ContactList, ListMember, State, database, lookup
from models.contact_list import enlist
from models.lookup import NotThereError
from models.suppression import suppress
from pipeline.operations import forget, imports, lists
from pipeline.operations.csv_rows import Listener
from pipeline.operations.done import OperationRefusedError
from pipeline.operations.fields import FieldError
from pipeline.operations.lists import ListDone, MembersDone
from pipeline.reports import lists as reports
from pipeline.rules.eligible import eligible
from schedules import publish_batch
from tests.builders import a_contact, a_delivery, a_list, a_template, a_website, an_account
from tests.conftest import Clock, until_waiting_for_a_lock
from tests.stages.test_select_contacts import in_a_thread


def test_a_name_is_one_whatever_the_case_of_its_letters_and_a_list_is_meant_by_it_or_its_id(any_database: str) -> None:
    made = lists.add("  Zahnärzte  ", "me")
    assert made == ListDone(1, "Zahnärzte", 0)
    for same in ("ZAHNÄRZTE", "zahnärzte", "zahna\u0308rzte"):
        assert lookup.contact_list(same).id == made.id
        with pytest.raises(OperationRefusedError, match="there is a list"):
            lists.add(same, "me")
    assert lookup.contact_list("1").name == "Zahnärzte"
    with pytest.raises(NotThereError, match="there is no list 2"):
        lookup.contact_list("2")
    with pytest.raises(NotThereError, match="there is no list 'dentists'"):
        lookup.contact_list("dentists")


@pytest.mark.parametrize("name", ["", "  ", "12", "٣", "a\nb", "a\x00b", "a\u202eb", "n" * 101])
def test_a_name_that_can_not_be_read_or_told_from_an_id_is_refused(any_database: str, name: str) -> None:
    a_list(name="there")
    with pytest.raises(FieldError, match="1 to 100 printable characters, not only digits"):
        lists.add(name, "me")
    with pytest.raises(FieldError):
        lists.rename("there", name, "me")
    assert [found.name for found in ContactList.select()] == ["there"]


def test_a_list_that_is_renamed_keeps_who_is_on_it_and_takes_no_others_name(any_database: str) -> None:
    renamed, other = a_list(a_contact(), name="one"), a_list(name="other")
    assert lists.rename("ONE", "One", "me", "nicer") == ListDone(renamed.id, "One", 1)
    with pytest.raises(OperationRefusedError, match="there is a list 'OTHER' already"):
        lists.rename("one", "OTHER", "me")
    assert [found.name for found in ContactList.select().order_by(ContactList.id)] == ["One", other.name]
    assert actions() == [("rename", f"list {renamed.id}", "nicer")]


def test_a_list_that_is_removed_leaves_its_contacts_and_other_lists(any_database: str) -> None:
    contact = a_contact()
    gone, other = a_list(contact, name="gone"), a_list(contact)
    assert lists.remove("gone", "me").members == 1
    assert [(m.list_id, m.contact_id) for m in ListMember.select()] == [(other.id, contact.id)]
    assert Contact.select().count() == 1
    assert actions() == [("remove", f"list {gone.id}", "")]


def test_contacts_are_put_on_a_list_by_id_or_address_and_what_was_there_changes_nothing(
    any_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.operations.batches.BATCH", 2)
    there = a_list(a_contact(email="there@x.test"), name="dentists")
    ids = [a_contact(email=email).id for email in ("J.Doe@gmail.com", "ann@x.test", "bob@x.test")]
    forgotten = forget.forget(a_contact().id, "me").contact_id
    heard: list[tuple[int, str]] = []
    named = [
        "there@x.test",
        "jdoe+x@gmail.com\n",
        "",
        "99",
        str(ids[1]),
        "ANN@x.test",
        f"{forgotten}",
        "bob",
        "x\x00@y.test",
    ]
    done = lists.put("Dentists", named, Listener(lambda *said: heard.append(said)), "me", "a fair")
    assert done == MembersDone(there.id, "dentists", changed=2, unchanged=2, refused=4)
    assert sorted(heard) == [
        (4, "there is no contact 99"),
        (7, f"there is no contact {forgotten}"),
        (8, "'bob' is neither the id of a contact nor an address"),
        (9, r"'x\x00@y.test' is neither the id of a contact nor an address"),
    ]
    assert on(there) == {1, ids[0], ids[1]}
    assert actions()[1:] == [("put", f"list {there.id}", "a fair")]
    again = lists.put("dentists", [str(i) for i in ids[:2]], Listener(), "me")
    assert (again.changed, again.unchanged) == (0, 2)
    assert len(actions()) == 2


def test_contacts_are_taken_off_a_list_and_stay_on_others(any_database: str) -> None:
    one, two, three = a_contact(), a_contact(), a_contact()
    there, other = a_list(one, two, name="dentists"), a_list(one, two)
    done = lists.take(str(there.id), [str(one.id), two.email, str(three.id)], Listener(), "me")
    assert (done.changed, done.unchanged, done.refused) == (2, 1, 0)
    assert (on(there), on(other)) == (set(), {one.id, two.id})


def test_an_import_puts_each_contact_of_the_file_on_its_lists_and_makes_those_that_are_not_there(
    any_database: str,
) -> None:
    known, same = a_contact(email="known@x.test"), a_contact(email="same@x.test")
    there = a_list(same, name="There")
    lines = ["email,name\n", "new@x.test,New\n", "known@x.test,Known\n", "same@x.test,\n", "nobody,\n"]
    done = imports.contacts(lines, Listener(), "me", onto=["new ones", str(there.id)])
    assert (done.added, done.updated, done.unchanged, done.refused, done.listed) == (1, 1, 1, 1, 5)
    new, everybody = lookup.contact_list("New Ones"), {known.id, same.id, lookup.contact_of("new@x.test").id}
    assert (new.name, on(new), on(there)) == ("new ones", everybody, everybody)
    assert actions() == [("add", f"list {new.id}", ""), ("import", "contacts", "")]
    assert imports.contacts(lines, Listener(), "me", onto=["NEW ONES", "there"]).listed == 0
    assert len(actions()) == 2
    third = imports.contacts(lines, Listener(), "me", onto=["third"])
    assert (third.added, third.updated, third.unchanged, third.listed) == (0, 0, 3, 3)
    assert [verb for verb, _, _ in actions()[2:]] == ["add", "import"]


def test_an_import_that_is_interrupted_has_put_on_the_list_whom_it_has_stored(
    any_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.operations.batches.BATCH", 2)

    def stopped() -> Iterator[str]:
        yield from ("email\n", "a@x.test\n", "b@x.test\n", "c@x.test\n")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imports.contacts(stopped(), Listener(), onto=["dentists"])
    assert on(lookup.contact_list("dentists")) == {c.id for c in Contact.select()} == {1, 2}


@pytest.mark.parametrize(("name", "error"), [("1\n2", FieldError), ("99", NotThereError)])
def test_a_list_that_can_not_be_is_said_before_a_line_is_read(any_database: str, name: str, error: type) -> None:
    lines = iter(["email\n", "nobody\n"])
    with pytest.raises(error):
        imports.contacts(lines, Listener(), onto=["dentists", name])
    assert (len(list(lines)), ContactList.select().count()) == (2, 0)


def test_whoever_is_forgotten_is_on_no_list_any_more(any_database: str) -> None:
    person, other = a_contact(email="j.doe@gmail.com"), a_contact()
    same = a_contact(email="jdoe@gmail.com")
    one, two = a_list(person, other, same), a_list(same)
    forget.forget(person.id, "me")
    assert (on(one), on(two)) == ({other.id}, set())


def test_whoever_is_being_forgotten_is_not_put_on_a_list_meanwhile(postgres: str) -> None:
    person, there = a_contact(email="ann@x.test"), a_list()
    heard: list[tuple[int, str]] = []
    listener = Listener(lambda *said: heard.append(said))
    puts = in_a_thread(lambda: lists.put(str(there.id), ["ann@x.test"], listener, "me"))
    with database.transaction():
        forget.forget(person.id, "me")
        puts.start()
        until_waiting_for_a_lock()
    puts.join()
    assert (on(there), heard) == (set(), [(1, "there is no contact with the address ann@x.test")])


def test_a_list_that_is_being_removed_takes_nobody_any_more(postgres: str) -> None:
    contact, there = a_contact(), a_list()
    refused: list[str] = []

    def put() -> None:
        with pytest.raises(NotThereError) as error:
            lists.put(str(there.id), [str(contact.id)], Listener(), "me")
        refused.append(str(error.value))

    puts = in_a_thread(put)
    with database.transaction():
        lists.remove(str(there.id), "me")
        puts.start()
        until_waiting_for_a_lock()
    puts.join()
    assert refused == [f"there is no list {there.id}"]


def test_a_list_stays_while_a_batch_is_imported_onto_it(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there = a_list(name="dentists")
    removes = in_a_thread(lambda: lists.remove("dentists", "me"))

    def meanwhile(*ids: Iterable[int]) -> int:
        removes.start()
        until_waiting_for_a_lock()
        return enlist(*ids)

    monkeypatch.setattr(imports, "enlist", meanwhile)
    assert imports.contacts(["email\n", "new@x.test\n"], Listener(), onto=["dentists"]).listed == 1
    removes.join()
    assert (on(there), Contact.select().count()) == (set(), 1)


def test_a_list_that_is_removed_while_a_file_is_imported_onto_it_is_made_again(postgres: str) -> None:
    there = a_list(a_contact(), name="dentists")
    imported = in_a_thread(lambda: imports.contacts(["email\n", "new@x.test\n"], Listener(), onto=["dentists"]))
    with database.transaction():
        lists.remove("dentists", "me")
        imported.start()
        until_waiting_for_a_lock()
    imported.join()
    assert lookup.contact_list("dentists").id != there.id
    assert on(lookup.contact_list("dentists")) == {lookup.contact_of("new@x.test").id}


@pytest.mark.parametrize("few", [0, 3, 5_000])
def test_only_contacts_of_the_lists_are_picked_best_first_however_long_the_lists_are(
    any_database: str, clock: Clock, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr("pipeline.rules.eligible.FEW", few)
    monkeypatch.setattr("pipeline.rules.eligible.PAGE", 2)
    template = a_template()
    people = [a_contact(priority=i % 3) for i in range(12)]
    one, two = a_list(*people[:6]), a_list(*people[4:8], people[11])
    a_delivery(State.SENT, contact=people[5], template=template, sent_at=clock.at)
    ids = [person.id for person in people]
    best_first = [ids[2], ids[11], ids[1], ids[4], ids[7], ids[0], ids[3], ids[6]]
    assert eligible(template, 10, 0, lists=[one.id, two.id]) == best_first
    assert eligible(template, 2, 1, lists=[one.id]) == [ids[2], ids[1]]
    assert eligible(template, 10, 0, lists=[a_list().id]) == []


def test_the_batch_publisher_takes_lists_by_name_or_id(any_database: str, clock: Clock) -> None:
    an_account()
    a_template()
    a_contact()
    listed = a_contact()
    there = a_list(listed, name="Dentists")
    assert publish_batch.publish(lists=["dentists"], dry_run=True).contact_ids == (listed.id,)
    assert publish_batch.publish(lists=[str(there.id)]).contact_ids == (listed.id,)
    assert publish_batch.publish(lists=["dentists"]).reason == "no eligible contact on these lists"
    with pytest.raises(NotThereError, match="there is no list 'nobody'"):
        publish_batch.publish(lists=["nobody"])


def test_of_a_list_those_are_counted_whom_a_mail_could_go_to_now(any_database: str, clock: Clock) -> None:
    website = a_website(meets_requirements=False)
    suppress("domain", ["bad.test"], "x", clock.at)
    on_its_way, sent = a_delivery(State.READY).contact, a_delivery(State.SENT, sent_at=clock.at).contact
    against = [
        a_contact(validated=False), a_contact(website=website), a_contact(email="a@bad.test"),
        a_contact(email="postmaster@x.test"), a_contact(timezone="Asia/Tokyo"), on_its_way, sent,
    ]  # fmt: skip
    fit = [a_contact(), a_contact()]
    a_list(*against, *fit, name="Many"), a_list(name="few")
    assert [(row.name, row.members, row.writable) for row in reports.lists()] == [("few", 0, 0), ("Many", 9, 2)]
    shown = reports.details("many", 2, after=against[0].id)
    assert (shown.members, shown.writable, [c.id for c in shown.contacts]) == (9, 2, [c.id for c in against[1:3]])


def on(the_list: ContactList) -> set[int]:
    """Return the ids of the contacts on a list."""
    return {m.contact_id for m in ListMember.select().where(ListMember.list == the_list.id)}


def actions() -> list[tuple[str, str, str]]:
    """Return what was recorded, in its order."""
    return [(a.verb, a.subject, a.reason) for a in Action.select().order_by(Action.id)]
