"""`campaigns check` says everything that would go wrong before the first mail: each finding provoked once, against a
campaign with which all is well.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from models import (
    Campaign,
    Contact,
    ContactList,
    Control,
    Delivery,
    EmailTemplate,
    Enrolment,
    ListMember,
    SmtpAccount,
    State,
    Step,
    Variant,
    database,
)
from models.suppression import suppress
from pipeline.accounts import passwords
from tests.builders import (
    a_campaign,
    a_contact,
    a_delivery,
    a_list,
    a_template,
    a_website,
    an_account,
    an_attachment,
    an_enrolment,
)
from tests.cli.conftest import Slowpost
from tests.conftest import Clock
from tests.smtp_server import ScriptedServer

FOOTER = " {{ unsubscribe }} {{ postal_address }}"


@dataclass
class World:
    """A sound campaign of two steps for three contacts, and what it is made of."""

    campaign: Campaign
    first: EmailTemplate
    follow_up: EmailTemplate
    account: SmtpAccount
    people: ContactList
    contacts: list[Contact] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture
def world(
    any_database: str, slowpost: Slowpost, server: ScriptedServer, clock: Clock, configure: Callable[..., None]
) -> World:
    configure(
        mail_window_days="mon-fri", mail_unsubscribe_url="https://x.test/no", mail_postal_address="1 Main Road",
        database_url=any_database,
    )  # fmt: skip
    contacts = [a_contact(name=n, extra={"company": f"{n} Ltd"}, website=a_website(title="T")) for n in ("A", "B", "C")]
    people = a_list(*contacts, name="people")
    first = a_template(subject="Hello", text="Dear {{ contact.name }} of {{ contact.company }}" + FOOTER)
    follow_up = a_template(subject="", text="Again" + FOOTER)
    account = an_account(port=server.port)
    campaign = a_campaign(
        (0, [first]), (3, [follow_up]), name="spring", lists=[people], accounts=[account], state="draft"
    )
    return World(campaign, first, follow_up, account, people, contacts)


def joins(world: World, contact: Contact) -> Contact:
    """Put a contact on the campaign's list."""
    ListMember.create(list=world.people, contact=contact)
    return contact


def change(row: Any, **values: Any) -> None:
    """Change a stored row."""
    type(row).update(**values).where(type(row)._meta.primary_key == row.id).execute()


def other_variant(world: World, **values: Any) -> None:
    Variant.create(step=Step.get(position=1), template=a_template(**values))


def everything_is_paused(_: World) -> None:
    Control.update(paused_at=database.now()).execute()


def colleague_in_sequence(world: World) -> None:
    an_enrolment(a_campaign(), a_contact(website=world.contacts[1].website), position=2)


#: What is provoked → the finding: how bad, about what, at what, for which contacts, and words of it.
CASES: dict[str, tuple[Callable[[World], object], tuple[str, str, dict[str, Any], list[int], str]]] = {
    "it lacks what it needs to start": (
        lambda w: change(w.first, text="Dear {{ contact.name }} {{ postal_address }}"),
        ("problem", "not_ready", {}, [], "step 1, template 1: its text has no {{ unsubscribe }}"),
    ),
    "its last date is over": (
        lambda w: change(w.campaign, ends_on=dt.date(2026, 6, 1)),
        ("problem", "not_ready", {}, [], "its last date, 2026-06-01, is over"),
    ),
    "a column is not there": (
        lambda w: change(w.contacts[1], extra={}),
        ("problem", "column", {"column": "contact.company"}, [2], "contact.company is not there"),
    ),
    "a column is blank": (
        lambda w: change(w.contacts[2], name=" "),
        ("problem", "column", {"column": "contact.name"}, [3], "contact.name is blank"),
    ),
    "what stands in for what is missing does not for what is blank": (
        lambda w: (change(w.first, text="{{ contact.name|default('you') }}" + FOOTER), change(w.contacts[0], name="")),
        ("problem", "column", {"column": "contact.name"}, [1], "contact.name is blank"),
    ),
    "a website's column is not there": (
        lambda w: (change(w.follow_up, text="{{ website.title }}" + FOOTER), change(w.contacts[0], website=None)),
        ("problem", "column", {"column": "website.title"}, [1], "website.title is not there"),
    ),
    "rendering fails for somebody": (
        lambda w: change(w.follow_up, text="{{ 1 / (contact.id - 2) }}" + FOOTER),
        ("problem", "rendering", {"step": 2, "template_id": 2}, [2], "1 of 3 mails that were tried fail"),
    ),
    "a mail can't be made": (
        lambda w: change(w.contacts[1], name="B\x0bB"),
        ("problem", "rendering", {"step": 1, "template_id": 1}, [2], "the contact's name has a line break"),
    ),
    "a mistake of syntax": (
        lambda w: change(w.first, html="{% if %}"),
        ("problem", "rendering", {"step": 1, "template_id": 1}, [], "html, line 1:"),
    ),
    "a placeholder of another program": (
        lambda w: change(w.first, text="Dear {first_name} <<Name>> *|FNAME|* %FIRSTNAME% [Name]" + FOOTER),
        (
            "problem",
            "placeholder",
            {"step": 1, "template_id": 1},
            [],
            "{first_name}, <<Name>>, *|FNAME|*, %FIRSTNAME%, [Name]",
        ),
    ),
    "a placeholder that comes from a column": (
        lambda w: change(w.contacts[1], extra={"company": "[Company]"}),
        ("problem", "placeholder", {"step": 1, "template_id": 1}, [2], "from a column"),
    ),
    "a preheader": (
        lambda w: change(w.first, preheader="x", html="<p>{{ contact.company }}" + FOOTER),
        ("note", "hidden_text", {"step": 1, "template_id": 1}, [], "its preheader stands in the HTML"),
    ),
    "hidden text": (
        lambda w: change(w.follow_up, html='<p style="display:none">x</p>' + FOOTER),
        ("note", "hidden_text", {"step": 2, "template_id": 2}, [], "text that nobody sees"),
    ),
    "a subject of its own": (
        lambda w: change(w.follow_up, subject="New"),
        ("note", "conversation", {"step": 2, "template_id": 2}, [], "a new conversation"),
    ),
    "an attachment": (
        lambda w: an_attachment(w.first),
        ("note", "attachments", {"step": 1, "template_id": 1}, [], "attachments hurt cold mail"),
    ),
    "an inline image that is not there": (
        lambda w: change(w.first, html='<img src="cid:logo">' + FOOTER),
        ("problem", "attachments", {"step": 1, "template_id": 1}, [], "cid:logo"),
    ),
    "a paused template": (
        lambda w: change(w.follow_up, paused_at=database.now(), paused_after="bounces"),
        ("problem", "paused", {"step": 2, "template_id": 2}, [], "it is paused: bounces"),
    ),
    "everything is paused": (everything_is_paused, ("note", "paused", {}, [], "everything is paused")),
    "nobody is on its lists": (
        lambda _: ListMember.delete().execute(),
        ("problem", "audience", {}, [], "nobody is on its lists"),
    ),
    "nobody can be written to": (
        lambda _: Contact.update(validated=False).execute(),
        ("problem", "audience", {}, [], "none of its 3 contacts can be written to"),
    ),
    "a contact that is not validated": (
        lambda w: joins(w, a_contact(validated=False)),
        ("note", "left_out", {}, [4], "the contact is not validated"),
    ),
    "an invalid address": (
        lambda w: joins(w, a_contact(address_valid=False)),
        ("note", "left_out", {}, [4], "its address is not valid"),
    ),
    "a suppressed contact": (
        lambda w: suppress("address", [w.contacts[2].address], "asked", database.now()),
        ("note", "left_out", {}, [3], "its address is suppressed"),
    ),
    "a contact in another sequence": (
        lambda w: an_enrolment(a_campaign(), w.contacts[1]),
        ("note", "waits", {}, [2], "in another campaign's sequence"),
    ),
    "a contact whose website is written to by another campaign": (
        colleague_in_sequence,
        ("note", "waits", {}, [2], "is in a campaign that goes on"),
    ),
    "a contact that was written to lately": (
        lambda w: a_delivery(State.SENT, contact=w.contacts[0], sent_at=database.now()),
        ("note", "waits", {}, [1], "its address has been written to"),
    ),
    "no common hour": (
        lambda w: (change(w.campaign, hours="09:00-10:00"), change(w.contacts[1], timezone="Asia/Tokyo")),
        ("problem", "hours", {}, [2], "the clock of Asia/Tokyo"),
    ),
    "an account that can't log in": (
        lambda w: change(w.account, port=1),
        ("problem", "account", {"account_id": 1}, [], "does not let it in"),
    ),
    "a password that can't be read": (
        lambda w: change(w.account, username="me", password="by no key"),
        ("problem", "account", {"account_id": 1}, [], "its password can't be read"),
    ),
    "an account that is off": (
        lambda w: change(w.account, enabled=False, disabled_reason="tired"),
        ("note", "account", {"account_id": 1}, [], "is switched off: tired"),
    ),
    "accounts without a limit": (
        lambda w: change(w.account, daily_limit=0),
        ("problem", "capacity", {}, [], "3 contacts and 2 steps are up to 6 mails; today it may send 0"),
    ),
    "its last date comes too soon": (
        lambda w: change(w.campaign, ends_on=dt.date(2026, 6, 3)),
        ("problem", "capacity", {}, [], "comes before 3 contacts have got all of its mails"),
    ),
    "a weekend": (
        lambda _: Step.update(days=20).where(Step.position == 2).execute(),
        ("note", "days", {}, [], "mail would go out on weekends, next on Sat 2026-06-06"),
    ),
    "a holiday": (
        lambda _: Step.update(days=20).where(Step.position == 2).execute(),
        ("note", "days", {}, [], "nothing goes out on Fri 2026-06-19, Juneteenth National Independence Day (US)"),
    ),
}
#: Settings of a case, beside the usual.
SETTINGS = {"a weekend": {"mail_window_days": "mon-sun"}, "a holiday": {"mail_window_holidays": "US"}}


def test_a_sound_campaign_has_nothing_that_hurts(world: World, slowpost: Slowpost) -> None:
    result = slowpost("campaigns", "check", "SPRING", "--json")
    found = json.loads(result.out)
    assert (result.code, found["hurts"], found["audience"], found["goes"]) == (0, False, 3, 3)
    assert (found["rendered"], found["logins"]) == (6, 1)
    assert [finding["about"] for finding in found["findings"]] == ["capacity"]
    assert Enrolment.select().count() == Delivery.select().count() == 0
    assert Campaign.get().state == "draft"


@pytest.mark.parametrize("case", CASES)
def test_each_thing_that_would_go_wrong_is_found(
    world: World, slowpost: Slowpost, configure: Callable[..., None], case: str
) -> None:
    provoke, (severity, about, at, contact_ids, words) = CASES[case]
    with database.connection():
        passwords.encrypt("a key is made")
        provoke(world)
    configure(**SETTINGS.get(case, {}))

    result = slowpost("campaigns", "check", "spring", "--json")

    found = json.loads(result.out)
    expected = {"severity": severity, "about": about} | at
    fits = [f for f in found["findings"] if expected.items() <= drop_lists(f).items() and words in f["found"]]
    assert len(fits) == 1, found["findings"]
    assert fits[0]["contact_ids"] == contact_ids
    assert fits[0]["contacts"] in (None, 0, 3) if not contact_ids else fits[0]["contacts"] == len(contact_ids)
    hurts = any(f["severity"] == "problem" for f in found["findings"])
    assert (found["hurts"], result.code) == (hurts, int(hurts))


def drop_lists(finding: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in finding.items() if not isinstance(value, list)}


@pytest.mark.parametrize(
    "text",
    [
        "{{ contact.nick|default('you') }}",
        "{{ contact.name|default('you', true) }}",
        "{{ contact.name or 'you' }}",
        "{% if contact.name %}{{ contact.name }}{% endif %}",
        "{% if contact.nick is defined %}{{ contact.nick }}{% endif %}",
        "{{ contact.name if contact.name else 'you' }}",
        "{% set you = contact.name or 'you' %}{{ you }}",
        "a|b [1] 100% of 20%, {a: b} [see below]",
    ],
)
def test_what_somebody_has_thought_of_is_not_held_against_a_template(
    world: World, slowpost: Slowpost, text: str
) -> None:
    with database.connection():
        change(world.first, text=text + FOOTER)
        Contact.update(name="").execute()
    assert json.loads(slowpost("campaigns", "check", "spring", "--json").out)["hurts"] is False


def test_a_person_reads_it_line_by_line_and_nobody_is_logged_in_where_that_is_not_wanted(
    world: World, slowpost: Slowpost, server: ScriptedServer
) -> None:
    with database.connection():
        change(world.contacts[1], extra={})
    result = slowpost("campaigns", "check", "spring", "--no-login", "--limit", "1")
    assert (result.code, result.err) == (1, "slowpost: campaign 1 (spring): 1 of these would hurt\n")
    first, to_do, *_, last = result.out.splitlines()
    assert first == "problem  contact.company is not there, so their mails would fail (contact 2)"
    assert to_do.startswith("         to do: fill the column in, or write {{ contact.company|default('…', true) }}")
    assert last == "3 contacts to write to, 3 of them can be; 2 mails rendered, 0 logins tried"
    assert server.connections == 0


def test_who_is_in_a_running_campaign_is_looked_at_from_the_step_that_is_next(world: World, slowpost: Slowpost) -> None:
    with database.connection():
        Campaign.update(state="running").execute()
        ListMember.delete().where(ListMember.contact == world.contacts[2]).execute()
        an_enrolment(world.campaign, world.contacts[0], position=2, sent_at=database.now())
        an_enrolment(world.campaign, world.contacts[1], state="finished", position=3)
        Contact.update(extra={}).execute()
    found = json.loads(slowpost("campaigns", "check", "spring", "--json").out)
    assert (found["audience"], found["rendered"], found["hurts"]) == (1, 1, False)


def test_a_campaign_that_is_done_and_one_that_is_not_there(world: World, slowpost: Slowpost) -> None:
    with database.connection():
        Campaign.update(state="done").execute()
    assert slowpost("campaigns", "check", "spring").code == 1
    missing = slowpost("campaigns", "check", "summer")
    assert (missing.code, missing.err) == (1, "slowpost: there is no campaign 'summer'\n")
