"""Templates of follow-ups on the command line, and what it shows of a conversation."""

from __future__ import annotations

from pathlib import Path

import pytest

from models import Delivery, State, database
from slowpost.catcher import Catcher
from tests.builders import a_contact, a_delivery, a_template, an_account
from tests.cli.conftest import Slowpost
from tests.cli.test_commands import parsed


def test_a_template_without_a_subject_has_to_be_called_a_follow_ups(ready: Slowpost) -> None:
    empty = ready("templates", "add", "again", "--subject", " ", "--text-file", "-", stdin="Again\n")
    assert (empty.code, empty.err) == (1, "slowpost: subject: it is empty (--follow-up: that of the mail before)\n")
    both = ready("templates", "add", "again", "--subject", "s", "--follow-up", "--text-file", "-", stdin="Again\n")
    assert (both.code, "either --subject or --follow-up, not both" in both.err) == (2, True)

    done = parsed(ready("templates", "add", "again", "--follow-up", "--text-file", "-", "--json", stdin="Again\n"))
    assert (done["active"], parsed(ready("templates", "list", "--json"))[0]["subject"]) == (False, "")
    assert "(that of the mail before)" in ready("templates", "list").out
    assert "subject: (that of the mail before)\n" in ready("templates", "show", "1").out
    assert ready("templates", "set", "1", "--subject", "").code == 1


def test_a_follow_ups_template_begins_no_conversation(ready: Slowpost) -> None:
    with database.connection():
        a_template(subject="", active=False), a_contact(), an_account()
    no_subject = "slowpost: template 1 has no subject: it is for mails that follow another\n"
    for words in (
        ("publish", "--template", "1"),
        ("publish", "--dry-run", "--template", "1"),
        ("send", "1", "--template", "1"),
    ):
        refused = ready(*words)
        assert (refused.code, refused.err, refused.out) == (1, no_subject, "")
    not_active = "slowpost: a template without a subject is that of follow-ups, and can't be active\n"
    assert (refused := ready("templates", "activate", "1")).err == not_active
    assert refused.code == 1
    assert ready("templates", "add", "b", "--follow-up", "--active", "--text-file", "-", stdin="x\n").err == not_active
    assert ready("send", "1").err == "slowpost: there is no active template\n"
    with database.connection():
        assert Delivery.select().count() == 0


def test_a_template_that_becomes_a_follow_ups_is_not_active_any_more(ready: Slowpost) -> None:
    with database.connection():
        a_template(name="one")
    assert parsed(ready("templates", "set", "1", "--follow-up", "--json"))["active"] is False
    assert ready("templates", "set", "1", "--follow-up").out.startswith("template 1: is like that already")
    assert parsed(ready("templates", "set", "1", "--subject", "Hello", "--json"))["active"] is False
    assert parsed(ready("templates", "activate", "1", "--json"))["active"] is True
    assert parsed(ready("templates", "add", "one", "--replace", "--follow-up", "--json"))["active"] is False


def test_a_follow_ups_template_is_tried_as_if_it_followed(ready: Slowpost, tmp_path: Path) -> None:
    with database.connection():
        a_template(subject="", active=False, text="Again, {{ contact.name }}"), a_contact(name="Ann")
    preview = parsed(ready("templates", "preview", "1", "--contact", "1", "--json"))
    assert (preview["subject"], preview["text"]) == ("[the subject of the mail before]", "Again, Ann")
    checked = parsed(ready("templates", "check", "1", "--json"))
    assert (checked["tried"], checked["failures"]) == (1, [])
    with Catcher(tmp_path / "mails") as catcher:
        with database.connection():
            an_account(port=catcher.port)
        words = ("templates", "send-test", "1", "--to", "me@h.test", "--account", "1", "--contact", "1")
        assert ready(*words).code == 0
        assert b"Subject: [the subject of the mail before]\r\n" in catcher.mails[0].file.read_bytes()


@pytest.mark.parametrize(("command", "key"), [("why", "history"), ("contacts show", "deliveries")])
def test_a_conversation_is_shown_with_what_its_mails_are_called(ready: Slowpost, command: str, key: str) -> None:
    with database.connection():
        first = a_delivery(State.SENT, message_id="<1@x.test>", wire_message_id="<1@email.amazonses.com>")
        a_delivery(contact=first.contact, follows=first)
    shown = parsed(ready(*command.split(), "1", "--json"))[key]
    assert [(d["follows"], d["message_id"], d["wire_message_id"]) for d in shown] == [
        (None, "<1@x.test>", "<1@email.amazonses.com>"),
        (1, None, None),
    ]
