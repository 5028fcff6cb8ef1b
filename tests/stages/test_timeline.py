"""The timeline tells each attempt once, on its day, and when an account did not send, and why."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from models import Attempt, ChargedTo, LateBounce, Outcome, SmtpAccount, State
from models.control import PROGRAM, record_action
from pipeline.operations import accounts as operations
from pipeline.operations.pause import Target, pause, resume
from pipeline.reports import coming, happened, timeline
from pipeline.reports.account_spans import Why
from pipeline.reports.happened import Happened
from pipeline.smtp.verdict import Verdict
from tests.builders import a_contact, a_delivery, an_account
from tests.conftest import Clock

#: The clock's day, in New York.
TODAY = dt.date(2026, 6, 2)


def test_each_attempt_stands_once_on_the_day_of_its_end_with_what_came_of_it(any_database: str, clock: Clock) -> None:
    account, hour = an_account(), dt.timedelta(hours=1)
    midnight = dt.datetime(2026, 6, 2, 4, tzinfo=dt.UTC)
    an_attempt(account, midnight - dt.timedelta(microseconds=1))
    for number, verdict in enumerate(Verdict):
        if verdict not in (Verdict.ACCEPTED, Verdict.UNKNOWN):
            an_attempt(account, midnight + number * hour / 10, verdict)
    an_attempt(account, midnight)
    in_doubt = an_attempt(account, midnight + 2 * hour, Verdict.UNKNOWN)
    Attempt.update(finished_at=None).where(Attempt.id == in_doubt.id).execute()
    came_back = a_delivery(State.SENT, contact=a_contact(validated=False))
    about = {"account": account, "template": came_back.template, "verdict": Verdict.RECIPIENT_FOR_GOOD}
    LateBounce.create(delivery=came_back, reason="recipient_refused", at=clock.at, **about)

    day = timeline.day(TODAY).accounts[0]
    counted = {"sent": 1, "bounced": 1, "came_back": 1, "refused": 2, "put_off": 3, "trouble": 4, "in_doubt": 1}
    assert vars(day.figures) == counted
    assert [mark.at for mark in day.marks] == sorted(mark.at for mark in day.marks)
    assert {mark.what for mark in day.marks} == {Happened(what) for what in counted}
    yesterday, today = timeline.days(TODAY - dt.timedelta(days=1), TODAY).days
    assert (yesterday.date, yesterday.sent, today.date, today.account_id) == (TODAY - dt.timedelta(days=1), 1, TODAY, 1)
    assert {name: getattr(today, name) for name in counted} == counted
    assert vars(happened.Figures.summed([yesterday, today])) == counted | {"sent": 2}


def test_what_is_planned_follows_what_was_sent_and_all_of_it_is_in_the_plan(any_database: str, clock: Clock) -> None:
    account = an_account(daily_limit=3)
    an_attempt(account, clock.at - dt.timedelta(hours=1))
    for _ in range(4):
        a_delivery()
    slot = {"account": account, "send_at": clock.at + dt.timedelta(minutes=5), "token": "slot"}
    reserved = a_delivery(State.RESERVED, **slot)
    (day,) = timeline.day().accounts
    assert ([mark.what for mark in day.marks], day.used, day.limit) == (["sent", "planned", "planned"], 1, 3)
    assert (day.marks[1].delivery_id, day.marks[1].at) == (reserved.id, reserved.send_at)
    (known,) = timeline.day(with_plan=False).accounts
    assert [(mark.what, mark.delivery_id) for mark in known.marks[1:]] == [("planned", reserved.id)]
    assert coming.is_planned_quickly()
    SmtpAccount.update(daily_limit=coming.QUICK + 1).execute()
    assert not coming.is_planned_quickly()


def test_when_an_account_does_not_send_is_told_from_what_was_done_to_it(any_database: str, clock: Clock) -> None:
    account, hour = an_account(), dt.timedelta(hours=1)
    ten = clock.at
    record_action(PROGRAM, "rest", "account 1", ten - hour, f"until {(ten + hour).isoformat()}, after: 421 no")
    operations.reset(1, "me")
    clock.tick(600)
    operations.disable(1, "me", "it is not well")
    clock.tick(600)
    operations.enable(1, "me")
    clock.tick(600)
    pause(Target(account_id=1), "me", "lunch")
    clock.tick(600)
    resume(Target(account_id=1), "me")
    clock.tick(600)
    pause(Target(), "me")

    day = timeline.day()
    spans = day.accounts[0].spans
    minutes = [((at - ten).total_seconds() / 60 for at in (span.start, span.end)) for span in spans]
    assert [tuple(pair) for pair in minutes] == [(-60, 0), (10, 20), (30, 40)]
    assert [(span.why, span.reason) for span in spans] == [
        (Why.RESTS, "421 no"),
        (Why.OFF, "it is not well"),
        (Why.PAUSED, "lunch"),
    ]
    (paused,) = day.paused
    assert ((paused.start - ten).total_seconds(), paused.end) == (3000, day.end)
    assert day.accounts[0].id == account.id


@pytest.mark.parametrize("stands", ["off", "resting", "on"])
def test_without_a_trace_of_it_an_account_is_as_it_stands_now(any_database: str, clock: Clock, stands: str) -> None:
    resting = {"cooling_until": clock.at + dt.timedelta(hours=1), "rests_after": "421 no"}
    an_account(**{"off": {"enabled": False, "disabled_reason": "535 no"}, "resting": resting, "on": {}}[stands])
    day = timeline.day()
    told = [(span.why, span.start, span.end, span.reason) for span in day.accounts[0].spans]
    assert (
        told
        == {
            "off": [(Why.OFF, day.start, day.end, "535 no")],
            "resting": [(Why.RESTS, clock.at, resting["cooling_until"], "421 no")],
            "on": [],
        }[stands]
    )


def test_what_an_account_has_sent_stays_on_its_days_when_it_is_removed(any_database: str, clock: Clock) -> None:
    account = an_account(name="gone")
    an_attempt(account, clock.at)
    clock.tick(86_400)
    operations.remove(account.id, "me")
    assert timeline.account_ids(TODAY) == [1]
    assert timeline.account_ids(TODAY + dt.timedelta(days=2)) == []
    assert timeline.day(TODAY).figures.sent == 1


def an_attempt(account: SmtpAccount, at: dt.datetime, verdict: Verdict = Verdict.ACCEPTED) -> Any:
    """Store an attempt that ended so."""
    outcome = {Verdict.ACCEPTED: Outcome.ACCEPTED, Verdict.UNKNOWN: Outcome.IN_DOUBT}.get(verdict, Outcome.FAILED)
    # Nobody picks the contact again.
    delivery = a_delivery(State.FAILED, contact=a_contact(validated=False))
    charged_to = None if verdict is Verdict.UNKNOWN else verdict.charged_to
    said = {"outcome": outcome, "charged_to": charged_to, "verdict": verdict, "claimed_at": at, "finished_at": at}
    if charged_to is not ChargedTo.ACCOUNT:
        said["local_on"] = at.astimezone(dt.timezone(dt.timedelta(hours=-4))).date()
    return Attempt.create(delivery=delivery, account=account, phase="dot", token=f"claim {delivery.id}", **said)
