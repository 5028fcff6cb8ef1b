"""What people do by the command line: it is recorded, an address does for an id, and RabbitMQ may be away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import dramatiq
import pytest
from cryptography.fernet import Fernet

from actors import entry
from actors.rabbitmq.broker import QuorumBroker
from models import Action, Attempt, Delivery, EmailTemplate, SmtpAccount, State, database
from models.dead_letter import OPEN, DeadLetter, file_deliveries, file_message
from pipeline.accounts import passwords
from slowpost.cli import COMMANDS, cli
from tests.builders import a_campaign, a_contact, a_delivery, a_list, a_template, an_account
from tests.cli.conftest import Slowpost
from tests.cli.test_bad_input import contents
from tests.cli.test_commands import parsed

#: Commands that commit and then have a trigger to send, in a world of `furnished`; what each is recorded as.
COMMIT_AND_TRIGGER = {
    "resume": ["resume"],
    "accounts add": ["accounts", "add", "--host", "h.test", "--from", "new@h.test"],
    "accounts set": ["accounts", "set", "1", "--daily-limit", "3"],
    "accounts disable": ["accounts", "disable", "1"],
    "accounts enable": ["accounts", "enable", "1"],
    "accounts remove": ["accounts", "remove", "1"],
    "contacts forget": ["contacts", "forget", "ann@example.test"],
    "contacts replied": ["contacts", "replied", "ann@example.test"],
    "cancel": ["cancel", "ann@example.test"],
    "campaigns set": ["campaigns", "set", "1", "--limit", "3"],
    "campaigns resume": ["campaigns", "resume", "1"],
    "campaigns stop": ["campaigns", "stop", "1"],
    "templates rerender": ["templates", "rerender", "1"],
    "dead replay, a delivery": ["dead", "replay", "1"],
    "dead discard": ["dead", "discard", "1"],
    "in-doubt resolve": ["in-doubt", "resolve", "3", "--sent"],
}


@pytest.mark.parametrize("words", COMMIT_AND_TRIGGER.values(), ids=COMMIT_AND_TRIGGER)
def test_with_rabbitmq_away_what_has_committed_warns_and_is_no_failure(away: Slowpost, words: list[str]) -> None:
    before = actions()
    done = away(*words, "--json")
    assert (done.code, done.err) == (0, "")
    (warning,) = json.loads(done.out)["warnings"]
    assert warning.startswith("RabbitMQ is away (")
    assert warning.endswith("): the next sweep goes on with it")
    assert "guest" not in warning
    assert len(actions()) == len(before) + 1


def test_a_warning_is_one_line_on_stderr_beside_what_was_done(furnished: Slowpost, tmp_path: Path) -> None:
    # As a process of its own, from the settings on.
    environment = os.environ | {"BROKER_URL": AWAY, "DATABASE_URL": f"sqlite:///{tmp_path}/slowpost.db"}
    command = [sys.executable, "-m", "slowpost", "resume"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (0, "everything: resumed\n", 1)
    assert done.stderr.startswith("RabbitMQ is away (")
    assert furnished("resume").out == "everything: was not paused\n"


@pytest.mark.parametrize("words", [["send", "ann@example.test"], ["dead", "replay", "2"], ["init"]])
def test_with_rabbitmq_away_what_needs_it_fails_in_one_line_and_has_done_nothing(
    away: Slowpost, words: list[str]
) -> None:
    away("resume")
    before = contents()
    done = away(*words)
    assert (done.code, done.out, len(done.err.splitlines())) == (1, "", 1)
    assert done.err.startswith("slowpost: the broker: ")
    assert contents() == before


def test_with_rabbitmq_away_a_batch_is_on_the_route_all_the_same_and_no_run_picks_it_again(away: Slowpost) -> None:
    done = away("publish", "--json")
    batch = json.loads(done.out)
    assert (done.code, done.err, len(batch["contact_ids"]), len(batch["warnings"])) == (0, "", 1, 1)
    assert away("publish").out == "no eligible contact\n"
    with database.connection():
        (delivery,) = Delivery.select().where(Delivery.contact == batch["contact_ids"][0])
    assert delivery.state == State.SELECTED


def test_of_several_dead_letters_a_message_waits_for_rabbitmq_and_a_delivery_does_not(
    away: Slowpost,
) -> None:
    done = away("dead", "replay", "1", "2", "--json")
    answer = json.loads(done.out)
    assert (done.code, answer["decided"], [r["letter_id"] for r in answer["refused"]]) == (1, [1], [2])
    assert len(answer["warnings"]) == 1
    with database.connection():
        assert [letter.id for letter in DeadLetter.select().where(OPEN)] == [2]


def test_an_address_does_for_a_contacts_id(furnished: Slowpost) -> None:
    furnished("resume")
    with database.connection():
        free = a_contact(email="J.Doe@gmail.com")
    sent = parsed(furnished("send", "jdoe@gmail.com", "--json"))
    assert (sent["contact_id"], sent["warnings"]) == (free.id, [])
    with database.connection():
        delivery = Delivery.get(Delivery.contact == free.id)
    assert parsed(furnished("cancel", "J.Doe@gmail.com", "--json"))["cancelled"] == [delivery.id]
    forgotten = parsed(furnished("contacts", "forget", "jdoe@gmail.com", "--json"))
    assert forgotten == {"contact_id": free.id, "contact_ids": [free.id], "warnings": []}
    assert "no contact with the address" in furnished("send", "jdoe@gmail.com").err


def test_replies_are_named_by_id_or_address_or_on_stdin_and_what_is_nobody_holds_up_no_other(ready: Slowpost) -> None:
    with database.connection():
        waiting = [a_delivery(State.READY, contact=a_contact(email=f"{name}@x.test")) for name in ("ann", "bob", "eve")]
    done = ready("contacts", "replied", "-", "--reason", "by post", stdin="1\n\nBOB@x.test\n99\nno one\n3\n")
    assert (done.code, done.out) == (1, "3 replied: 0 enrolments ended, 3 mails cancelled\n")
    assert done.err.splitlines() == [
        "there is no contact 99",
        "'no one' is neither the id of a contact nor an address",
        "slowpost: 2 of 5 contacts were refused",
    ]
    assert actions() == [("replied", f"contact {d.contact_id}", "by post") for d in waiting]
    again = parsed(ready("contacts", "replied", "1", "2", "--json"))
    assert again == {"contact_ids": [1, 2], "ended": [], "cancelled": [], "refused": [], "warnings": []}


def test_every_acting_command_speaks_json() -> None:
    reads = {"list", "show", "find", "preview", "check", "demo", "run", "worker", "scheduler", "web", "topology"}
    reads |= {"password"}
    without = [
        name for name, command in commands() if name.split()[-1] not in reads and "as_json" not in parameters(command)
    ]
    assert without == []


def test_an_account_can_be_changed_in_all_that_add_takes(ready: Slowpost, tmp_path: Path) -> None:
    with database.connection():
        account = an_account(name="one")
        planned = a_delivery(State.RESERVED, account=account, send_at=database.now(), token="slot")
    words = ["--host", "smtp.h.test", "--port", "465", "--security", "tls", "--username", "me", "--password-stdin"]
    words += ["--from", "me@h.test", "--from-name", "Me", "--reply-to", "re@h.test", "--signature", "Me\nthe first"]
    words += ["--name", "two", "--daily-limit", "7", "--warmup-start", "1", "--warmup-step", "2"]
    done = ready("accounts", "set", str(account.id), *words, "--json", stdin="s3cret-w0rd\n")
    row = parsed(done)
    assert (row["host"], row["port"], row["security"], row["username"]) == ("smtp.h.test", 465, "tls", "me")
    assert (row["from_address"], row["from_name"], row["reply_to"]) == ("me@h.test", "Me", "re@h.test")
    assert (row["signature"], row["name"], row["daily_limit"], row["warmup_start"]) == ("Me\nthe first", "two", 7, 1)
    assert row["warnings"] == []
    assert "s3cret" not in done.out + done.err
    assert str(tmp_path / "slowpost.key") in done.err
    with database.connection():
        assert passwords.decrypt(SmtpAccount.get().password) == "s3cret-w0rd"
        assert Delivery.get_by_id(planned.id).state == State.READY


def test_a_user_name_and_its_password_come_and_go_together(ready: Slowpost) -> None:
    with database.connection():
        an_account(name="one")
        an_account(name="two")
    alone = ready("accounts", "set", "1", "--username", "me")
    assert (alone.code, alone.err) == (1, "slowpost: password: it is empty, and there is a username\n")
    assert "username: it is empty" in ready("accounts", "set", "1", "--password-stdin", stdin="x\n").err
    assert ready("accounts", "set", "1", "--username", "me", "--password-stdin", stdin="x\n").code == 0
    assert ready("accounts", "set", "1", "--username", "other").code == 0
    with database.connection():
        assert passwords.decrypt(SmtpAccount.get_by_id(1).password) == "x"
    assert ready("accounts", "set", "1", "--username", "").code == 0
    with database.connection():
        account = SmtpAccount.get_by_id(1)
        assert (account.username, account.password) == (None, None)
    taken = ready("accounts", "set", "1", "--name", "two")
    assert (taken.code, taken.err) == (1, "slowpost: there is an account 'two' already\n")


@pytest.mark.parametrize(
    ("column", "words"),
    {
        "host": ["--host", "other.test"],
        "port": ["--port", "465"],
        "security": ["--security", "tls"],
        "username": ["--username", "you"],
        "password": ["--password-stdin"],
        "from_address": ["--from", "you@h.test"],
        "from_name": ["--from-name", "You"],
        "reply_to": ["--reply-to", "you@h.test"],
        "signature": ["--signature", "You"],
    }.items(),
)
def test_a_change_of_what_login_or_mail_use_gives_the_slot_back_and_the_same_value_does_not(
    ready: Slowpost, column: str, words: list[str]
) -> None:
    with database.connection():
        account = an_account(username="me", password=passwords.encrypt("old"), plain_password=True)
        planned = a_delivery(State.RESERVED, account=account, send_at=database.now(), token="slot")
    same = words if column == "password" else [words[0], str(getattr(account, column) or "")]
    assert ready("accounts", "set", "1", *same, stdin="old\n").code == 0
    with database.connection():
        assert Delivery.get_by_id(planned.id).state == State.RESERVED
    assert ready("accounts", "set", "1", *words, stdin="new\n").code == 0
    with database.connection():
        assert Delivery.get_by_id(planned.id).state == State.READY


def test_a_template_with_a_name_that_is_there_is_refused_and_keeps_all_it_has(ready: Slowpost) -> None:
    with database.connection():
        a_template(name="one", html="<p>Old</p>", preheader="Old", active=False)
    before = contents()
    again = ready("templates", "add", "one", "--subject", "New", "--text-file", "-", stdin="New\n")
    assert again.code == 1
    assert again.err == "slowpost: there is a template 'one' already (--replace writes over its words)\n"
    assert contents() == before


def test_replace_writes_over_what_is_given_and_nothing_else(ready: Slowpost) -> None:
    with database.connection():
        template = a_template(name="one", html="<p>Old</p>", preheader="Old", active=False)
        a_delivery(State.READY, template=template)
    done = ready("templates", "add", "one", "--replace", "--text-file", "-", "--json", stdin="New\n")
    assert parsed(done) == {
        "id": 1, "name": "one", "active": False, "changed": True, "keep_their_words": 1, "warnings": [],
    }  # fmt: skip
    assert words_of() == ("Hello {{ contact.name }}", "New\n", "<p>Old</p>", "Old", False)
    assert ready("templates", "add", "one", "--replace", "--active", "--subject", "Hi").code == 0
    assert words_of() == ("Hi", "New\n", "<p>Old</p>", "Old", True)
    with database.connection():
        assert Delivery.get().text == "Dear reader"


def test_a_template_is_changed_part_by_part_and_says_what_keeps_its_words(ready: Slowpost) -> None:
    with database.connection():
        template = a_template(name="one", html="<p>Old</p>", preheader="Old")
        a_delivery(State.READY, template=template)
        a_delivery(State.CLEARED, template=template)
        a_template(name="two")
    done = ready("templates", "set", "1", "--no-html", "--preheader", "New", "--name", "first", "--reason", "shorter")
    assert done.out == (
        "template 1: changed; deliveries that are rendered already (1) keep their words: "
        "`slowpost templates rerender 1` renders them anew\n"
    )
    assert words_of() == ("Hello {{ contact.name }}", "Dear {{ contact.name }}", None, "New", True)
    assert ready("templates", "set", "1", "--no-preheader", "--text-file", "-", stdin="Anew\n").code == 0
    assert words_of()[1:4] == ("Anew\n", None, None)
    assert "is like that already" in ready("templates", "set", "1", "--name", "first").out
    assert "there is a template 'two' already" in ready("templates", "set", "1", "--name", "two").err
    assert "text, line 1" in ready("templates", "set", "1", "--text-file", "-", stdin="{{ nonsense").err
    assert words_of()[1] == "Anew\n"
    assert actions() == [("write", "template 1", "shorter"), ("write", "template 1", "")]


def test_a_template_is_made_active_or_not_and_it_is_recorded_once(ready: Slowpost) -> None:
    with database.connection():
        a_template()
    assert ready("templates", "deactivate", "1", "--reason", "done").out == "template 1: not active\n"
    assert ready("templates", "deactivate", "1").out == "template 1: was not active\n"
    assert parsed(ready("templates", "list", "--json"))[0]["active"] is False
    assert ready("templates", "activate", "1").out == "template 1: active\n"
    assert parsed(ready("templates", "list", "--json"))[0]["active"] is True
    assert actions() == [("deactivate", "template 1", "done"), ("activate", "template 1", "")]


def test_a_template_that_was_ever_used_is_not_removed(ready: Slowpost) -> None:
    with database.connection():
        used = a_template()
        a_delivery(State.SENT, template=used)
        free = a_template()
    refused = ready("templates", "remove", str(used.id))
    assert (refused.code, "`slowpost templates deactivate 1`" in refused.err) == (1, True)
    assert parsed(ready("templates", "remove", str(free.id), "--json"))["id"] == free.id
    with database.connection():
        assert [t.id for t in EmailTemplate.select()] == [used.id]
    assert actions() == [("remove", "template 2", "")]


def test_imports_and_the_suppression_list_are_recorded_without_an_address(ready: Slowpost) -> None:
    lines = "email\nann@example.test\n"
    assert parsed(ready("contacts", "import", "-", "--json", stdin=lines))["warnings"] == []
    ready("contacts", "import", "-", stdin=lines)
    assert parsed(ready("suppress", "add", "Bob@Example.test", "--json")) == {
        "kind": "address", "value": "bob@example.test", "changed": True, "warnings": [],
    }  # fmt: skip
    ready("suppress", "remove", "bob@example.test")
    recorded = [("import", "contacts", ""), ("suppress", "address added", ""), ("unsuppress", "address removed", "")]
    assert actions() == recorded


def test_an_inner_stages_message_is_put_back_beside_an_embedded_run_by_waking_it(ready: Slowpost) -> None:
    with database.connection():
        delivery = a_delivery(State.CLEARED)
        body = entry.encode(entry.Stage.RENDER, [delivery.id]).encode()
        file_message("render", body, "fault: KeyError", database.now())
    assert ready("dead", "replay", "1").out == "dead letter 1: replayed\n"
    with database.connection():
        assert Delivery.select().count() == 1


#: Nothing listens there.
AWAY = "amqp://guest:guest@127.0.0.1:1/x"


def actions() -> list[tuple[str, str, str]]:
    """Return verb, subject and reason of what is recorded."""
    with database.connection():
        return [(a.verb, a.subject, a.reason) for a in Action.select().order_by(Action.id)]


def words_of() -> tuple[Any, ...]:
    """Return the first template as it stands."""
    with database.connection():
        t = EmailTemplate.get_by_id(1)
        return t.subject, t.text, t.html, t.preheader, t.active


def commands() -> list[tuple[str, click.Command]]:
    """Return every command by its full name."""
    found: list[tuple[str, click.Command]] = []
    for name in COMMANDS:
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        subs = getattr(command, "commands", {})
        found += [(f"{name} {sub}", inner) for sub, inner in subs.items()] or [(name, command)]
    return found


def parameters(command: click.Command) -> set[str | None]:
    """Return the names of what a command takes."""
    return {parameter.name for parameter in command.params}


@pytest.fixture
def furnished(ready: Slowpost, configure: Callable[..., None]) -> Slowpost:
    """Everything paused; an account, a template, and Ann with a failed, a ready and, of others, a doubtful delivery."""
    configure(mail_window_start=0, mail_window_end=0)
    with database.connection():
        account, template, ann = an_account(), a_template(), a_contact(email="ann@example.test")
        failed = a_delivery(State.FAILED, template=template)
        file_deliveries({failed.id: ("attempts_used_up", "452")}, database.now())
        campaign = a_campaign(
            (0, [a_template()]),
            name="paused",
            state="paused",
            no_footer_because="-",
            accounts=[account],
            lists=[a_list(ann)],
        )
        a_delivery(State.READY, template=template, contact=ann, campaign=campaign, position=1)
        doubtful = a_delivery(State.IN_DOUBT, template=template)
        Attempt.create(
            delivery=doubtful, account=account, token="t", claimed_at=database.now(), outcome="in_doubt"
        )  # fmt: skip
        file_message("intake", b'{"contact_ids": [1]}', "contact 1 does not exist", database.now(), message_id="m1")
        a_contact(email="eligible@other.test")
    assert ready("pause").code == 0
    return ready


@pytest.fixture
def away(furnished: Slowpost, configure: Callable[..., None]) -> Iterator[Slowpost]:
    """The same, where nothing listens at BROKER_URL (a process has one broker: it is exchanged for the test)."""
    configure(broker_url=AWAY, secret_key=Fernet.generate_key().decode())
    usual = dramatiq.get_broker()
    dramatiq.set_broker(QuorumBroker(AWAY, middleware=[]))
    yield furnished
    dramatiq.set_broker(usual)
