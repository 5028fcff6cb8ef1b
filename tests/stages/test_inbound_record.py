"""What comes back by mail has its effect once, and only where our Message-ID says which delivery is meant."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from models import (
    Action,
    Attempt,
    Delivery,
    Effect,
    Enrolment,
    Event,
    InboundMail,
    LateBounce,
    OptOut,
    SmtpAccount,
    State,
    Suppression,
    database,
)
from models.database import is_postgres
from pipeline.inbound import record as recording
from pipeline.inbound.classify import Place
from pipeline.inbound.kinds import Kind
from pipeline.operations.forget import forget
from pipeline.runtime.failpoints import FailpointError
from tests.builders import a_campaign, a_delivery, a_template, an_account, an_enrolment, on_its_way
from tests.conftest import Clock, until_waiting_for_a_lock
from tests.inbound_mails import (
    OURS,
    TOKEN,
    a_bounce,
    a_complaint,
    a_copy,
    a_request,
    a_sent_mail,
    an_answer,
    an_automatic_answer,
    raw,
    record,
)
from tests.stages.test_select_contacts import in_a_thread

pytestmark = pytest.mark.usefixtures("any_database")

FOR_NOW = {"status": "4.4.1", "said": "450 4.4.1 try again later"}

#: Each kind of mail → its effect, how the enrolment of its delivery stands then, and whether the address is suppressed.
KINDS = {
    "for good": (lambda: a_bounce(OURS), Effect.BOUNCED, "bounced", True),
    "policy": (lambda: a_bounce(OURS, status="5.7.1"), Effect.REFUSED_BY_POLICY, "active", False),
    "for now": (lambda: a_bounce(OURS, **FOR_NOW), Effect.SOFT, "active", False),
    "says nothing": (lambda: a_bounce(OURS, status=""), Effect.NOTED, "active", False),
    "delayed": (lambda: a_bounce(OURS, action="delayed"), Effect.NOTED, "active", False),
    "complaint": (lambda: a_complaint(OURS), Effect.COMPLAINED, "suppressed", True),
    "reply": (lambda: an_answer(OURS), Effect.REPLIED, "replied", False),
    "automatic": (lambda: an_automatic_answer(OURS), Effect.PUT_OFF, "active", False),
    "has left": (lambda: an_automatic_answer(OURS, "I have left the company."), Effect.ENDED, "stopped", False),
    "unsubscribe": (lambda: an_answer(OURS, "unsubscribe"), Effect.UNSUBSCRIBED, "unsubscribed", True),
    "request": (lambda: a_request(TOKEN), Effect.UNSUBSCRIBED, "unsubscribed", True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_its_effect_once_and_the_delivery_stays_sent(clock: Clock, kind: str) -> None:
    make, effect, state, is_suppressed = KINDS[kind]
    delivery, mail = a_sent_mail(clock), raw(make())

    assert record(mail).effect == effect
    after = everything()
    clock.tick(60)
    again = record(mail)

    assert (again.was_seen, again.effect, everything()) == (True, None, after)
    assert Delivery.get_by_id(delivery.id).state == State.SENT
    assert Enrolment.get_by_id(delivery.enrolment_id).state == state
    assert [(s.kind, s.value) for s in Suppression.select()] == [("address", delivery.address)] * is_suppressed
    [row] = InboundMail.select()
    assert (row.delivery_id, row.effect, row.read_at) == (delivery.id, effect, clock.at - dt.timedelta(seconds=60))


@pytest.mark.parametrize("kind", KINDS)
def test_of_two_processes_with_the_same_mail_one_has_the_effect(clock: Clock, kind: str) -> None:
    if not is_postgres():
        return  # it has one writer at a time
    make, effect, *_ = KINDS[kind]
    a_sent_mail(clock)
    mail, others = raw(make()), []
    with database.transaction():
        assert record(mail).effect == effect
        other = in_a_thread(lambda: others.append(record(mail)))
        other.start()
        until_waiting_for_a_lock()
    other.join()

    assert [(one.was_seen, one.effect) for one in others] == [(True, None)]
    assert (InboundMail.select().count(), LateBounce.select().count()) == (1, effect in LATE)
    assert OptOut.select().count() == (effect is Effect.UNSUBSCRIBED)


LATE = (Effect.BOUNCED, Effect.REFUSED_BY_POLICY, Effect.SOFT)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_cut_off_before_the_commit_is_as_if_the_mail_had_not_been_seen(
    clock: Clock, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, effect, *_ = KINDS[kind]
    a_sent_mail(clock)
    mail, before = raw(make()), everything()
    for name in ("inbound:got", "inbound:wrote"):
        with monkeypatch.context() as patched:
            patched.setattr(recording, "failpoint", failing_at(name))
            with pytest.raises(FailpointError):
                record(mail)
        assert everything() == before

    assert record(mail).effect == effect


def test_a_forged_report_for_a_real_recipient_is_shown_and_does_nothing(clock: Clock) -> None:
    delivery = a_sent_mail(clock)
    before = everything(but=InboundMail)

    done = record(raw(a_bounce("<forged@example.com>", to=delivery.address)))

    assert (done.kind, done.effect, done.handoffs) == (Kind.BOUNCE, Effect.GUESS, ())
    assert everything(but=InboundMail) == before
    assert [(row.delivery_id, row.named_by) for row in InboundMail.select()] == [(delivery.id, "recipient")]


@pytest.mark.parametrize(
    "text",
    [
        "From: p@example.net\nMessage-ID: <1@x.test>\nSubject: Re: private\nIn-Reply-To: <other@x.test>\n\nprivate\n",
        a_bounce("<other@x.test>", to="nobody-of-ours@x.test"),
        a_request("1.forged"),
        a_copy("<by-hand@example.com>", sender="Sender@Example.test"),
        f"From: sender@example.test\nSubject: Re: Hello\nMessage-ID: <2@x.test>\nIn-Reply-To: {OURS}\n\nBy hand.\n",
        a_bounce("<a\0b@x.test>", to="a\0b@x.test"),
        a_bounce("<\ud800@x.test>", to="\ud800@x.test"),
        a_bounce("<1@x.test>", to="..@..", status="5.٣.٣"),
        an_answer("<a\0b@x.test>", more="Auto-Submitted: \0\n"),
        "X: \0\r\n",
    ],
)
def test_of_what_is_none_of_ours_nothing_is_stored(clock: Clock, text: str) -> None:
    a_sent_mail(clock)
    before = everything()

    assert record(raw(text)).effect is None
    assert everything() == before


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (a_copy(OURS), Place.SENT),
        (a_copy(OURS), Place.RECEIVED),
        (a_bounce(OURS), Place.RECEIVED),
        (an_answer(OURS), Place.RECEIVED),
    ],
)
def test_what_comes_back_of_a_mail_in_doubt_was_sent(clock: Clock, text: str, place: Place) -> None:
    account = an_account()
    claim = {"account": account, "token": "claim"}
    doubt = on_its_way(an_enrolment(a_campaign((0, [a_template()]))), State.IN_DOUBT, message_id=OURS, **claim)
    attempt = Attempt.create(delivery=doubt, account=account, token="claim", claimed_at=clock.at, outcome="in_doubt")
    other = a_delivery(State.IN_DOUBT, message_id="<other@x.test>")

    done = record(raw(text), place=place)

    assert (done.ended_doubt, Delivery.get_by_id(other.id).state) == (True, State.IN_DOUBT)
    [event] = Event.select().where(Event.state == State.SENT)
    assert (event.delivery_id, event.origin, event.reason) == (doubt.id, "in_doubt", "found_by_mail")
    assert Attempt.get_by_id(attempt.id).outcome == "in_doubt"
    assert ("record", [doubt.id]) in [(h.stage, list(h.ids)) for h in done.handoffs]


def test_a_mail_that_is_being_sent_is_left_alone_and_read_again_later(clock: Clock) -> None:
    sending = a_delivery(State.SENDING, message_id=OURS, account=an_account(), token="claim")
    mail, before = raw(an_answer(OURS)), everything()

    assert record(mail).is_early
    assert everything() == before

    Delivery.update(state=State.SENT).where(Delivery.id == sending.id).execute()
    assert record(mail).effect == Effect.REPLIED


def test_of_a_forgotten_person_nothing_is_done_and_no_word_is_kept(clock: Clock) -> None:
    delivery = a_sent_mail(clock)
    record(raw(an_automatic_answer(OURS)))
    assert InboundMail.get().evidence == "Auto-Submitted: auto-replied"
    forget(delivery.contact_id, "me")

    effects = [record(raw(make())).effect for make in (lambda: a_bounce(OURS), lambda: an_answer(OURS))]

    assert effects == [Effect.NOTED] * 2
    assert {row.evidence for row in InboundMail.select()} == {""}
    assert [s.reason for s in Suppression.select()] == ["forgotten"]


@pytest.mark.parametrize(
    ("text", "evidence"),
    [
        (an_automatic_answer(OURS, "Ann Marked has left the company."), "Auto-Submitted: auto-replied; its words"),
        (an_answer(OURS, more="X-Autoreply: by ann@marked.test\n", subject="Ann Marked is away"), "x-autoreply"),
        (an_answer(OURS, "Unsubscribe"), "the reply's first line"),
        (a_bounce(OURS, to="ann@marked.test"), "a delivery report: failed"),
        (
            "From: Marked <mailer-daemon@marked.test>\nMessage-ID: <1@x>\nSubject: Undelivered Mail\n\n"
            "<ann@marked.test>: host mx.marked.test said: 550 5.1.1 no such user (in reply to RCPT TO command)\n"
            f"\n--- Below this line is a copy of the message.\n\nMessage-ID: {OURS}\nTo: ann@marked.test\n\nHello\n",
            "a mailer writes; ",
        ),
    ],
)
def test_no_word_of_a_mail_is_stored(clock: Clock, text: str, evidence: str) -> None:
    a_sent_mail(clock)

    record(raw(text))

    assert InboundMail.get().evidence.startswith(evidence)
    assert "marked" not in str(everything()).lower()


def test_what_has_been_claimed_anew_since_the_mail_was_looked_at_stays_in_doubt(clock: Clock) -> None:
    doubt = a_delivery(State.IN_DOUBT, message_id=OURS, account=an_account(), token="claim")
    Delivery.update(token="newer claim").where(Delivery.id == doubt.id).execute()
    looked_at = {OURS: doubt}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(recording, "deliveries_named", lambda _ids: looked_at)
        assert not record(raw(a_copy(OURS))).ended_doubt
    assert Delivery.get_by_id(doubt.id).state == State.IN_DOUBT


def everything(but: Any = None) -> dict[str, list[Any]]:
    """Return all that is stored of what a mail can have an effect on."""
    tables = (Action, Attempt, Delivery, Enrolment, Event, InboundMail, LateBounce, OptOut, SmtpAccount, Suppression)
    return {t.__name__: list(t.select().order_by(t.id).tuples()) for t in tables if t is not but}


def failing_at(name: str) -> Callable[[str], None]:
    """Return a failpoint that fails at this place."""

    def failpoint(at: str) -> None:
        if at == name:
            raise FailpointError(at)

    return failpoint
