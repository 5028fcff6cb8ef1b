"""A mail that follows another: its words when it is rendered, its headers when it is sent, and under which Message-ID
the recipient has the mails before.
"""

from __future__ import annotations

from email import message_from_bytes
from typing import Any

import pytest

from models import Attempt, Contact, DeadLetter, Delivery, EmailTemplate, Outcome, SmtpAccount, State, database
from pipeline import deliver_message, render_message
from pipeline.delivery import outcome
from pipeline.delivery.claim import Claim, claim
from pipeline.delivery.conversation import before_each
from pipeline.flow import TRIGGER, Handoff, Stage
from pipeline.operations.forget import forget
from pipeline.operations.rerender import rerender
from pipeline.smtp.reply import Phase, Reply, Result, Verdict
from tests.builders import a_contact, a_delivery, a_template, an_account
from tests.conftest import Clock
from tests.smtp_server import ScriptedServer
from tests.strict_mail import head_of


def test_a_follow_up_has_the_subject_that_was_sent_and_its_own_words(any_database: str) -> None:
    ann, account = a_contact(name="Ann"), an_account(from_name="Jo")
    first = sent(ann, account, a_template(subject="{{ sender.name }} asks {{ contact.name }}"))
    EmailTemplate.update(subject="Edited since").execute()
    second = follow_up(first, FOLLOW_UP)

    assert render_message.render([second.id]) == [TRIGGER]
    assert words_of(second) == ("Jo asks Ann", "Again, Ann")

    third = follow_up(sent_now(second, account), FOLLOW_UP, reply_prefix=True)
    fourth = follow_up(sent_now(rendered(third), account), FOLLOW_UP)
    own = follow_up(sent_now(rendered(fourth), account), a_template(subject="News for {{ contact.name }}"))
    after = follow_up(sent_now(rendered(own), account), FOLLOW_UP, reply_prefix=True)
    subjects = [words_of(d)[0] for d in (third, fourth, own, rendered(after))]
    assert subjects == ["Re: Jo asks Ann", "Jo asks Ann", "News for Ann", "Re: News for Ann"]


def test_the_mails_before_are_quoted_as_they_were_sent_on_the_recipients_clock(any_database: str, clock: Clock) -> None:
    ann, jo = a_contact(name="Ann", timezone="Europe/Berlin"), an_account(from_name="Jo", from_address="jo@x.test")
    other = an_account(from_name="Another")
    words = {"text": "Dear {{ contact.name }}\n{{ sender.name }}", "html": "<body>{{ sender.email }}</body>"}
    first = sent(ann, jo, a_template(**words, preheader="In short"))
    # A person has decided that it was sent. Another attempt, from another account, was refused.
    Attempt.update(outcome=Outcome.IN_DOUBT).execute()
    Attempt.create(delivery=first, account=other, outcome=Outcome.FAILED)
    second = follow_up(first, {"subject": "", "text": "Second", "html": "<p>Second</p>"}, quotes=True)
    rendered(second)
    third = follow_up(sent_now(second, jo), {"subject": "", "text": "Third"}, quotes=True, timezone="")
    text = words_of(rendered(third))[1]

    assert words_of(second)[1] == f"Second\n\nOn Tuesday, 2 June 2026 at 16:00, {JO}\n> Dear Ann\n> Jo\n"
    row = Delivery.get_by_id(second.id)
    assert row.html.startswith("<p>Second</p>\n<p>On Tuesday, 2 June 2026 at 16:00, Jo &lt;jo@x.test&gt; wrote:</p>")
    assert row.html.endswith(">\njo@x.test\n</blockquote>\n")
    assert "In short" not in row.text + row.html
    assert text.split("\n")[2:6] == [f"On Tuesday, 2 June 2026 at 10:00, {JO}", "> Second", ">", text.split("\n")[5]]
    assert text.endswith("\n> > Dear Ann\n> > Jo\n")


def test_rerendering_a_follow_up_keeps_its_conversation(any_database: str) -> None:
    second = follow_up(sent(a_contact(name="Ann"), an_account()), FOLLOW_UP, reply_prefix=True)
    rendered(second)
    EmailTemplate.update(text="Anew").where(EmailTemplate.id == second.template_id).execute()
    rerender(second.template_id, "me")
    assert words_of(second) == ("Re: Hello Ann", "Anew")


def test_who_is_forgotten_while_a_follow_up_is_rendered_gets_none(any_database: str) -> None:
    second = follow_up(sent(a_contact(), an_account()), FOLLOW_UP, quotes=True)
    forget(second.contact_id, "me")
    assert before_each([second]) == {}
    assert Delivery.get_by_id(second.id).state == State.CANCELLED


@pytest.mark.parametrize("state", [State.BOUNCED, State.FAILED, State.SKIPPED, State.CANCELLED])
def test_what_follows_a_mail_that_was_not_sent_fails_with_a_dead_letter(any_database: str, state: State) -> None:
    first = a_delivery(state)
    second, other = follow_up(first, a_template()), unrendered(a_contact(), a_template())

    assert render_message.render([second.id, other.id]) == [Handoff(Stage.RECORD, [second.id]), TRIGGER]

    row, letter = Delivery.get_by_id(second.id), DeadLetter.get()
    assert (row.state, row.reason) == (State.FAILED, "nothing_to_follow")
    assert row.detail == letter.detail == f"delivery {first.id}, which it follows, was not sent to this contact"
    assert (letter.delivery_id, letter.reason) == (second.id, "nothing_to_follow")


def test_nobody_gets_a_conversation_with_somebody_else(any_database: str) -> None:
    first = sent(a_contact(name="Ann"), an_account())
    second = follow_up(first, FOLLOW_UP, contact=a_contact(name="Bob"), quotes=True)
    render_message.render([second.id])
    assert Delivery.get_by_id(second.id).reason == "nothing_to_follow"


def test_a_first_mail_without_a_subject_fails(any_database: str) -> None:
    first = unrendered(a_contact(), a_template(**FOLLOW_UP))
    assert render_message.render([first.id]) == [Handoff(Stage.RECORD, [first.id])]
    row = Delivery.get_by_id(first.id)
    assert (row.state, row.reason) == (State.FAILED, "template_error")
    assert row.detail == "subject: it is empty, which only a mail that follows another may have"


def test_the_mails_before_are_named_on_the_wire(any_database: str, server: ScriptedServer) -> None:
    account = an_account(port=server.port)
    first = sent(a_contact(name="Ann"), account, wire_message_id="<ses@email.amazonses.com>")
    second = sent_now(rendered(follow_up(first, FOLLOW_UP)), account)
    slot = {"account": account, "send_at": database.now(), "token": "slot", "message_id": "<3@x.test>"}
    third = follow_up(second, FOLLOW_UP, state=State.RESERVED, subject="Hello Ann", text="Again", **slot)
    begins = a_delivery(State.RESERVED, **slot | {"account": an_account(port=server.port), "token": "another"})

    deliver_message.deliver([third.id], "slot")
    deliver_message.deliver([begins.id], "another")

    follows, alone = server.mails
    head = head_of(follows)
    assert head.ids("in-reply-to") == [second.message_id]
    assert head.ids("references") == [first.message_id, "<ses@email.amazonses.com>", second.message_id]
    assert message_from_bytes(follows)["References"].split() == head.ids("references")
    assert "In-Reply-To" not in message_from_bytes(alone)
    assert "References" not in message_from_bytes(alone)


def test_the_id_that_the_provider_gave_a_mail_is_stored_with_its_outcome(any_database: str, clock: Clock) -> None:
    given = claimed(an_account(host=SES))
    outcome.settle(given, accepted(f"Ok {SES_PART}"))
    row = Delivery.get_by_id(given.delivery_id)
    assert (row.state, row.wire_message_id) == (State.SENT, f"<{SES_PART}@email.amazonses.com>")
    assert Attempt.get().text == f"Ok {SES_PART}"
    # The answer to COMMIT was lost, and the outcome comes twice; and whatever another server says is no id.
    outcome.settle(given, accepted(f"Ok {SES_PART.replace('1', '2')}"))
    clock.tick(60)
    another = claimed(an_account(host="smtp.example.test"))
    outcome.settle(another, accepted(f"Ok {SES_PART}"))
    stored = [d.wire_message_id for d in Delivery.select().order_by(Delivery.id)]
    assert stored == [f"<{SES_PART}@email.amazonses.com>", None]


def test_forgetting_erases_what_the_provider_called_a_mail_and_a_late_reply_tells_nothing(any_database: str) -> None:
    account = an_account(host=SES)
    earlier = sent(a_contact(), account, wire_message_id="<ses@email.amazonses.com>")
    given = claimed(account, contact=earlier.contact, follows=earlier)
    Delivery.update(state=State.IN_DOUBT).where(Delivery.id == given.delivery_id).execute()
    forget(earlier.contact_id, "me")
    outcome.settle(given, accepted(f"Ok {SES_PART}"))
    rows = list(Delivery.select().order_by(Delivery.id))
    assert [d.state for d in rows] == [State.SENT, State.SENT]
    assert [d.wire_message_id for d in rows] == [None, None]
    assert [d.follows_id for d in rows] == [None, earlier.id]


#: Whatever is sent, is sent on Tuesday, 2 June 2026 at 10:00 in New York.
pytestmark = pytest.mark.usefixtures("clock")

FOLLOW_UP = {"subject": "", "text": "Again, {{ contact.name }}"}
JO = "Jo <jo@x.test> wrote:"
SES = "email-smtp.us-east-1.amazonaws.com"
SES_PART = "0100018f2b7c9d1e-5c1f8a52-6a3e-4c0e-9d0a-0f3b2a1c4d5e-000000"


def unrendered(contact: Contact, template: EmailTemplate, **values: Any) -> Delivery:
    """Store a delivery that waits for its words."""
    return a_delivery(State.CLEARED, contact=contact, template=template, **{"subject": None, "text": None} | values)


def rendered(delivery: Delivery) -> Delivery:
    """Render a delivery."""
    assert render_message.render([delivery.id]) == [TRIGGER]
    return delivery


def sent_now(delivery: Delivery, account: SmtpAccount, **values: Any) -> Delivery:
    """Let a delivery have been sent from an account."""
    changes = {"state": State.SENT, "sent_at": database.now(), "message_id": f"<{delivery.id}@x.test>"} | values
    Delivery.update(changes).where(Delivery.id == delivery.id).execute()
    Attempt.create(delivery=delivery, account=account, outcome=Outcome.ACCEPTED)
    found: Delivery = Delivery.get_by_id(delivery.id)
    return found


def sent(contact: Contact, account: SmtpAccount, template: EmailTemplate | None = None, **values: Any) -> Delivery:
    """Store a first mail that was rendered and sent."""
    return sent_now(rendered(unrendered(contact, template or a_template())), account, **values)


def follow_up(before: Delivery, template: EmailTemplate | dict[str, str], **values: Any) -> Delivery:
    """Store a delivery that follows another, and waits for its words."""
    of_it = {
        "contact": before.contact,
        "timezone": before.contact.timezone or "",
        "follows": before,
        "state": State.CLEARED,
    }
    template = a_template(**template) if isinstance(template, dict) else template
    return a_delivery(template=template, **of_it | {"subject": None, "text": None} | values)


def words_of(delivery: Delivery) -> tuple[str, str]:
    """Return subject and text of a delivery as they are stored."""
    row = Delivery.get_by_id(delivery.id)
    return row.subject, row.text


def claimed(account: SmtpAccount, **values: Any) -> Claim:
    """Store a delivery, and claim it."""
    slot = {"account": account, "send_at": database.now(), "token": f"slot {account.id}"}
    delivery = a_delivery(State.RESERVED, **slot | values)
    given = claim(delivery.id, delivery.token, account.id)
    assert isinstance(given, Claim)
    return given


def accepted(text: str) -> Result:
    """Return what a server says that accepts a mail."""
    return Result(Verdict.ACCEPTED, Phase.DOT, Reply(250, text))
