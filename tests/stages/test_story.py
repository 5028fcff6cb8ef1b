"""All that happens with a contact can be read afterwards, in its order, with why, by whom and what was said."""

from __future__ import annotations

import datetime as dt
from email.utils import format_datetime

import pytest

from models import Delivery, Effect, Enrolment, SmtpAccount, State
from models.event import transition
from models.lookup import NotThereError
from models.states import TRANSITIONS, Cause
from pipeline.inbound import taken_over
from pipeline.inbound.heads import head_in
from pipeline.operations import decisions, pause, stops, unsubscribe
from pipeline.reports import contacts, story
from pipeline.reports.actions import actions
from pipeline.reports.why import why
from tests.builders import a_contact, a_delivery, an_account
from tests.conftest import Clock
from tests.inbound_mails import OURS, a_bounce, a_sent_mail, an_answer, raw, record

pytestmark = pytest.mark.usefixtures("any_database")


def test_what_came_back_is_part_of_the_contact_of_why_and_of_its_story(clock: Clock) -> None:
    sent = a_sent_mail(clock)
    a_sent_mail(clock, "<other@x.test>")
    clock.tick(3600)
    record(raw(an_answer(OURS)))
    clock.tick(60)
    record(raw(a_bounce(OURS, said="550 5.1.1 no such user")))

    for report in (contacts.contact(sent.contact_id), why(sent.contact_id)):
        assert [(mail.kind, mail.effect, mail.delivery_id) for mail in report.inbound] == [
            ("reply", "replied", sent.id),
            ("bounce", "bounced", sent.id),
        ]
    told = [
        (h.what, h.reply_code, h.enhanced_code)
        for h in story.story(sent.contact_id, 99).entries
        if h.about == "inbound"
    ]
    assert told == [
        ("bounce came back: the address is suppressed", 550, "5.1.1"),
        ("reply came back: the campaigns of the contact have ended", None, None),
    ]


def test_a_mail_that_a_person_has_written_is_part_of_the_story(clock: Clock) -> None:
    sent = a_sent_mail(clock)
    Enrolment.update(last_id=sent.id).where(Enrolment.id == sent.enrolment_id).execute()
    clock.tick(3600)
    written = f"To: {sent.recipient}\r\nMessage-ID: <own@x.test>\r\nDate: {format_datetime(clock.at)}\r\n\r\n"
    account = SmtpAccount.get()
    taken_over.note(account, [head_in(written.encode())])

    ((told, account_id),) = (
        (h.what, h.account_id) for h in story.story(sent.contact_id, 99).entries if h.about == "inbound"
    )
    assert (told, account_id) == ("a person has written to it: the next step waits longer", account.id)


def test_the_story_has_each_step_who_did_it_and_why_the_latest_first(clock: Clock) -> None:
    account = an_account()
    doubtful = a_delivery(State.IN_DOUBT, account=account)
    clock.tick(3600)
    decisions.resolve_sent(doubtful.id, "ann", "it lies in Sent")
    clock.tick(60)
    unsubscribe.ask(doubtful.id, unsubscribe.Choice.PAUSE, unsubscribe.Way.PAGE)
    clock.tick(60)
    stops.replied([doubtful.contact_id], "bob", "by telephone")
    a_delivery(State.SENT)

    found = story.story(doubtful.contact_id, 99)

    assert [(h.about, h.what, h.by, h.text) for h in found.entries] == [
        ("action", f"replied: contact {doubtful.contact_id}", "bob", "by telephone"),
        (
            "action",
            f"unsubscribe: contact {doubtful.contact_id}",
            "recipient",
            f"pause by page, through delivery {doubtful.id}",
        ),
        ("suppression", "its address is suppressed", None, "wants no mails for some time"),
        ("action", f"resolve --sent: delivery {doubtful.id}", "ann", "it lies in Sent"),
        ("delivery", "in doubt no more: it was sent", "resolve", ""),
        ("delivery", "in doubt: nobody knows whether it was sent", "outside", ""),
    ]
    ((request,),) = (contacts.contact(doubtful.contact_id).requests,)
    assert (request.choice, request.way, request.delivery_id) == ("pause", "page", doubtful.id)
    assert request.until == clock.at - dt.timedelta(seconds=60) + unsubscribe.PAUSE


def test_why_says_whether_the_next_mail_goes_today(clock: Clock) -> None:
    waiting, person = a_delivery(), a_contact()
    assert (why(waiting.contact_id).today, why(person.id).today) == (False, False)
    an_account()
    assert why(waiting.contact_id).today is True
    Delivery.update(not_before=clock.at + dt.timedelta(days=1)).execute()
    assert why(waiting.contact_id).today is False
    Delivery.update(not_before=None).execute()
    clock.set(2026, 6, 2, 23)
    assert (why(waiting.contact_id).today, why(waiting.contact_id).earliest) == (
        False,
        clock.at.replace(day=3, hour=12),
    )


def test_each_legal_step_has_words_of_its_own() -> None:
    begins = [(None, State.SELECTED), (None, State.SKIPPED)]
    steps = [*begins, *((origin, to) for origin, following in TRANSITIONS.items() for to in following)]
    assert [step for step in steps if step not in story._WHAT and step[1] not in story._ENDS] == []


def test_whatever_follows_from_a_mail_has_words() -> None:
    assert set(story._EFFECTS) == set(Effect)


def test_a_long_story_is_cut_at_its_old_end(clock: Clock) -> None:
    person = a_contact()
    for _ in range(2):
        waiting = a_delivery(State.READY, contact=person)
        clock.tick(1)
        transition(State.READY, State.CANCELLED, waiting.id == type(waiting).id, cause=Cause.CANCEL, reason="cancelled")

    found = story.story(person.id, 3)

    assert (len(found.entries), found.has_more) == (3, True)
    assert found.entries[0].what == "cancelled"
    assert found.entries[0].at == clock.at
    with pytest.raises(NotThereError):
        story.story(person.id + 1, 3)


def test_actions_are_listed_the_latest_first_page_by_page() -> None:
    for number in range(3):
        an_account()
        pause.pause(pause.Target(account_id=number + 1), "ann", f"reason {number}")
    first = actions(2)
    assert [(row.who, row.verb, row.subject, row.reason) for row in first] == [
        ("ann", "pause", "account 3", "reason 2"),
        ("ann", "pause", "account 2", "reason 1"),
    ]
    assert [row.subject for row in actions(2, before=first[-1].id)] == ["account 1"]
