"""What the commands do, on the embedded default, and what programs read from them."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models import Action, Attempt, Contact, Delivery, Event, SmtpAccount, State, Suppression, database
from models.control import control
from models.database import db
from models.dead_letter import file_deliveries, file_message
from slowpost.catcher import Catcher
from tests.builders import a_contact, a_delivery, a_template, an_account
from tests.cli.conftest import Result, Slowpost


def test_init_again_changes_nothing(ready: Slowpost) -> None:
    assert parsed(ready("init", "--json")) == {
        "migrations": [],
        "notes": [],
        "queues_declared": False,
        "hashes_keyed": 0,
        "warnings": [],
    }


def test_init_says_of_each_contact_that_it_is_another_now(ready: Slowpost) -> None:
    older, younger = a_contact(email="carol@x.test"), a_contact(email='"carol"@x.test', address='"carol"@x.test')
    db.execute_sql("DELETE FROM migratehistory WHERE name = '005_addresses'")
    done = ready("init", "--json")
    (note,) = parsed(done)["notes"]
    assert note.startswith(f"contact {younger.id} ('\"carol\"@x.test') is contact {older.id} ('carol@x.test') now")
    assert done.err == f"{note}\n"


def test_an_import_reports_refused_lines_and_can_be_run_again(ready: Slowpost) -> None:
    lines = "email,name,website,priority,topic\nann@x.test,Ann,https://www.x.test/a,3,bees\nnobody,,,,\n"
    first = ready("contacts", "import", "-", "--json", stdin=lines)
    assert parsed(first) == {
        "added": 1,
        "updated": 0,
        "unchanged": 0,
        "refused": 1,
        "refused_lines": [
            {"line": 3, "reason": "email: 'nobody' is no e-mail address: An email address must have an @-sign."}
        ],
        "listed": 0,
        "warnings": [],
    }
    assert parsed(ready("contacts", "import", "-", "--json", stdin=lines))["unchanged"] == 1
    changed = lines.replace("ann@x.test,Ann", "ANN@x.test,Anna")
    assert parsed(ready("contacts", "import", "-", "--json", stdin=changed))["updated"] == 1
    (listed,) = parsed(ready("contacts", "list", "--json"))
    assert (listed["email"], listed["name"], listed["website"]) == ("ANN@x.test", "Anna", "x.test")
    assert (listed["priority"], listed["extra"]) == (3, {"topic": "bees"})


def test_an_import_of_nothing_but_refused_lines_fails_and_a_strict_one_at_the_first(ready: Slowpost) -> None:
    assert ready("contacts", "import", "-", stdin="email\nnobody\n").code == 1
    assert ready("contacts", "import", "-", stdin="email\nnobody\nann@x.test\n").code == 0
    assert ready("contacts", "import", "-", "--strict", stdin="email\nnobody\nann@x.test\n").code == 1


def test_a_large_import_is_committed_as_it_goes(ready: Slowpost) -> None:
    lines = "email\n" + "".join(f"p{i}@x.test\n" for i in range(1_200)) + '"unclosed\n'
    assert parsed(ready("contacts", "import", "-", "--json", stdin=lines))["added"] == 1_200


def test_a_password_is_stored_encrypted_and_never_shown(ready: Slowpost, tmp_path: Path) -> None:
    words = ("accounts", "add", "--host", "h.test", "--from", "me@h.test", "--username", "me", "--password-stdin")
    added = ready(*words, stdin="s3cret-w0rd\n")
    assert added.code == 0
    assert str(tmp_path / "slowpost.key") in added.err
    assert (tmp_path / "slowpost.key").stat().st_mode & 0o777 == 0o600
    everything = "".join(ready("accounts", *w).out for w in (["list"], ["list", "--json"])) + added.out + added.err
    assert "s3cret" not in everything
    assert b"s3cret" not in (tmp_path / "slowpost.db").read_bytes()
    from pipeline.accounts import passwords

    with database.connection():
        assert passwords.decrypt(SmtpAccount.get().password) == "s3cret-w0rd"


def test_a_key_that_is_lost_is_one_line_and_an_import_mends_it(ready: Slowpost, tmp_path: Path) -> None:
    lines = "name,host,port,security,username,password,from_address\none,127.0.0.1,1,plain,me,s3cret-w0rd,me@h.test\n"
    first = ready("accounts", "import", "-", stdin=lines)
    assert str(tmp_path / "slowpost.key") in first.err
    for broken in (b"\xff\xfe", b"no key", None):
        key = tmp_path / "slowpost.key"
        key.write_bytes(broken) if broken else key.unlink()
        refused = ready("accounts", "test", "1")
        assert (refused.code, len(refused.err.splitlines())) == (1, 1)
        assert str(key) in refused.err
    again = ready("accounts", "import", "-", stdin=lines)
    assert (again.code, again.out) == (0, "0 added, 1 updated, 0 unchanged, 0 refused\n")
    assert "s3cret" not in first.out + first.err + again.out + again.err
    assert "connect: " in ready("accounts", "test", "1").err


def test_a_forgotten_address_does_not_come_back_into_the_suppression_list(ready: Slowpost) -> None:
    with database.connection():
        contact = a_contact(email="jo@person.test")
    assert ready("contacts", "forget", str(contact.id)).code == 0
    assert ready("suppress", "add", "jo@person.test").out == "jo@person.test: was suppressed already\n"
    refused = ready("suppress", "remove", "Jo@person.test")
    assert (refused.code, refused.err) == (
        1,
        "slowpost: jo@person.test has asked to be forgotten, and stays suppressed\n",
    )
    with database.connection():
        assert [s.value[:5] for s in Suppression.select()] == ["hmac:"]


def test_forgetting_leaves_no_trace_of_the_person_and_refuses_them_for_good(ready: Slowpost, tmp_path: Path) -> None:
    with database.connection():
        contact = a_contact(email="Jo.Traceable@person.test", name="Jo Traceable", extra={"phone": "Traceable 1"})
        sent = a_delivery(State.SENT, contact=contact, detail="to jo.traceable@person.test", text="Dear Traceable")
        a_delivery(State.READY, contact=contact, text="Dear Traceable")
        Attempt.create(
            delivery=sent, account=an_account(), outcome="accepted", text="<jo.traceable@person.test> ok", token="t"
        )
    done = ready("contacts", "forget", str(contact.id), "--reason", "asked")
    assert (done.code, done.out, "traceable" in done.err.lower()) == (0, f"contact {contact.id}: forgotten\n", False)
    with database.connection():
        dump = "".join(
            repr(database.db.execute_sql(f'SELECT * FROM "{t}"').fetchall())  # noqa: S608
            for t in database.db.get_tables()
        )
        assert "traceable" not in dump.lower()
        assert sorted(d.state for d in Delivery.select()) == [State.CANCELLED, State.SENT]
    again = ready("contacts", "import", "-", stdin="email\njo.traceable@person.test\n")
    assert again.code == 1
    assert "asked to be forgotten" in again.err


def test_send_beside_an_embedded_run_does_stage_1_and_wakes_it(ready: Slowpost) -> None:
    with database.connection():
        contact = a_contact()
        a_template()
    assert ready("send", str(contact.id), "--priority", "7").code == 0
    with database.connection():
        delivery = Delivery.get()
        assert (delivery.state, delivery.priority) == (State.SELECTED, 7)
        assert control().wake_at is not None


def test_pause_and_resume_say_what_they_did_and_are_recorded(ready: Slowpost) -> None:
    with database.connection():
        an_account()
    assert ready("pause", "--account", "1", "--reason", "holiday").out == "account 1: paused\n"
    assert ready("pause", "--account", "1").out == "account 1: was paused already\n"
    assert parsed(ready("status", "--json"))["accounts"][0]["state"] == "paused"
    assert ready("resume", "--account", "1").out == "account 1: resumed\n"
    with database.connection():
        assert [(a.verb, a.subject, a.reason) for a in Action.select()] == [
            ("pause", "account 1", "holiday"),
            ("resume", "account 1", ""),
        ]


def test_cancel_cancels_what_waits_and_leaves_what_is_claimed(ready: Slowpost) -> None:
    with database.connection():
        contact = a_contact()
        a_delivery(State.READY, contact=contact)
        claimed = a_delivery(State.SENDING)
    assert len(parsed(ready("cancel", str(contact.id), "--json"))["cancelled"]) == 1
    nothing = {"cancelled": [], "ended": [], "warnings": []}
    assert parsed(ready("cancel", str(claimed.contact_id), "--json")) == nothing


def test_what_was_given_up_can_be_replayed_unless_the_person_must_not_be_mailed(ready: Slowpost) -> None:
    with database.connection():
        delivery = a_delivery(State.FAILED, attempts=3)
        file_deliveries({delivery.id: ("attempts_used_up", "452")}, database.now())
    assert ready("suppress", "add", delivery.address).code == 0
    refused = ready("dead", "replay", "1")
    assert (refused.code, refused.err) == (1, f"slowpost: delivery {delivery.id}: suppressed_address\n")
    assert ready("suppress", "remove", delivery.address).code == 0
    assert ready("dead", "replay", "1", "--reason", "mailbox was emptied").code == 0
    with database.connection():
        again = Delivery.get_by_id(delivery.id)
        assert (again.state, again.attempts) == (State.READY, 0)
    assert parsed(ready("dead", "list", "--json")) == []
    assert parsed(ready("dead", "list", "--all", "--json"))[0]["resolution"] == "replayed"


def test_several_dead_letters_are_decided_at_once_and_a_refusal_holds_up_none(ready: Slowpost) -> None:
    with database.connection():
        for body in (b"one", b"two"):
            file_message("intake", body, "the body is not JSON", database.now())
    decided = ready("dead", "discard", "1", "99", "2")
    assert (decided.code, decided.out) == (1, "dead letter 1: discarded\ndead letter 2: discarded\n")
    assert decided.err == "dead letter 99: there is no open dead letter 99\nslowpost: 1 of 3 refused\n"


def test_definitions_are_for_the_server_and_the_vhost_that_are_named(ready: Slowpost, tmp_path: Path) -> None:
    for version, limit in (("4.1", {"x-delivery-limit": -1}), ("3.10.8", {})):
        words = ("--for-version", version, "--vhost", "mine", "--user", "me", "--output", "d.json")
        assert ready("topology", *words).code == 0
        definitions = json.loads((tmp_path / "d.json").read_text())
        assert definitions["vhosts"] == [{"name": "mine"}]
        assert [(p["user"], p["vhost"]) for p in definitions["permissions"]] == [("me", "mine")]
        (dead,) = [q["arguments"] for q in definitions["queues"] if q["name"] == "dead-letter"]
        assert dead == {"x-queue-type": "quorum"} | limit


def test_an_unknown_id_replayed_after_its_contact_was_imported_is_on_the_route(ready: Slowpost) -> None:
    from pipeline import select_contacts

    with database.connection():
        a_template()
        select_contacts.select(select_contacts.asked("m1", [1]))
    assert parsed(ready("dead", "list", "--json"))[0]["reason"] == "contact 1 does not exist"
    ready("contacts", "import", "-", stdin="email\nann@x.test\n")
    assert ready("dead", "replay", "1").code == 0
    with database.connection():
        assert [d.state for d in Delivery.select()] == [State.SELECTED]


def test_a_person_decides_about_doubt_but_not_too_early(ready: Slowpost) -> None:
    with database.connection():
        doubtful = a_delivery(State.IN_DOUBT)
        Attempt.create(
            delivery=doubtful, account=an_account(), token="t", claimed_at=database.now(), outcome="in_doubt"
        )
    assert parsed(ready("in-doubt", "list", "--json"))[0]["delivery_id"] == doubtful.id
    early = ready("in-doubt", "resolve", str(doubtful.id), "--resend")
    assert (early.code, "30 minutes" in early.err) == (1, True)
    assert ready("in-doubt", "resolve", str(doubtful.id), "--sent").code == 0
    with database.connection():
        assert Delivery.get().reason == "resolved_sent"


def test_a_template_can_be_previewed_checked_and_sent_to_oneself(ready: Slowpost, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("Dear {{ contact.name }}, {{ contact.topic }}? {{ sender.name }}\n")
    ready("contacts", "import", "-", stdin="email,name,topic\nann@x.test,Ann,bees\nbob@y.test,Bob,\n")
    assert ready("templates", "add", "one", "--subject", "Hi {{ contact.name }}", "--text-file", "t.txt").code == 0
    preview = parsed(ready("templates", "preview", "1", "--contact", "1", "--json"))
    assert (preview["subject"], preview["text"]) == ("Hi Ann", "Dear Ann, bees? [sender.name]\n")
    check = ready("templates", "check", "1", "--json")
    assert check.code == 1
    assert [f["contact_id"] for f in json.loads(check.out)["failures"]] == [2]
    with Catcher(tmp_path / "mails") as catcher:
        with database.connection():
            account = an_account(port=catcher.port, from_name="Me")
        words = ("templates", "send-test", "1", "--to", "me@h.test", "--account", str(account.id), "--contact", "1")
        assert ready(*words).code == 0
        assert [m.recipient for m in catcher.mails] == ["me@h.test"]
        assert b"Dear Ann, bees? Me" in catcher.mails[0].file.read_bytes()
    with database.connection():
        assert Attempt.select().count() == Delivery.select().count() == 0


def test_rerendering_reaches_what_waits(ready: Slowpost, tmp_path: Path) -> None:
    with database.connection():
        template = a_template(name="one", text="old")
        waiting = a_delivery(State.READY, template=template, contact=a_contact(name="Ann"))
        planned = a_delivery(
            State.RESERVED, template=template, account=an_account(), send_at=database.now(), token="slot"
        )
    (tmp_path / "t.txt").write_text("new words\n")
    ready("templates", "add", "one", "--replace", "--subject", "s", "--text-file", "t.txt")
    assert parsed(ready("templates", "rerender", "1", "--json"))["rerendered"] == [waiting.id, planned.id]
    with database.connection():
        assert {(d.state, d.text) for d in Delivery.select()} == {(State.READY, "new words\n")}
        assert [(a.verb, a.subject) for a in Action.select()] == [("write", "template 1"), ("rerender", "template 1")]


def test_the_log_is_a_spreadsheet(ready: Slowpost) -> None:
    with database.connection():
        Attempt.create(
            delivery=a_delivery(State.SENT),
            account=an_account(name="first"),
            token="t",
            finished_at=database.now(),
            outcome="accepted",
            charged_to="nobody",
            reply_code=250,
            text="ok",
        )
    (row,) = csv.DictReader(io.StringIO(ready("log", "--csv").out))
    assert (row["account"], row["outcome"], row["reply_code"], row["text"]) == ("first", "accepted", "250", "ok")
    (found,) = parsed(ready("log", "--json"))
    assert (found["charged_to"], found["at"]) == ("nobody", row["at"])
    # A time as the log writes it is one that --since takes.
    assert len(parsed(ready("log", "--json", "--since", row["at"]))) == 1
    assert parsed(ready("log", "--json", "--since", "2999-01-01")) == []


def test_suppressions_are_normalised_and_kept_once(ready: Slowpost) -> None:
    lines = "value,reason\nJ.Doe+x@googlemail.com,asked\nhttps://www.Competitor.test/about,\nnot one\n"
    summary = parsed(ready("suppress", "import", "-", "--json", stdin=lines))
    assert (summary["added"], summary["refused"]) == (2, 1)
    with database.connection():
        assert [(s.kind, s.value) for s in Suppression.select().order_by(Suppression.id)] == [
            ("address", "jdoe@gmail.com"),
            ("domain", "competitor.test"),
        ]


def test_an_account_that_is_added_with_a_warm_up_may_send_more_each_day(ready: Slowpost, clock: Any) -> None:
    clock.set(2026, 6, 2, 3)  # in New York still the 1st
    words = ("accounts", "add", "--host", "h.test", "--from", "me@h.test", "--daily-limit", "10")
    assert ready(*words, "--warmup-start", "2", "--warmup-step", "3").code == 0
    found = []
    for day in range(4):
        found += map(limits, parsed(ready("accounts", "list", "--json")))
        if day == 2:
            table = " ".join(ready("accounts", "list").out.split())
            assert "10 8 2 + 3 a day since 2026-06-01 yes" in table
        clock.tick(24 * 60 * 60)
    assert found == [(10, limit, 2, 3, "2026-06-01") for limit in (2, 5, 8, 10)]


def test_set_changes_what_it_is_told_and_gives_a_slot_back_unless_it_is_the_name_alone(ready: Slowpost) -> None:
    with database.connection():
        account = an_account(daily_limit=20, from_name="Me", reply_to="me@h.test", signature="old")
        planned = a_delivery(State.RESERVED, account=account, send_at=database.now(), token="slot")
    words = ("accounts", "set", str(account.id))
    assert ready(*words, "--name", "mine", "--reply-to", "me@h.test", "--daily-limit", "20").code == 0
    with database.connection():
        assert Delivery.get_by_id(planned.id).state == State.RESERVED
    done = ready(*words, "--daily-limit", "5", "--reply-to", "", "--signature", "new", "--reason", "complaints")
    assert done.out == f"account {account.id}: changed, today's limit is 5\n"
    with database.connection():
        found = SmtpAccount.get_by_id(account.id)
        assert (found.from_name, found.reply_to, found.signature, found.daily_limit) == ("Me", None, "new", 5)
        assert Delivery.get_by_id(planned.id).state == State.READY
        assert control().wake_at is not None
        assert [(a.verb, a.subject, a.reason) for a in Action.select()] == [
            ("set", f"account {account.id}", ""),
            ("set", f"account {account.id}", "complaints"),
        ]


def test_a_warm_up_that_is_set_goes_on_until_another_is_set_or_none(ready: Slowpost, clock: Any) -> None:
    with database.connection():
        account = an_account()

    def after_a_day(*options: str) -> tuple[Any, ...]:
        clock.tick(24 * 60 * 60)
        with database.connection():
            planned = a_delivery(State.RESERVED, account=account, send_at=database.now(), token="slot")
        found = limits(parsed(ready("accounts", "set", str(account.id), *options, "--json")))
        with database.connection():
            state = Delivery.get_by_id(planned.id).state
            Event.delete().execute()
            Delivery.delete().execute()
        return (*found, state)

    first, other = ("--warmup-start", "2", "--warmup-step", "3"), ("--warmup-start", "1", "--warmup-step", "3")
    assert after_a_day(*first, "--daily-limit", "9") == (9, 2, 2, 3, "2026-06-03", State.READY)
    assert after_a_day(*first) == (9, 5, 2, 3, "2026-06-03", State.RESERVED)
    assert after_a_day("--name", "mine") == (9, 8, 2, 3, "2026-06-03", State.RESERVED)
    assert after_a_day(*other) == (9, 1, 1, 3, "2026-06-06", State.READY)
    assert after_a_day("--no-warmup") == (9, 9, None, None, None, State.READY)
    assert after_a_day("--daily-limit", "default") == (None, 10, None, None, None, State.READY)


def test_a_removed_account_keeps_its_history_and_frees_its_name(ready: Slowpost) -> None:
    with database.connection():
        account = an_account(name="one", password="x")
        planned = a_delivery(State.RESERVED, account=account, send_at=database.now(), token="slot")
    assert ready("accounts", "remove", str(account.id)).code == 0
    assert parsed(ready("accounts", "list", "--json")) == []
    assert ready("accounts", "add", "--host", "h.test", "--from", "me@h.test", "--name", "one").code == 0
    with database.connection():
        assert Delivery.get_by_id(planned.id).state == State.READY
        assert SmtpAccount.get_by_id(account.id).password is None
        assert Contact.select().count() == 1


def test_plan_and_why_say_who_is_mailed_when_and_from_which_account(
    ready: Slowpost, clock: Any, configure: Callable[..., None]
) -> None:
    configure(mail_jitter=0, mail_daily_limit=2)
    clock.at = dt.datetime(2026, 6, 2, 12, 0, tzinfo=dt.UTC)  # 08:00 in New York
    with database.connection():
        account = an_account()
        first, urgent, tomorrow = a_delivery(), a_delivery(priority=9), a_delivery()
        paused = a_delivery(template=a_template(paused_at=clock.at))
    planned = parsed(ready("plan", "--days", "2", "--json"))
    assert [(p["contact_id"], p["send_at"]) for p in planned["planned"]] == [
        (urgent.contact_id, "2026-06-02T12:00:00Z"),
        (first.contact_id, "2026-06-02T16:30:00Z"),
        (tomorrow.contact_id, "2026-06-03T12:00:00Z"),
    ]
    assert {p["account_id"] for p in planned["planned"]} == {account.id}
    assert planned["paused"] == 1
    shown = ready("plan")
    assert "2026-06-02 12:30:00" in shown.out
    assert "2026-06-03" not in shown.out
    assert "because they are paused: 1" in shown.err

    answer = parsed(ready("why", str(tomorrow.contact_id), "--json"))
    assert (answer["state"], answer["earliest"], answer["is_planned"]) == ("ready", "2026-06-03T12:00:00Z", True)
    behind = {"reason": "behind_others", "until": None, "number": 2, "campaign_id": None, "account_id": None}
    assert answer["reasons"] == [behind]
    assert "planned for Wed 2026-06-03 08:00:00 EDT" in ready("why", str(tomorrow.contact_id)).out
    assert "its template is paused" in ready("why", str(paused.contact_id)).out
    assert ready("why", "4711").code == 1


def test_a_plan_of_nothing_says_until_when(ready: Slowpost) -> None:
    assert ready("plan").out.startswith("nothing is going to be sent before ")
    assert parsed(ready("plan", "--json"))["planned"] == []


def parsed(result: Result) -> Any:
    """Return the JSON a command printed."""
    assert result.code == 0, result.err
    return json.loads(result.out)


def limits(account: dict[str, Any]) -> tuple[Any, ...]:
    """Return an account's own limit, today's, and its warm-up."""
    return tuple(account[k] for k in ("daily_limit", "limit_today", "warmup_start", "warmup_step", "warmup_on"))
