"""A campaign as a person makes it: from nothing to running, changed while it runs, and stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models import Enrolment, EnrolmentState, State, database
from tests.builders import a_campaign, a_contact, a_delivery, a_list, a_template, an_account, an_enrolment
from tests.cli.conftest import Slowpost
from tests.cli.test_commands import parsed

FOOTER = "\n{{ unsubscribe }}\n{{ postal_address }}\n"


def test_a_campaign_from_nothing_to_its_end(ready: Slowpost, tmp_path: Path, configure: Any) -> None:
    configure(mail_unsubscribe_url="https://x.test/no", mail_postal_address="1 Main Road")
    people = "email,name,priority\nann@x.test,Ann,3\nbob@y.test,Bob,\ncy@z.test,Cy,\n"
    ready("contacts", "import", "-", "--list", "Dentists", stdin=people)
    ready("lists", "add", "customers")
    ready("lists", "put", "customers", "cy@z.test")
    ready("accounts", "add", "--host", "h.test", "--from", "me@h.test", "--name", "me")
    for name, how in (("hello", ["--subject", "Hello"]), ("hi", ["--subject", "Hi"]), ("again", ["--follow-up"])):
        ready("templates", "add", name, *how, "--text-file", "-", stdin=f"{name}{FOOTER}")
    audience = ["--list", "dentists", "--without", "customers", "--account", "1", "--tag", "brand-a"]
    about = ["--limit", "20", "--hours", "9-11, 14:00-16:00", "--until", "2100-01-01", "--reply-prefix"]
    made = ready("campaigns", "add", "Spring", *audience, *about)
    assert (made.code, made.out) == (0, "campaign 1: Spring\nnote: no account has the tag brand-a\n")
    steps = [["--template", "1", "--template", "2=2"], ["--template", "3", "--after", "3", "--quote"]]
    for number, step in enumerate(steps, 1):
        assert ready("campaigns", "add-step", "SPRING", *step).out == f"campaign 1 (Spring): step {number} added\n"
    assert ready("campaigns", "set", "spring", "--no-tags", "--no-until").out == "campaign 1 (Spring): changed\n"

    started = ready("campaigns", "start", "spring")

    assert started.out == "campaign 1 (Spring): running; 2 contacts of its lists enrolled\n"
    enrolled = ready("campaigns", "enrol", "spring", "-", stdin="cy@z.test\nann@x.test\n99\n")
    assert (enrolled.code, enrolled.out) == (
        1,
        "campaign 1 (Spring): 1 enrolled, 1 were in it already, 0 are in another campaign's sequence, 1 refused\n",
    )
    assert enrolled.err == "line 3: there is no contact 99\nslowpost: 1 of 3 contacts were refused\n"
    shown = parsed(ready("campaigns", "show", "spring", "--json"))
    assert (shown["state"], shown["hours"], shown["daily_limit"]) == ("running", "09:00-11:00,14:00-16:00", 20)
    assert (shown["tags"], shown["ends_on"], shown["reply_prefix"], shown["problems"]) == ([], None, True, [])
    assert [(s["step"], s["days"], s["working_days"], s["quotes"], s["active"]) for s in shown["steps"]] == [
        (1, 0, True, False, 3),
        (2, 3, True, True, 0),
    ]
    assert [(v["template_id"], v["weight"]) for v in shown["steps"][0]["variants"]] == [(1, 1), (2, 2)]
    said = ready("campaigns", "show", "spring").out
    for line in ("lists: Dentists (1)", "without: customers (2)", "accounts: me (1)", "daily limit: 20"):
        assert f"{line}\n" in said
    assert "1 hello (=1), 2 hi (=2)" in said
    assert "3 working days" in said
    assert ready("campaigns", "pause", "1").out == "campaign 1 (Spring): paused\n"
    assert ready("campaigns", "resume", "1").out == "campaign 1 (Spring): resumed\n"
    assert ready("campaigns", "stop", "1").out == (
        "campaign 1 (Spring): done; stopped for 3 contacts, 0 mails cancelled\n"
    )
    (row,) = parsed(ready("campaigns", "list", "--json"))
    assert (row["state"], row["enrolled"], row["active"], row["ended"]) == ("done", 3, 0, {"stopped": 3})
    assert ready("campaigns", "set", "1", "--limit", "3").err == (
        "slowpost: campaign 1 (Spring) is done: nothing of it changes any more\n"
    )


def test_what_is_changed_while_it_runs_is_said_and_what_can_not_be_is_refused(ready: Slowpost) -> None:
    with database.connection():
        campaign = a_campaign(
            (0, [a_template()]),
            (3, [a_template()]),
            name="spring",
            accounts=[an_account()],
            lists=[a_list(a_contact(), name="all")],
            no_footer_because="customers",
        )
        an_enrolment(campaign, position=2, due_at=database.now())
        a_delivery(State.SENT, campaign=campaign, position=1)
    assert ready("campaigns", "set-step", "spring", "2", "--after", "5", "--calendar-days").out == (
        "campaign 1 (spring): step 2 changed\n"
    )
    with database.connection():
        assert Enrolment.get().due_at is None
    refused = ready("campaigns", "remove-step", "spring", "1")
    assert (refused.code, refused.err) == (
        1,
        "slowpost: campaign 1 (spring) has made mails for step 1 or one behind it: it can't be removed any more\n",
    )
    assert ready("campaigns", "remove-step", "spring", "2").code == 0
    with database.connection():
        assert Enrolment.get().state == EnrolmentState.FINISHED
    assert ready("campaigns", "set", "spring", "--no-lists", "--no-accounts").err == (
        "slowpost: campaign 1 (spring) can't run: no account sends it\n"
    )
    assert ready("campaigns", "set", "spring", "--no-lists").out == "campaign 1 (spring): changed\n"
    assert ready("campaigns", "set", "spring", "--no-lists").out == "campaign 1 (spring): is like that already\n"
