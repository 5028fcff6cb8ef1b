"""The operator's pages of what waits, what has happened and what has to be decided: all that they show is text, and
they do what the command line does.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable

import pytest

from actors import entry
from models import (
    Action,
    Attempt,
    ChargedTo,
    Contact,
    DeadLetter,
    Delivery,
    EmailTemplate,
    Enrolment,
    Outcome,
    State,
)
from models.dead_letter import file_deliveries, file_message
from pipeline.reports import contacts
from pipeline.reports import log as reports
from pipeline.runtime.printable import printable
from slowpost.web.operator_pages import dead, frame
from tests.builders import (
    a_campaign,
    a_contact,
    a_delivery,
    a_template,
    a_website,
    an_account,
    an_attachment,
    an_enrolment,
)
from tests.conftest import Clock
from tests.inbound_mails import OURS, a_bounce, a_sent_mail, an_answer, raw, record
from tests.web_pages import a_browser, passwords, sign_in, token

#: What strangers write: markup, and characters that turn the text around them.
EVIL = "<script>alert(1)</script>\u202e<b onclick='x'>"
SHOWN = "&lt;script&gt;alert(1)&lt;/script&gt;\\u202e&lt;b onclick=&#39;x&#39;&gt;"


def test_a_contact_is_found_by_id_by_address_in_any_spelling_and_by_a_part(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, browser = a_contact(email="ann.lee@gmail.com", name="Ann"), a_browser()
    a_contact(email="bob@example.test")
    for text in (str(ann.id), "Ann.Lee@gmail.com", "annlee+x@googlemail.com", "Ann"):
        assert "<h1>ann.lee@gmail.com</h1>" in browser.get(f"/contacts?q={text.replace('+', '%2B')}").text
    listed = browser.get("/contacts?q=e").text
    assert ("ann.lee@gmail.com" in listed, "bob@example.test" in listed) == (True, True)
    assert "Nobody has that" in browser.get("/contacts?q=nobody@here.test").text
    monkeypatch.setattr(contacts, "LOOKED_AT", 1)
    first = browser.get("/contacts?q=bob")
    assert ("Nobody of those looked through has that" in first.text, 'q=bob&amp;after=1"' in first.text) == (True, True)
    assert "bob@example.test" in browser.get("/contacts?q=bob&after=1").text
    assert browser.get("/contacts/77").status_code == browser.get("/contacts?q=77").status_code == 404


def test_a_contacts_page_says_whether_it_is_written_to_and_all_that_has_happened(sqlite: str, clock: Clock) -> None:
    sent = a_sent_mail(clock)
    clock.tick(60)
    record(raw(an_answer(OURS)))
    record(raw(a_bounce(OURS, said="550 5.1.1 no such user")))
    page = a_browser().get(f"/contacts/{sent.contact_id}").text
    for words in (
        "reply came back: the campaigns of the contact have ended",
        "bounce came back: the address is suppressed",
        "Its address is suppressed",
        "550 5.1.1",
        "its campaign has ended for the contact",
        "It is not mailed today",
    ):
        assert words in page, words


def test_the_backlog_shows_each_reason_as_a_sentence_with_its_commands(sqlite: str, clock: Clock) -> None:
    a_delivery(created_at=clock.at - dt.timedelta(hours=30))
    a_delivery(State.IN_DOUBT)
    page = a_browser().get("/backlog").text
    assert "every account is off or paused, or there is none: <code>slowpost accounts list</code>" in page
    assert "1 d 6 h" in page
    assert '<a href="/in-doubt">Decide</a>' in page


def test_what_strangers_have_written_is_shown_as_text_on_every_page(sqlite: str, clock: Clock) -> None:
    person = furnish(clock)
    for path in PATHS:
        page = a_browser().get(path)
        assert page.status_code == 200, path
        assert ("<script>alert" in page.text, "\u202e" in page.text, "<b onclick" in page.text) == (False,) * 3, path
        assert SHOWN in page.text or path in WITHOUT_STRANGERS, path
        assert page.headers["Content-Security-Policy"] == frame._POLICY
    assert person.id == 1


def test_the_html_of_a_mail_can_only_be_seen_in_a_frame_of_ours(sqlite: str) -> None:
    html = "<p onclick='x()'>Hello {{ contact.name }}</p><script>alert(1)</script><img src='cid:logo.png'>"
    template, person = a_template(html=html), a_contact(name="Ann & Bob")
    an_attachment(template, b"\x89PNG\r\n\x1a\n" + b"x" * 100, name="logo.png", type="image/png", cid="logo.png")
    browser = a_browser()

    around = browser.get(f"/templates/{template.id}?contact={person.email}").text
    framed = browser.get(f"/templates/{template.id}/html?contact={person.email}")

    assert f'<iframe class="mail" sandbox title="The HTML of the mail" src="/templates/{template.id}/html' in around
    assert "Hello Ann &amp; Bob" in around
    assert "Hello Ann &amp; Bob" in framed.text
    assert "src='data:image/png;base64,iVBORw0KGgp4" in framed.text
    policy = dict(part.partition(" ")[::2] for part in framed.headers["Content-Security-Policy"].split("; "))
    assert (policy["sandbox"], policy["default-src"], policy["frame-ancestors"]) == ("", "'none'", "'self'")
    assert "script-src" not in policy
    assert browser.get(f"/templates/{template.id}/html").status_code == 404


def test_a_template_that_fails_for_a_contact_says_where(sqlite: str) -> None:
    template, person = a_template(text="Dear {{ contact.nickname }}"), a_contact()
    page = a_browser().get(f"/templates/{template.id}?contact={person.id}")
    assert (page.status_code, "text, line 1" in page.text) == (200, True)
    assert "there is no contact 99" in a_browser().get(f"/templates/{template.id}?contact=99").text


def test_each_action_asks_is_done_and_stands_in_actions(sqlite: str, clock: Clock) -> None:
    furnish(clock)
    browser = a_browser()
    for path, (verb, subject, said) in ACTS.items():
        before, actions = everything(), Action.select().count()
        asked = browser.get(path)
        assert (asked.status_code, token(asked) != "", everything()) == (200, True, before), path
        done = browser.act(path, "because <b>")
        assert (done.status_code, said in done.text) == (200, True), (path, done.text)
        assert everything() != before, path
        assert Action.select().count() == actions + 1
        kept = Action.select().order_by(Action.id.desc()).get()
        assert (kept.who, kept.verb, kept.subject, kept.reason) == ("web", verb, subject, "because <b>")
    listed = browser.get("/actions").text
    assert all(subject in listed for _, subject, _ in ACTS.values())
    assert "because &lt;b&gt;" in listed


def test_who_may_only_look_and_who_has_no_form_of_ours_can_do_nothing(
    sqlite: str, clock: Clock, configure: Callable[..., None]
) -> None:
    passwords(configure)
    furnish(clock)
    reader, operator_ = a_browser(), a_browser()
    sign_in(reader, "reader")
    sign_in(operator_, "operator")
    before = everything()
    for path in ACTS:
        assert token(reader.get(path)) != token(operator_.get(path))
        assert reader.act(path).status_code == 403, path
        assert operator_.post(path, {"reason": "x"}).status_code == 400, path
        assert a_browser().post(path, {"token": "0" * 64}).status_code == 400, path
    assert everything() == before
    for path in PATHS:
        page = reader.get(path)
        assert (page.status_code, [link for link in ACTS if f'href="{link}"' in page.text]) == (200, []), path


def test_what_is_refused_says_why_and_changes_nothing(
    sqlite: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = furnish(clock)
    young = a_delivery(State.IN_DOUBT)
    Attempt.create(delivery=young, account=an_account(), outcome=Outcome.IN_DOUBT, claimed_at=clock.at)
    a_delivery(State.SENT, contact=person, sent_at=clock.at)
    browser, before = a_browser(), everything()
    for path, why in (
        (f"/in-doubt/{young.id}/resend", "its claim is not 30 minutes old"),
        ("/dead/1/replay", "contacted_recently"),
        ("/in-doubt/999/sent", "there is no delivery 999 in doubt"),
    ):
        answer = browser.act(path)
        assert (answer.status_code, why in answer.text) == (409, True), (path, answer.text)

    def away(*_: object) -> None:
        raise entry.AWAY("connection refused")

    monkeypatch.setattr(entry, "put_back", away)
    answer = browser.act("/dead/2/replay")
    assert (answer.status_code, "RabbitMQ is away (connection refused)" in answer.text) == (409, True)
    assert everything() == before
    assert browser.get("/dead/999").status_code == 404


def test_the_log_shows_what_is_asked_for_the_latest_first_and_goes_on(
    any_database: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "LOOKED_AT", 4)
    accounts, delivery = [an_account(), an_account()], a_delivery()
    for number in range(10):
        outcome = Outcome.FAILED if number in (1, 9) else Outcome.ACCEPTED
        charged_to = ChargedTo.SITE if number == 9 else ChargedTo.NOBODY
        # Several end at the same instant.
        times = {"claimed_at": clock.at, "finished_at": clock.at - dt.timedelta(seconds=(9 - number) // 2)}
        about = {"delivery": delivery, "outcome": outcome, "charged_to": charged_to}
        Attempt.create(account=accounts[number % 2], **about, **times)
    is_open = Attempt.create(account=accounts[0], delivery=delivery, outcome=Outcome.OPEN, claimed_at=clock.at)

    def through(**asked: object) -> list[list[int]]:
        found, before = [], None
        while not found or before is not None:
            part = reports.page(3, before, **asked)
            found.append([row.id for row in part.rows])
            before = part.older
        return found

    assert through() == [[is_open.id, 10, 9, 8], [7, 6, 5], [4, 3, 2], [1]]
    assert through(account_id=2) == [[10, 8], [6, 4], [2]]
    assert through(outcome=Outcome.FAILED) == [[10], [], [2]]
    assert through(charged_to=ChargedTo.SITE) == [[10], [], []]
    assert through(outcome=Outcome.OPEN) == [[is_open.id], [], []]
    later = [row.id for row in reports.page(9, clock.at).rows]
    assert later == [8, 7, 6, 5]


def test_the_filters_of_the_log_stand_in_its_form_and_go_with_its_links(
    sqlite: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slowpost.web.operator_pages.log.LIMIT", 1)
    account, delivery = an_account(name="Ann & Co"), a_delivery()
    for at in (clock.at - dt.timedelta(days=1), clock.at):
        Attempt.create(account=account, delivery=delivery, outcome=Outcome.ACCEPTED, finished_at=at, text=f"at {at:%d}")
    browser = a_browser()
    page = browser.get("/log?account_id=1&outcome=accepted").text
    assert ("at 02" in page, "at 01" in page) == (True, False)
    assert page.count(" selected>") == 2
    older = re.search(r'href="(/log\?[^"]*before=[^"]*)"', page)
    assert older is not None
    page = browser.get(older[1].replace("&amp;", "&")).text
    assert ("at 02" in page, "at 01" in page, page.count(" selected>")) == (False, True, 2)
    page = browser.get("/log?until=2026-06-01").text
    assert ("at 02" in page, "at 01" in page) == (False, True)
    assert browser.get("/contacts?q=%00&after=x").status_code == 200
    assert browser.get(f"/actions?before={10**30}").status_code == 200
    for wrong in ("outcome=x", "account_id=x", "before=x", "until=9999-12-31", "before=2026-01-01T00:00 1"):
        assert browser.get(f"/log?{wrong}").status_code == 404, wrong


def test_a_long_list_goes_on_on_the_next_page(sqlite: str, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (dead, "slowpost.web.operator_pages.in_doubt", "slowpost.web.operator_pages.actions"):
        name = module if isinstance(module, str) else module.__name__
        monkeypatch.setattr(f"{name}.LIMIT", 2)
    monkeypatch.setattr("slowpost.web.operator_pages.contacts.LIMIT", 2)
    for number in range(3):
        file_message("render", b"{}", f"reason {number}", clock.at)
        a_delivery(State.IN_DOUBT, detail=f"reason {number}")
        Action.create(at=clock.at, who="ann", verb="try", subject="all", reason=f"reason {2 - number}")
        Contact.update(name=f"reason {number}").where(Contact.id == number + 1).execute()
    for path in ("/dead", "/in-doubt", "/actions", "/contacts"):
        first = a_browser().get(path).text
        assert [f"reason {n}" in first for n in range(3)] == [True, True, False], path
        following = re.search(rf'href="({path}\?[^"]*)" rel="next"', first)
        assert following is not None, path
        last = a_browser().get(following[1].replace("&amp;", "&")).text
        assert [f"reason {n}" in last for n in range(3)] == [False, False, True], path


#: Each page, in the world of `furnish`; and those on which nothing of strangers stands.
PATHS = (
    "/backlog", "/contacts", "/contacts?q=%40", "/contacts/1", "/dead", "/dead?all=yes", "/dead/1", "/dead/2",
    "/in-doubt", "/log", "/templates", "/templates/1", "/templates/1?contact=1", "/actions",
)  # fmt: skip
WITHOUT_STRANGERS = ("/backlog",)
#: Each action there, in an order in which all can be done: what is kept of it (verb, to what), and what is said.
ACTS = {
    "/dead/2/replay": ("replay", "dead letter 2", "was put back"),
    "/dead/1/discard": ("discard", "dead letter 1", "is closed"),
    "/dead/3/replay": ("replay", "dead letter 3", "was put back"),
    "/in-doubt/2/sent": ("resolve --sent", "delivery 2", "counts as sent"),
    "/in-doubt/3/resend": ("resolve --resend", "delivery 3", "is sent again"),
    "/contacts/5/replied": ("replied", "contact 5", "Noted: 1 campaigns have ended"),
    "/contacts/6/cancel": ("cancel", "contact 6", "1 mails are cancelled"),
    "/templates/1/pause": ("pause", "template 1", "is paused"),
    "/templates/1/resume": ("resume", "template 1", "is running"),
    "/templates/1/deactivate": ("deactivate", "template 1", "is not active"),
    "/templates/1/activate": ("activate", "template 1", "is active"),
}


def furnish(clock: Clock) -> Contact:
    """Store something of each kind, with the words of a stranger; return the contact that most of it is about."""
    values = {"subject": f"Hi {{{{ contact.name }}}} {EVIL}", "text": f"Dear {EVIL}", "html": f"<p>{EVIL}</p>"}
    template, account = a_template(name=EVIL, **values), an_account(name=EVIL)
    people = [a_contact(name=EVIL, extra={EVIL: EVIL}, website=a_website(domain=f"{i}{EVIL}")) for i in range(6)]
    given_up, *doubtful, other = (
        a_delivery(state, contact=person, template=template, account=account, detail=EVIL, message_id=EVIL)
        for person, state in zip(people, (State.FAILED, State.IN_DOUBT, State.IN_DOUBT, State.FAILED), strict=False)
    )
    for delivery in (given_up, *doubtful):
        about = {"outcome": Outcome.FAILED, "charged_to": ChargedTo.SITE, "reply_code": 554, "text": EVIL}
        ended = clock.at - dt.timedelta(hours=1)
        Attempt.create(delivery=delivery, account=account, phase="dot", finished_at=ended, **about)
    file_deliveries({given_up.id: ("refused_by_policy", EVIL)}, clock.at)
    file_message("intake", b'{"contact_id": 6}', EVIL, clock.at)
    file_deliveries({other.id: ("refused_by_policy", EVIL)}, clock.at)
    an_enrolment(a_campaign((0, [template]), name="spring"), contact=people[4])
    a_delivery(contact=people[5], template=template)
    Action.create(at=clock.at, who=EVIL, verb="try", subject="contact 1", reason=EVIL)
    assert printable(EVIL) != EVIL
    return people[0]


def everything() -> list[object]:
    """Return what an action can change."""
    tables = (Delivery, DeadLetter, Enrolment, EmailTemplate, Action)
    return [row for table in tables for row in table.select().order_by(table.id).tuples()]
