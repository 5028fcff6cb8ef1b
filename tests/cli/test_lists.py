"""Lists as a person uses them: made by an import, filled from stdin, asked for, and written to alone."""

from __future__ import annotations

import json
from typing import Any

from models import Delivery, database
from tests.builders import a_contact, a_list, a_template, an_account
from tests.cli.conftest import Result, Slowpost
from tests.dns_server import REAL, DnsServer


def test_a_file_becomes_a_list_that_alone_is_written_to(ready: Slowpost, configure: Any) -> None:
    configure(mail_window_start=0, mail_window_end=0)
    with database.connection():
        an_account()
        a_template()
        a_contact(email="other@x.test")
    people = "email,name\nann@x.test,Ann\nbob@x.test,Bob\nnobody,\n"
    imported = ready("contacts", "import", "-", "--list", "Dentists", "--list", "all of 2026", stdin=people)
    assert imported.out == "2 added, 0 updated, 0 unchanged, 1 refused, 4 put on lists\n"
    assert [c["email"] for c in parsed(ready("contacts", "find", "--list", "dentists", "--json"))] == [
        "ann@x.test",
        "bob@x.test",
    ]
    assert [c["id"] for c in parsed(ready("contacts", "find", "bob", "--list", "dentists", "--json"))] == [3]
    assert ready("contacts", "find", "other", "--list", "1").out == (
        "no contact of these lists has 'other' in its address, name or website\n"
    )
    shown = parsed(ready("contacts", "show", "2", "--json"))
    assert shown["lists"] == [{"id": 2, "name": "all of 2026"}, {"id": 1, "name": "Dentists"}]
    assert "lists: all of 2026, Dentists\n" in ready("contacts", "show", "2").out
    assert "2 contacts put onto the route" in ready("publish", "--list", "DENTISTS").out
    with database.connection():
        assert sorted(d.contact_id for d in Delivery.select()) == [2, 3]
    (_, dentists) = parsed(ready("lists", "list", "--json"))
    assert (dentists["name"], dentists["members"], dentists["writable"]) == ("Dentists", 2, 0)


def test_contacts_are_put_on_and_taken_off_by_stdin_and_a_refusal_holds_up_no_other(ready: Slowpost) -> None:
    with database.connection():
        for name in ("ann", "bob"):
            a_contact(email=f"{name}@x.test")
        a_list(name="dentists")
    put = ready("lists", "put", "dentists", "-", stdin="1\n\nBOB@x.test\r\n2\nnobody\n99\n")
    assert (put.code, put.out) == (1, "list 1 (dentists): 2 put on it, 1 were on it already, 2 refused\n")
    assert put.err.splitlines() == [
        "line 5: 'nobody' is neither the id of a contact nor an address",
        "line 6: there is no contact 99",
        "slowpost: 2 of 5 contacts were refused",
    ]
    taken = ready("lists", "take", "1", "ann@x.test", "98", "--json")
    assert (taken.code, taken.err) == (1, "there is no contact 98\nslowpost: 1 of 2 contacts were refused\n")
    assert json.loads(taken.out) == {
        "id": 1, "name": "dentists", "changed": 1, "unchanged": 0, "refused": 1,
        "refused_lines": [{"line": 2, "reason": "there is no contact 98"}], "warnings": [],
    }  # fmt: skip
    assert [c["id"] for c in parsed(ready("lists", "show", "dentists", "--json"))["contacts"]] == [2]


def test_a_list_lives_and_goes(ready: Slowpost) -> None:
    assert ready("lists", "list").out == "no lists: make one with `slowpost lists add`\n"
    assert ready("lists", "add", "Dentists").out == "list 1: Dentists\n"
    assert (
        ready("lists", "rename", "dentists", "Dentists 2026", "--reason", "a new year").out == "list 1: Dentists 2026\n"
    )
    assert "nobody is on it" in ready("lists", "show", "1").out
    assert ready("lists", "remove", "1").out == "list 1: removed; 0 contacts were on it\n"


def test_a_check_of_a_list_asks_for_its_domains_alone(ready: Slowpost, configure: Any) -> None:
    with database.connection():
        a_contact(email="info@other.test")
        a_list(a_contact(email="info@null.test"), a_contact(email="abuse@null.test"), name="dentists")
    with DnsServer(REAL | {"null.test MX": ["0 ."], "other.test MX": ["0 ."]}) as dns:
        configure(mail_dns_servers=dns.address)
        found = parsed(ready("contacts", "check", "--list", "dentists", "--json"))
    assert (found["domains"], found["asked"], [d["domain"] for d in found["without_mail"]]) == (1, 1, ["null.test"])
    assert [a["email"] for a in found["addresses"]] == ["info@null.test", "abuse@null.test"]
    assert not any("other.test" in name for name, _ in dns.asked)


def parsed(result: Result) -> Any:
    """Return the JSON a command printed."""
    assert result.code == 0, result.err
    return json.loads(result.out)
