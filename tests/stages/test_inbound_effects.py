"""What follows from a mail that came back: limits of bounces, addresses given up, steps put off, alerts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from models import (
    Campaign,
    Delivery,
    Effect,
    EmailTemplate,
    Enrolment,
    LateBounce,
    SmtpAccount,
    State,
    Suppression,
)
from pipeline.accounts import bounces
from pipeline.accounts.bounces import Bounces
from tests.builders import a_campaign, a_contact, a_delivery, a_template, an_account, an_enrolment, on_its_way
from tests.conftest import Clock
from tests.inbound_mails import (
    OURS,
    a_bounce,
    a_complaint,
    a_sent_mail,
    an_automatic_answer,
    raw,
    record,
)

pytestmark = pytest.mark.usefixtures("any_database")

FOR_NOW = {"status": "4.4.1", "said": "450 4.4.1 try again later"}


def test_a_late_bounce_counts_from_the_day_it_is_read_in_place_of_its_deliverys_sent(clock: Clock) -> None:
    account, template = an_account(enabled_at=clock.at), a_template()
    campaign = a_campaign((0, [template]), accounts=[account])
    for number in range(40):
        a_sent_mail(clock, f"<{number}@x.test>", campaign=campaign, account=account, template=template)
    clock.tick(86_400)
    for number in range(3):
        record(raw(a_bounce(f"<{number}@x.test>", status="5.7.1" if number else "5.1.1")))

    fresh = Campaign.get_by_id(campaign.id)
    assert bounces.of_account(SmtpAccount.get()) == bounces.of_campaign(fresh) == Bounces(3, 40)
    assert bounces.of_template(EmailTemplate.get_by_id(template.id)) == Bounces(0, 0)
    assert SmtpAccount.get().paused_at is None
    assert {late.at for late in LateBounce.select()} == {clock.at}

    record(raw(a_bounce("<3@x.test>")))
    assert SmtpAccount.get().paused_at == clock.at
    assert Campaign.get_by_id(campaign.id).state == "paused"


def test_three_mails_in_30_days_that_are_refused_for_now_suppress_the_address(clock: Clock) -> None:
    person = a_contact()
    sent_at = [clock.at + dt.timedelta(days=days) for days in (0, 20, 45, 50)]
    for number, at in enumerate(sent_at):
        a_delivery(State.SENT, contact=person, message_id=f"<{number}@x.test>", sent_at=at)
    effects = [record(raw(a_bounce(f"<{number}@x.test>", **FOR_NOW))).effect for number in (0, 1, 2, 2, 3)]

    assert effects == [Effect.SOFT, Effect.SOFT, Effect.SOFT, Effect.NOTED, Effect.TOO_OFTEN]
    assert Suppression.get().reason == "bounced by mail: 3 mails in 30 days were refused for now"


def test_two_steps_of_a_sequence_that_are_refused_for_now_end_it(clock: Clock) -> None:
    first = a_sent_mail(clock)
    second = {"contact": first.contact, "campaign": first.campaign, "message_id": "<2@x.test>"}
    a_delivery(State.SENT, enrolment=first.enrolment, sent_at=clock.at + dt.timedelta(days=90), **second)

    effects = [record(raw(a_bounce(name, **FOR_NOW))).effect for name in (OURS, "<2@x.test>")]

    assert effects == [Effect.SOFT, Effect.TOO_OFTEN]
    assert Enrolment.get().state == "bounced"


def test_who_is_given_up_gets_nothing_of_what_waits_by_whatever_spelling(clock: Clock) -> None:
    delivery = a_sent_mail(clock, contact=a_contact(email="jo.doe@gmail.com"))
    waits = on_its_way(an_enrolment(a_campaign(), a_contact(email="JoDoe@googlemail.com")), State.READY)

    done = record(raw(a_bounce(OURS, to="jodoe@gmail.com")))

    assert Delivery.get_by_id(waits.id).state == State.SKIPPED
    assert {e.state for e in Enrolment.select()} == {"bounced"}
    assert (len(done.handoffs), Suppression.get().value) == (1, delivery.address)


@pytest.mark.parametrize(("text", "days"), [("I am away.", 7), ("Back on 2026-03-30.", 20), ("Until 2027-03-01", 7)])
def test_an_automatic_answer_puts_the_next_step_off_until_its_date_or_7_days(
    clock: Clock, configure: Callable[..., None], text: str, days: int
) -> None:
    configure(mail_window_start=0, mail_window_end=0, mail_window_timezone="UTC", mail_window_days="mon-sun")
    clock.at = dt.datetime(2026, 3, 10, 12, tzinfo=dt.UTC)
    delivery = a_sent_mail(clock)

    record(raw(an_automatic_answer(OURS, text)))

    due_on = Enrolment.get_by_id(delivery.enrolment_id).due_at.date()
    assert due_on == clock.at.date() + dt.timedelta(days=days)
    # What is due later stays so.
    assert record(raw(an_automatic_answer(OURS, "Back on 2026-03-12."))).effect == Effect.NOTED


@pytest.mark.parametrize("state", [State.SELECTED, State.CLEARED, State.READY, State.RESERVED, State.SENDING])
def test_a_next_step_that_is_on_its_way_waits_too_unless_it_is_claimed(clock: Clock, state: State) -> None:
    delivery = a_sent_mail(clock)
    slot = {"account": an_account(), "send_at": clock.at, "token": "slot"}
    step = on_its_way(Enrolment.get(), state, **(slot if state in (State.RESERVED, State.SENDING) else {}))

    done = record(raw(an_automatic_answer(OURS)))

    step = Delivery.get_by_id(step.id)
    if state is State.SENDING:
        assert (done.effect, step.state, step.not_before) == (Effect.NOTED, state, None)
        return
    assert done.effect == Effect.PUT_OFF
    assert step.state == (State.READY if state is State.RESERVED else state)
    assert step.not_before.date() == (clock.at + dt.timedelta(days=7)).date()
    assert (step.token, len(done.handoffs)) == (None, state is State.RESERVED)
    assert Delivery.get_by_id(delivery.id).not_before is None


def test_a_complaint_is_told_to_somebody(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    told: list[tuple[Any, ...]] = []
    delivery = a_sent_mail(clock)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pipeline.inbound.effects.alert", lambda *about, **more: told.append((*about, more)))
        record(raw(a_complaint(OURS)))
    [(what, why, _at, more)] = told
    assert (what, more) == ("a mail was called spam", {"account_id": 1, "campaign_id": delivery.campaign_id})
    assert f"delivery {delivery.id}" in why
