"""A campaign is made to what its file describes: in whole or not at all, and a second time nothing changes."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models import (
    Action,
    Campaign,
    CampaignState,
    Delivery,
    EmailTemplate,
    Enrolment,
    EnrolmentState,
    SmtpAccount,
    State,
    WhenAccountIsOff,
    database,
)
from pipeline.operations import campaign_apply, campaign_file, campaign_states
from pipeline.operations.campaign_apply import CampaignApplied
from pipeline.operations.campaign_file import Wanted
from pipeline.operations.campaign_written import Change
from pipeline.operations.done import OperationRefusedError
from pipeline.reports import campaigns as reports
from tests.builders import a_campaign, a_contact, a_delivery, a_list, a_template, an_account, an_enrolment
from tests.cli.test_bad_input import contents
from tests.effort import counts

FILE = """\
name: Spring
lists: [dentists]
without: [customers]
accounts: [sales]
limit: 40
hours: 9-11
steps:
  - variants:
      - template:
          name: hello
          subject: Hello {{ contact.name }}
          text: |
            Dear {{ contact.name }}
            {{ unsubscribe }}
            {{ postal_address }}
      - template: there
        weight: 2
  - after: 3
    quote: yes
    template:
      name: again
      text: "{{ unsubscribe }} {{ postal_address }}"
"""


def test_a_file_makes_a_draft_with_its_templates_and_again_changes_nothing(furnished: None) -> None:
    done = apply(FILE)
    assert (done.name, done.state, done.changed, done.problems) == ("Spring", CampaignState.DRAFT, True, ())
    found = reports.campaign("spring")
    assert [(s.days, s.working_days, s.quotes) for s in found.steps] == [(0, True, False), (3, True, True)]
    assert [[(v.name, v.weight) for v in s.variants] for s in found.steps] == [
        [("there", 2), ("hello", 1)],
        [("again", 1)],
    ]
    assert ([one.name for one in found.lists], [one.name for one in found.without]) == (["dentists"], ["customers"])
    assert (found.daily_limit, found.hours, [s.name for s in found.senders]) == (40, "09:00-11:00", ["sales"])
    assert [(a.who, a.verb, a.reason) for a in Action.select().order_by(Action.id)] == [
        ("me", verb, "why") for verb in ("write", "write", "add", "add step", "add step")
    ]

    before = contents()
    again = apply(FILE)
    assert (again.changed, again.changes, again.handoffs) == (False, (), ())
    assert contents() == before


@pytest.mark.parametrize("form", ["yaml", "toml"])
def test_the_file_that_a_campaign_is_written_to_changes_nothing_of_it(furnished: None, form: str) -> None:
    apply(FILE.replace("without:", "no-footer-because: 'a: b'\nwithout:"))
    digits = a_template(name="7", text="two\nlines").id
    steps = (
        f"[{{template: {digits}, calendar-days: yes}}, {{template: hello, after: 1}}, {{template: {digits}, after: 2}}]"
    )
    apply(f"name: All\ntags: [b, a]\nsteps: {steps}\n")
    apply("name: Bare\n")
    before = contents()
    for name in ("Spring", "all", "3"):
        assert apply(campaign_apply.written(name, form), form).changes == ()
    assert contents() == before

    text = campaign_apply.written("all", form)
    Campaign.update(name="x", key="x").where(Campaign.key == "all").execute()
    assert apply(text, form).id == 4
    assert campaign_apply.written("4", form) == text


characters = st.characters(exclude_categories=["Cs"], exclude_characters="{\0")
texts = st.text(characters | st.sampled_from("\n\r\t '\"\\:#-\x85\u2028"), min_size=1).filter(
    lambda text: bool(text.strip())
)
lines = texts.map(lambda text: re.sub(r"[\r\n]", " ", text).strip()[:200].strip()).filter(bool)


@settings(
    max_examples=counts(15, 300),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    words=st.tuples(lines, lines, texts, st.none() | texts, st.none() | texts),
    values=st.fixed_dictionaries(
        {},
        optional={
            "daily_limit": st.none() | st.integers(0, 1_000_000),
            "starts_on": st.dates(dt.date(1000, 1, 1)),
            "hours": st.sampled_from(["", "08:00-09:00,10:30-17:00"]),
            "weight": st.integers(1, 1000),
            "shares_contacts": st.booleans(),
            "when_account_is_off": st.sampled_from(WhenAccountIsOff),
            "no_footer_because": texts,
        },
    ),
    form=st.sampled_from(["yaml", "toml"]),
)
def test_whatever_stands_in_a_campaign_its_file_changes_nothing(
    sqlite: str, words: Any, values: dict[str, Any], form: str
) -> None:
    name, subject, text, html, preheader = words
    with database.transaction(undo=True):
        template = a_template(name=name, subject=subject, text=text, html=html, preheader=preheader)
        a_campaign((0, [template]), (3, [template]), name="spring", state="draft", tags=["a"], **values)
        assert apply(campaign_apply.written("spring", form), form).changes == ()


def test_a_look_says_what_would_change_and_changes_nothing(furnished: None) -> None:
    before = contents()
    new = campaign_apply.look(wanted(FILE), "me")
    assert (new.id, new.name, new.state, new.changed) == (None, "Spring", None, False)
    assert Change("limit", None, "40") in new.changes
    assert contents() == before

    apply(FILE)
    before = contents()
    other = FILE.replace("40", "60").replace("Dear", "Hi").replace("after: 3", "after: 5").replace("without:", "tags:")
    looked = campaign_apply.look(wanted(other + "  - {after: 1, template: hello}\n"), "me")
    text = "{{ contact.name }}\n{{ unsubscribe }}\n{{ postal_address }}\n"
    assert looked.changes == (
        Change("tags", None, "customers"),
        Change("limit", "40", "60"),
        Change("steps[2].after", "3", "5"),
        Change("steps[3].after", None, "1"),
        Change("steps[3].quote", None, "no"),
        Change("steps[3].calendar-days", None, "no"),
        Change("steps[3].templates", None, "hello"),
        Change("templates[hello].text", f"Dear {text}", f"Hi {text}"),
        Change("without", "customers", None),
    )
    assert looked.notes == ("no account has the tag customers",)
    assert contents() == before


def test_what_was_not_agreed_to_is_not_done(furnished: None) -> None:
    apply(FILE)
    other = wanted(FILE.replace("40", "60"))
    looked = campaign_apply.look(other, "me")
    Campaign.update(daily_limit=50).execute()
    before = contents()
    with pytest.raises(OperationRefusedError, match="has changed since you were asked"):
        campaign_apply.apply(other, "me", looked_at=looked.changes)
    assert contents() == before


def test_what_a_file_leaves_out_is_as_in_a_new_campaign_but_for_what_start_has_said(furnished: None) -> None:
    apply(FILE)
    Campaign.update(no_footer_because="customers", stops_website=True).execute()
    apply("name: SPRING\n")
    found = reports.campaign("1")
    assert (found.name, found.daily_limit, found.hours, found.stops_website) == ("SPRING", None, "", False)
    assert (found.lists, found.without, found.account_ids, found.steps) == ((), (), (), ())
    assert found.no_footer_because == "customers"


def test_a_running_campaign_is_changed_in_whole_where_a_part_alone_could_not_be(started: Any) -> None:
    bare = FILE.replace("            {{ unsubscribe }}\n", "")
    with pytest.raises(OperationRefusedError, match=r"can't run: step 1, template \d+: its text has no {{ unsubscribe"):
        apply(bare)
    # The reason comes with the text that needs it, and goes with it.
    apply(bare.replace("without:", "no-footer-because: friends\nwithout:"))
    assert ("allow no footer", "friends") in [(a.verb, a.reason) for a in Action.select()]
    done = apply(FILE.replace("without:", "no-footer-because: ''\nwithout:"))
    assert [change.field for change in done.changes] == ["templates[hello].text", "no-footer-because"]
    # Other templates, of which all have one, come with the end of the reason.
    apply(bare.replace("without:", "no-footer-because: friends\nwithout:").replace("{{ postal_address }}", "-"))
    whole = FILE.replace("name: hello", "name: hello 2").replace("name: again", "name: again 2")
    done = apply(whole.replace("without:", "no-footer-because: ''\nwithout:"))
    assert {"steps[1].templates", "steps[2].templates", "no-footer-because"} <= {one.field for one in done.changes}
    assert (Campaign.get().state, Campaign.get().no_footer_because) == (CampaignState.RUNNING, None)


@pytest.mark.parametrize(
    ("spoil", "text", "said"),
    [
        (
            lambda: a_delivery(State.SENT, campaign=1, position=2),
            FILE.replace("40", "60").partition("  - after: 3")[0],
            r"campaign 1 \(Spring\) has made mails for step 2 or one behind it: it can't be removed any more",
        ),
        (lambda: None, FILE.replace("Dear", "Hi").replace("accounts: [sales]\n", ""), "no account sends it"),
        (lambda: None, FILE.replace("40", "60").partition("steps:")[0], "it has no step"),
        (
            lambda: Campaign.update(state=CampaignState.DONE).execute(),
            FILE.replace("40", "60"),
            "is done: nothing of it changes any more",
        ),
    ],
)
def test_what_a_started_campaign_can_not_be_is_refused_and_nothing_of_it_is_stored(
    started: Any, spoil: Callable[[], Any], text: str, said: str
) -> None:
    spoil()
    before = contents()
    for act in (campaign_apply.look, campaign_apply.apply):
        with pytest.raises(OperationRefusedError, match=said):
            act(wanted(text), "me")
        assert contents() == before


def test_steps_of_a_running_campaign_follow_the_operations_of_one(started: Any) -> None:
    waits = an_enrolment(Campaign.get(), position=2, due_at=database.now())
    done = apply(FILE.replace("after: 3", "after: 5") + "  - {after: 1, template: again}\n")
    assert done.changed
    assert Enrolment.get_by_id(waits.id).due_at is None
    apply(FILE.partition("  - after: 3")[0])
    assert Enrolment.get_by_id(waits.id).state == EnrolmentState.FINISHED


@pytest.mark.parametrize(
    ("made", "becomes", "said"),
    [
        (2, "a new b c", "step 3 would be what step 2 is, and mails have been made for step 2: until there each step"),
        (1, "b c", "step 1 would be what step 2 is"),
        (2, "a c", "step 2 would be what step 3 is"),
        (3, "a b", "has made mails for step 3 or one behind it"),
        (1, "a new b c", None),
        (1, "a c", None),
        (2, "a new c", None),
        (3, "a b c new", None),
    ],
)
def test_a_step_that_has_mails_stays_where_it_is_so_that_nobody_gets_one_twice_or_never(
    furnished: None, made: int, becomes: str, said: str | None
) -> None:
    a, b, c, _ = (a_template(name=name) for name in ("a", "b", "c", "new"))
    a_campaign((0, [a]), (1, [b]), (1, [c]), name="spring", accounts=[SmtpAccount.get()], no_footer_because="-")
    an_enrolment(Campaign.get())
    a_delivery(State.SENT, campaign=1, position=made)
    a_delivery(State.SKIPPED, campaign=1, position=3)
    first, *others = becomes.split()
    steps = ", ".join([f"{{template: {first}}}", *(f"{{template: {name}, after: 1}}" for name in others)])
    text, before = f"name: spring\naccounts: [sales]\nsteps: [{steps}]\n", contents()
    if said is None:
        apply(text)
        assert [s.variants[0].name for s in reports.campaign("spring").steps] == becomes.split()
    else:
        with pytest.raises(OperationRefusedError, match=said):
            apply(text)
        assert contents() == before


def test_a_template_that_a_file_makes_is_picked_for_nobody_beside_its_campaign(furnished: None) -> None:
    apply(FILE)
    assert not EmailTemplate.get(name="hello").active
    # One that was there stays as it was, and who else has it is said.
    EmailTemplate.update(active=True).where(EmailTemplate.name == "hello").execute()
    a_campaign((0, [EmailTemplate.get(name="hello")]), name="other")
    done = apply(FILE.replace("Dear", "Hi"))
    assert done.notes == (f"template {EmailTemplate.get(name='hello').id} (hello) is also in the campaign 'other'",)
    assert EmailTemplate.get(name="hello").active


def test_a_slot_that_was_planned_by_old_values_is_given_back_and_mails_keep_their_words(started: Any) -> None:
    hello = EmailTemplate.get(name="hello")
    slot = {"account": SmtpAccount.get(), "send_at": database.now(), "token": "slot", "campaign": 1, "position": 1}
    planned = a_delivery(State.RESERVED, template=hello, **slot)
    done = apply(FILE.replace("40", "60").replace("Dear", "Hi"))
    assert Delivery.get_by_id(planned.id).state == State.READY
    assert len(done.handoffs) == 1
    assert done.notes == (
        f"template {hello.id} (hello): 1 mails that are rendered keep their words: "
        f"`slowpost templates rerender {hello.id}`",
    )


@pytest.fixture
def furnished(any_database: str, configure: Callable[..., None]) -> None:
    """Two lists, an account and a template, and settings with which a campaign can be started."""
    configure(mail_unsubscribe_url="https://x.test/no", mail_postal_address="1 Main Road")
    a_list(a_contact(), name="dentists")
    a_list(name="customers")
    an_account(name="sales")
    a_template(name="there", text="{{ unsubscribe }} {{ postal_address }}")


@pytest.fixture
def started(furnished: None) -> None:
    """The campaign of FILE, running."""
    apply(FILE)
    campaign_states.start("spring", "me")


def wanted(text: str, form: str = "yaml") -> Wanted:
    """Return what a file without mistakes describes."""
    found = campaign_file.read(text, form, str)
    assert found.mistakes == ()
    return found


def apply(text: str, form: str = "yaml") -> CampaignApplied:
    """Apply a file without mistakes."""
    return campaign_apply.apply(wanted(text, form), "me", "why")
