"""What people look up: a contact by its address, a template's source, and all of it as plain sentences."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models import Reason, State, database
from models.suppression import suppress
from pipeline.reports.reasons import Because, in_words
from tests.builders import (
    a_campaign,
    a_contact,
    a_delivery,
    a_list,
    a_template,
    a_website,
    an_account,
    an_enrolment,
)
from tests.cli.conftest import Result, Slowpost


def test_a_contact_is_shown_with_its_deliveries_and_what_keeps_it_from_being_mailed(ready: Slowpost) -> None:
    with database.connection():
        website = a_website(domain="bees.test", meets_requirements=False)
        ann = a_contact(email="Ann@gmail.com", name="Ann", website=website, extra={"topic": "bees"})
        sent = a_delivery(State.SENT, contact=ann, reason="accepted", sent_at=database.now())
        a_delivery(State.SENT)
        suppress("domain", ["gmail.com", "other.test"], "asked by phone", database.now())
    by_id = parsed(ready("contacts", "show", str(ann.id), "--json"))
    assert parsed(ready("contacts", "show", "a.nn+x@googlemail.com", "--json")) == by_id
    assert (by_id["id"], by_id["email"], by_id["address"]) == (ann.id, "Ann@gmail.com", "ann@gmail.com")
    assert (by_id["website"], by_id["website_details"]["meets_requirements"]) == ("bees.test", False)
    assert [row["id"] for row in by_id["deliveries"]] == [sent.id]
    assert [row["value"] for row in by_id["suppressions"]] == ["gmail.com"]
    shown = ready("contacts", "show", str(ann.id)).out
    for words in ("email: Ann@gmail.com", "extra: topic bees", "suppressed domain: gmail.com (asked by phone)"):
        assert words in shown
    assert "its website does not meet the requirements" in shown


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("doe", ["J.Doe@gmail.com", "x@doe-bees.test"]),
        ("BEES", ["x@doe-bees.test", "ann@x.test"]),
        ("j.d.oe+old@gmail.com", ["J.Doe@gmail.com"]),
        ("Ann Lee", ["ann@x.test"]),
        ("%", []),
        ("_", []),
        ("forgotten", []),
    ],
)
def test_contacts_are_found_by_a_part_of_address_name_or_website(ready: Slowpost, text: str, found: list[str]) -> None:
    with database.connection():
        a_contact(email="J.Doe@gmail.com")
        a_contact(email="x@doe-bees.test")
        a_contact(email="ann@x.test", name="Ann Lee", website=a_website(domain="bees.test"))
        a_contact(email="forgotten@x.test", forgotten_at=database.now())
    assert [c["email"] for c in parsed(ready("contacts", "find", text, "--json"))] == found
    assert [c["email"] for c in parsed(ready("contacts", "find", text, "--limit", "1", "--json"))] == found[:1]
    if not found:
        assert ready("contacts", "find", text).out == f"no contact has {text!r} in its address, name or website\n"


def test_a_reason_whose_end_is_not_known_is_a_whole_sentence() -> None:
    at = dt.datetime(2026, 6, 2, 14, 0, tzinfo=dt.UTC)
    written_to = "its address has been written to"
    assert in_words(Because(Reason.CONTACTED_RECENTLY), dt.UTC) == written_to
    again = f"{written_to}; again not before Tue 2026-06-02 14:00:00 UTC"
    assert in_words(Because(Reason.CONTACTED_RECENTLY, at), dt.UTC) == again


def test_wherever_a_contacts_id_is_read_its_address_is(ready: Slowpost) -> None:
    with database.connection():
        ann = a_contact(email="ann@x.test", name="Ann")
        a_template()
        an_account(port=1)
    assert parsed(ready("why", "ANN@x.test", "--json"))["contact_id"] == ann.id
    assert parsed(ready("templates", "preview", "1", "--contact", "ann@x.test", "--json"))["text"] == "Dear Ann"
    test = ("templates", "send-test", "1", "--to", "me@h.test", "--account", "1", "--contact")
    assert "connect: " in ready(*test, "ann@x.test").err
    assert ready(*test, "bob@x.test").err == "slowpost: there is no contact with the address bob@x.test\n"


def test_plan_and_why_name_the_dates_on_which_the_window_stays_closed(
    ready: Slowpost, configure: Callable[..., None], clock: Any
) -> None:
    clock.set(2026, 12, 24, 20)  # Thursday, after the window's end in Berlin
    configure(mail_window_timezone="Europe/Berlin", mail_window_days="mon-fri", mail_window_holidays="DE,AT")
    configure(mail_window_closed_dates="2026-12-28")
    with database.connection():
        an_account()
        contact = a_delivery().contact_id
    closed = [
        {"date": "2026-12-25", "holidays": ["Christmas Day (DE)", "Christmas Day (AT)"]},
        {"date": "2026-12-28", "holidays": []},
    ]
    answer = parsed(ready("why", str(contact), "--json"))
    assert (answer["closed"], answer["earliest"]) == (closed, "2026-12-29T07:00:00Z")
    assert "  closed on Fri 2026-12-25, Christmas Day (DE) and Christmas Day (AT)\n" in ready("why", str(contact)).out
    assert "  closed on Mon 2026-12-28, a closed date\n" in ready("why", str(contact)).out
    assert parsed(ready("plan", "--days", "7", "--json"))["closed"] == closed
    assert "closed on Mon 2026-12-28, a closed date\n" in ready("plan", "--days", "7").err
    clock.set(2026, 12, 29, 10)
    assert parsed(ready("why", str(contact), "--json"))["closed"] == []


def test_plan_has_a_line_for_each_day_and_each_campaign_and_why_one_for_each_enrolment(
    ready: Slowpost, configure: Callable[..., None], clock: Any
) -> None:
    configure(mail_daily_limit=2, mail_window_days="mon-fri", mail_jitter=0)
    clock.set(2026, 6, 2, 12, 0)  # Tuesday, 08:00 in New York
    with database.connection():
        steps = (0, [a_template()]), (3, [a_template()])
        spring = a_campaign(*steps, name="spring", accounts=[an_account()])
        contact = [an_enrolment(spring, a_contact(email=f"{i}@x.test")) for i in range(3)][-1].contact_id
        a_campaign(*steps, name="autumn", lists=[a_list(a_contact())])
        a_delivery()
    planned = parsed(ready("plan", "--json"))
    assert planned["days"] == [
        {"date": "2026-06-02", "mails": 2, "plain": 1, "campaigns": [{"campaign_id": 1, "mails": 1}]}
    ]
    assert [(c["name"], c["mails"], c["end"]["date"], c["end"]["left"]) for c in planned["campaigns"]] == [
        ("spring", 1, "2026-06-08", 0),
        ("autumn", 0, None, 1),
    ]
    assert planned["campaigns"][1]["end"]["why"]["reason"] == "campaign_without_account"
    shown = " ".join(ready("plan").out.split())
    assert "DATE MAILS PLAIN OF CAMPAIGNS 2026-06-02 2 1 spring 1 " in shown
    assert "1 spring 1 2026-06-08 0 2 autumn 0 no account sends campaign 2" in shown

    answer = parsed(ready("why", str(contact), "--json"))
    assert [(row["campaign"], row["state"], row["position"]) for row in answer["enrolments"]] == [
        ("spring", "active", 1)
    ]
    assert (answer["earliest"], answer["is_planned"], answer["account_id"]) == ("2026-06-03T16:30:00Z", True, 1)
    shown = " ".join(ready("why", str(contact)).out.split())
    assert "CAMPAIGN NAME STATE STEP DUE ACCOUNT REASON 1 spring active 1 – – –" in shown
    assert "planned for Wed 2026-06-03" in shown


def test_a_templates_source_comes_back_out_as_it_was_added(ready: Slowpost, tmp_path: Path) -> None:
    text, html = "Dear {{ contact.name }},\r\n\n  bees \N{HONEYBEE}", "<p>{{ contact.name }}</p>\n\n"
    (tmp_path / "t.txt").write_bytes(text.encode())
    (tmp_path / "t.html").write_bytes(html.encode())
    words = ("templates", "add", "one", "--subject", "Hi {{ contact.name }}", "--preheader", "bees")
    assert ready(*words, "--text-file", "t.txt", "--html-file", "t.html").code == 0
    assert ready("templates", "show", "1", "--text").out == text
    assert ready("templates", "show", "1", "--html").out == html
    found = parsed(ready("templates", "show", "1", "--json"))
    assert (found["text"], found["html"], found["preheader"]) == (text, html, "bees")
    shown = ready("templates", "show", "1").out
    for line in ("name: one", "state: active", "sent: 0", "subject: Hi {{ contact.name }}", "preheader: bees"):
        assert line in shown.splitlines()


def test_a_template_that_is_paused_or_has_no_html_says_so(ready: Slowpost) -> None:
    with database.connection():
        a_template(active=False, paused_at=database.now())
    assert "state: not active, paused" in ready("templates", "show", "1").out.splitlines()
    refused = ready("templates", "show", "1", "--html")
    assert (refused.code, refused.out, refused.err) == (1, "", "slowpost: template 1 has no HTML body\n")


def parsed(result: Result) -> Any:
    """Return the JSON a command printed."""
    assert result.code == 0, result.err
    return json.loads(result.out)
