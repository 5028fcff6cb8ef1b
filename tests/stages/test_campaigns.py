"""Campaigns on the route: steps in their time, from their account, within their limits, and no step twice."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from email import message_from_bytes
from zoneinfo import ZoneInfo

import pytest

from models import (
    Delivery,
    EmailTemplate,
    Enrolment,
    EnrolmentState,
    SmtpAccount,
    State,
    Step,
    WhenAccountIsOff,
)
from pipeline.flow import TRIGGER
from pipeline.reports import plan
from tests.accelerated import Accelerated
from tests.builders import a_campaign, a_contact, a_template, an_account, an_enrolment
from tests.conftest import Clock
from tests.smtp_server import ScriptedServer

NEW_YORK = ZoneInfo("America/New_York")
#: A delivery takes a tenth of a second, and so the slots behind it come later.
TOLERANCE = dt.timedelta(seconds=5)
#: When the window is open: the publisher runs each half hour of it, and that is what these days cost.
FEW_HOURS = "09:00-11:30"


def test_the_steps_of_a_campaign_go_in_their_time_from_the_same_account_as_one_conversation(
    any_database: str, clock: Clock, server: ScriptedServer, configure: Callable[..., None]
) -> None:
    configure(mail_window_days="mon-fri", mail_window_hours=FEW_HOURS, mail_daily_limit=10)
    clock.at = local(7, 30, day=1)
    accounts, other = [an_account(port=server.port) for _ in range(2)], an_account(port=server.port)
    campaign = a_campaign((0, [a_template()]), (3, [follow_up()]), (7, [follow_up()]), accounts=accounts)
    enrolments = [an_enrolment(campaign) for _ in range(6)]
    on_the_calendar(clock, until=local(8, day=17))
    for enrolment in enrolments:
        first, second, third = of(enrolment)
        assert [d.state for d in (first, second, third)] == [State.SENT] * 3
        assert (second.follows_id, third.follows_id) == (first.id, second.id)
        assert second.subject == third.subject == first.subject
        assert first.sent_at.astimezone(NEW_YORK).date() == dt.date(2026, 6, 1)
        # Three working days later, and seven after that: no weekend counts.
        assert second.sent_at.astimezone(NEW_YORK).date() == dt.date(2026, 6, 4)
        assert third.sent_at.astimezone(NEW_YORK).date() == dt.date(2026, 6, 15)
        assert len({sent_from(d) for d in (first, second, third)}) == 1
        assert sent_from(first) != other.id
        again = Enrolment.get_by_id(enrolment.id)
        assert (again.state, again.position, again.last_id, again.delivery_id) == (
            EnrolmentState.FINISHED, 4, third.id, None
        )  # fmt: skip


def test_a_campaigns_mails_leave_from_its_own_accounts_within_its_limit_and_its_hours(
    any_database: str, clock: Clock, server: ScriptedServer, configure: Callable[..., None]
) -> None:
    configure(mail_window_hours=FEW_HOURS, mail_daily_limit=5)
    clock.at = local(7, 30)
    a, b = an_account(port=server.port), an_account(port=server.port)
    small = a_campaign((0, [a_template()]), accounts=[a], daily_limit=3, hours="10:00-11:00")
    large = a_campaign((0, [a_template()]), accounts=[b])
    for campaign in (small, large):
        for _ in range(20):
            an_enrolment(campaign)
    on_the_calendar(clock, until=local(23, day=4))
    sent = Counter((d.campaign_id, sent_from(d), d.sent_at.astimezone(NEW_YORK).date()) for d in all_sent())
    days = [dt.date(2026, 6, day) for day in (2, 3, 4)]
    assert sent == {(small.id, a.id, day): 3 for day in days} | {(large.id, b.id, day): 5 for day in days}
    assert {d.sent_at.astimezone(NEW_YORK).hour for d in all_sent() if d.campaign_id == small.id} == {10}


@pytest.mark.parametrize("when", list(WhenAccountIsOff))
def test_what_follows_when_the_account_of_a_conversation_is_off_is_as_the_campaign_says(
    any_database: str, clock: Clock, server: ScriptedServer, configure: Callable[..., None], when: WhenAccountIsOff
) -> None:
    configure(mail_window_days="mon-fri", mail_window_hours=FEW_HOURS)
    clock.at = local(7, 30, day=1)
    accounts = [an_account(port=server.port) for _ in range(2)]
    steps = (0, [a_template()]), (1, [a_template(subject="Again")])
    enrolment = an_enrolment(a_campaign(*steps, accounts=accounts, when_account_is_off=when))
    on_the_calendar(clock, until=local(20, day=1))
    first = sent_from(of(enrolment)[0])
    SmtpAccount.update(enabled=False).where(SmtpAccount.id == first).execute()
    on_the_calendar(clock, until=local(20, day=3))
    later, again = of(enrolment)[1:], Enrolment.get_by_id(enrolment.id)
    if when is WhenAccountIsOff.OTHER:
        assert [(d.state, d.follows_id) for d in later] == [(State.SENT, None)]
        assert sent_from(later[0]) != first
    else:
        ended = {
            WhenAccountIsOff.WAIT: (EnrolmentState.ACTIVE, None),
            WhenAccountIsOff.STOP: (EnrolmentState.STOPPED, "account_off"),
        }
        assert (later, (again.state, again.reason)) == ([], ended[when])


def test_another_account_begins_a_conversation_of_its_own_with_the_subject_of_the_first_mail(
    any_database: str, clock: Clock, server: ScriptedServer, configure: Callable[..., None]
) -> None:
    configure(mail_window_days="mon-fri", mail_window_hours=FEW_HOURS)
    clock.at = local(7, 30, day=1)
    accounts = [an_account(port=server.port, from_name="Jo"), an_account(port=server.port, from_name="Al")]
    steps = (0, [a_template(subject="{{ sender.name }} asks")]), (1, [follow_up()]), (1, [follow_up()])
    when = {"when_account_is_off": WhenAccountIsOff.OTHER, "reply_prefix": True}
    enrolment = an_enrolment(a_campaign(*steps, accounts=accounts, **when))
    Step.update(quotes=True).execute()
    on_the_calendar(clock, until=local(20, day=1))
    EmailTemplate.update(subject="Edited since").where(EmailTemplate.subject != "").execute()
    SmtpAccount.update(enabled=False).where(SmtpAccount.id == sent_from(of(enrolment)[0])).execute()
    on_the_calendar(clock, until=local(20, day=3))

    first, second, third = of(enrolment)
    assert len({sent_from(d) for d in (second, third)} - {sent_from(first)}) == 1
    mails = [message_from_bytes(mail) for mail in server.mails]
    subject = str(mails[0]["Subject"])
    assert [str(mail["Subject"]) for mail in mails] == [subject, subject, f"Re: {subject}"]
    assert subject in ("Jo asks", "Al asks")
    named = [(mail["In-Reply-To"], mail["References"]) for mail in mails]
    assert named == [(None, None), (None, None), (second.message_id, second.message_id)]
    assert [" wrote:" in d.text for d in (first, second, third)] == [False, False, True]


def test_a_follow_up_that_may_not_go_keeps_none_behind_it_from_going_in_the_plan_and_on_the_day(
    any_database: str, clock: Clock, server: ScriptedServer, configure: Callable[..., None]
) -> None:
    configure(mail_window_days="mon-fri", mail_daily_limit=1)
    clock.at = local(7, 45)
    account = an_account(port=server.port)
    campaign = a_campaign((0, [a_template()]), (1, [a_template()]), accounts=[account])
    yesterday = clock.at - dt.timedelta(days=1)
    waits = {"position": 2, "account": account, "sent_at": yesterday, "due_at": yesterday}
    for _ in range(60):
        an_enrolment(campaign, a_contact(validated=False), **waits)
    behind = an_enrolment(campaign, **waits)
    planned = [(row.contact_id, row.send_at) for row in plan.plan(1).planned]
    on_the_calendar(clock, until=local(23))
    (sent,) = all_sent()
    assert [contact_id for contact_id, _ in planned] == [sent.contact_id] == [behind.contact_id]
    assert abs(sent.sent_at - planned[0][1]) <= TOLERANCE


def of(enrolment: Enrolment) -> list[Delivery]:
    return list(Delivery.select().where(Delivery.enrolment == enrolment.id).order_by(Delivery.position))


def all_sent() -> list[Delivery]:
    return list(Delivery.select().where(Delivery.state == State.SENT))


def sent_from(delivery: Delivery) -> int:
    (attempt,) = [a for a in delivery.attempt_rows if a.outcome == "accepted"]
    return int(attempt.account_id)


def follow_up() -> EmailTemplate:
    return a_template(subject="")


def local(hour: int, minute: int = 0, day: int = 2) -> dt.datetime:
    """Return a time in New York, in June 2026, as UTC."""
    return dt.datetime(2026, 6, day, hour, minute, tzinfo=NEW_YORK).astimezone(dt.UTC)


def on_the_calendar(clock: Clock, until: dt.datetime) -> None:
    """Let the route run, and the batch publisher in the window."""
    run = Accelerated(clock)
    run.put(TRIGGER)
    run.publish_every_half_hour()
    run.run(until)
