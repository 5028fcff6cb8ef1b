"""What failures do to an account: rows of different deliveries and sites let it rest, quotas are learned, logins are
refused twice before it is off; and what a person takes back.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import pytest

from models import Action, Attempt, Cause, Delivery, Outcome, SmtpAccount, State, database, transition
from pipeline.capacity import usage
from pipeline.delivery import outcome
from pipeline.delivery.claim import Claim, claim
from pipeline.operations import accounts
from pipeline.reports import account_states
from pipeline.smtp.reply import Phase, Reply, Result, Verdict
from tests.builders import a_contact, a_delivery, an_account
from tests.conftest import Clock

MINUTE, HOUR = dt.timedelta(minutes=1), dt.timedelta(hours=1)


def test_the_third_delivery_in_a_row_rests_an_account_15_minutes_doubling_to_24_hours(
    any_database: str, clock: Clock
) -> None:
    account = an_account()
    rests = []
    for _ in range(11):
        fails(account, a_delivery(), Verdict.ACCOUNT_FOR_NOW)
        until = SmtpAccount.get().cooling_until
        rests.append(until and (until - clock.at) / MINUTE)
        clock.tick(120)
    assert rests == [None, None, 15, 30, 60, 120, 240, 480, 960, 1440, 1440]
    clock.at += 24 * HOUR
    accepts(account)
    stored = SmtpAccount.get()
    assert (stored.failures_in_row, stored.cooling_until, stored.rests_after) == (0, None, None)


@pytest.mark.parametrize("verdict", [Verdict.ACCOUNT_FOR_NOW, Verdict.ACCOUNT_FOR_GOOD])
def test_one_delivery_counts_once_however_often_it_fails(any_database: str, clock: Clock, verdict: Verdict) -> None:
    account, delivery = an_account(), a_delivery()
    for _ in range(8):
        fails(account, delivery, verdict)
        clock.tick(120)
    stored = SmtpAccount.get()
    assert (stored.failures_in_row, stored.cooling_until, stored.enabled) == (1, None, True)


def test_an_outcome_that_comes_twice_is_charged_once(any_database: str, clock: Clock) -> None:
    given = claimed(an_account(), a_delivery())
    for _ in range(2):
        outcome.settle(given, said(Verdict.ACCOUNT_FOR_NOW, Phase.DOT))
    assert (SmtpAccount.get().failures_in_row, Attempt.select().count()) == (1, 1)


@pytest.mark.parametrize(
    ("sites", "rests"),
    [(["a.test", "a.test", "a.test", "a.test"], False), (["a.test", "b.test", "c.test"], True)],
    ids=["one site", "three sites"],
)
def test_the_third_site_that_refuses_by_policy_lets_the_account_rest(
    any_database: str, clock: Clock, sites: Sequence[str], rests: bool
) -> None:
    account = an_account()
    for number, site in enumerate(sites):
        fails(account, a_delivery(contact=a_contact(email=f"{number}@{site}")), Verdict.SITE_BY_POLICY)
        clock.tick(120)
    assert (SmtpAccount.get().cooling_until is not None, SmtpAccount.get().enabled) == (rests, True)


@pytest.mark.parametrize("accepted_between", [False, True])
def test_what_sounds_for_good_at_rcpt_is_believed_when_three_deliveries_in_a_row_have_met_it(
    any_database: str, clock: Clock, accepted_between: bool, told: list[tuple[str, str]]
) -> None:
    account = an_account()
    for number in range(3):
        assert SmtpAccount.get().enabled
        if number == 2 and accepted_between:
            accepts(account)
        fails(account, a_delivery(), Verdict.ACCOUNT_FOR_GOOD)
        clock.tick(120)
    assert SmtpAccount.get().enabled is accepted_between
    assert [what for what, _ in told] == ([] if accepted_between else ["account switched off"])


def test_a_refused_sender_switches_its_account_off_at_once_and_is_told_with_its_code(
    any_database: str, clock: Clock, told: list[tuple[str, str]]
) -> None:
    account = an_account()
    fails(account, a_delivery(), Verdict.ACCOUNT_FOR_GOOD, Phase.MAIL)
    stored = SmtpAccount.get()
    assert (stored.enabled, stored.disabled_reason) == (False, "mail: 550 5.1.8 refused, says x@y.test")
    assert told == [("account switched off", "after: mail: 550 5.1.8")]


@pytest.mark.parametrize(
    ("second_after", "logged_in_between", "enabled"),
    [(15 * MINUTE, False, False), (14 * MINUTE, False, True), (15 * MINUTE, True, True)],
    ids=["15 minutes later", "14 minutes later", "with a login between"],
)
def test_a_second_refused_login_at_least_15_minutes_later_switches_off(
    any_database: str, clock: Clock, second_after: dt.timedelta, logged_in_between: bool, enabled: bool
) -> None:
    account = an_account()
    fails(account, a_delivery(), Verdict.LOGIN_REFUSED, Phase.AUTH)
    stored = SmtpAccount.get()
    assert (stored.enabled, stored.cooling_until) == (True, clock.at + 15 * MINUTE)
    if logged_in_between:
        fails(account, a_delivery(), Verdict.RECIPIENT_FOR_GOOD)
    clock.at += second_after
    fails(account, a_delivery(), Verdict.LOGIN_REFUSED, Phase.AUTH)
    assert SmtpAccount.get().enabled is enabled


def test_a_quota_is_what_was_sent_in_24_hours_and_grows_by_a_fifth_each_day_of_sending(
    any_database: str, clock: Clock, configure: Any
) -> None:
    configure(mail_window_days="mon-fri", mail_daily_limit=20)
    account = an_account()
    clock.set(2026, 6, 3, 14)  # Wednesday, 10:00 in New York
    accepts(account)
    clock.at += 22 * HOUR
    for _ in range(9):
        accepts(account)
        clock.tick(120)
    fails(account, a_delivery(), Verdict.RECIPIENT_FOR_GOOD)
    clock.at += 2 * HOUR  # the one of yesterday is older than 24 hours
    fails(account, a_delivery(), Verdict.ACCOUNT_QUOTA)
    stored = SmtpAccount.get()
    assert (stored.quota_limit, stored.quota_at, stored.quota_on) == (10, clock.at, dt.date(2026, 6, 4))
    # Friday is the first day after it, the weekend is none.
    days = [dt.date(2026, 6, day) for day in (4, 5, 6, 8, 9, 10, 11, 12, 15)]
    assert [usage.limit_of(stored, day) for day in days] == [10, 10, 12, 12, 14, 16, 18, 20, 20]
    assert usage.limited_until(stored, dt.date(2026, 6, 4)) == dt.date(2026, 6, 12)


@pytest.mark.parametrize(
    ("days", "at", "until"),
    [("mon-sun", (2026, 6, 4, 20), (2026, 6, 5, 12)), ("mon-fri", (2026, 6, 5, 20), (2026, 6, 6, 20))],
    ids=["the next opening is sooner", "24 hours are sooner"],
)
def test_after_a_quota_an_account_rests_until_the_next_opening_or_24_hours(
    any_database: str, clock: Clock, configure: Any, days: str, at: tuple[int, ...], until: tuple[int, ...]
) -> None:
    configure(mail_window_days=days)
    account = an_account()
    clock.set(*at)
    fails(account, a_delivery(), Verdict.ACCOUNT_QUOTA)
    assert SmtpAccount.get().cooling_until == dt.datetime(*until, tzinfo=dt.UTC)  # type: ignore[arg-type]
    assert SmtpAccount.get().quota_limit == 1


def test_reports_say_until_when_and_after_what_and_each_change_is_recorded(any_database: str, clock: Clock) -> None:
    account = an_account(daily_limit=50)
    for _ in range(37):
        attempt(account, clock.at)
    fails(account, a_delivery(), Verdict.ACCOUNT_QUOTA)
    note = account_states.note(SmtpAccount.get(), clock.at, dt.UTC)
    assert note == (
        "resting until Wed 2026-06-03 12:00:00 UTC, after: rcpt: 550 5.4.5 refused, says x@y.test; "
        "limited to 37 of 50 until 2026-06-05"
    )
    assert [(a.who, a.verb, a.subject) for a in Action.select()] == [("slowpost", "limit", f"account {account.id}")]


def test_a_rest_after_failures_is_said_recorded_and_told(
    any_database: str, clock: Clock, told: list[tuple[str, str]]
) -> None:
    account = an_account()
    for _ in range(2):
        fails(account, a_delivery(), Verdict.ACCOUNT_FOR_NOW)
        assert account_states.note(SmtpAccount.get(), clock.at, dt.UTC) is None
        clock.tick(120)
    fails(account, a_delivery(), Verdict.ACCOUNT_FOR_NOW)
    note = account_states.note(SmtpAccount.get(), clock.at, dt.UTC)
    assert note == "resting until Tue 2026-06-02 14:19:00 UTC, after: rcpt: 550 5.0.0 refused, says x@y.test"
    assert [(a.who, a.verb, a.subject) for a in Action.select()] == [("slowpost", "rest", f"account {account.id}")]
    assert told == [("account rests", "until 2026-06-02T14:19:00+00:00, after: rcpt: 550 5.0.0")]


def test_a_reset_takes_rest_and_learned_limit_back_and_the_record_starts_anew(any_database: str, clock: Clock) -> None:
    account = an_account()
    for _ in range(3):
        fails(account, a_delivery(), Verdict.ACCOUNT_FOR_NOW)
        clock.tick(120)
    fails(account, a_delivery(), Verdict.ACCOUNT_QUOTA)
    clock.tick(1)
    accounts.reset(account.id, "me")
    stored = SmtpAccount.get()
    assert (stored.cooling_until, stored.quota_limit, stored.failures_in_row) == (None, None, 0)
    fails(account, a_delivery(), Verdict.ACCOUNT_FOR_NOW)
    assert (SmtpAccount.get().failures_in_row, SmtpAccount.get().cooling_until) == (1, None)


SAYS = {
    Verdict.ACCOUNT_QUOTA: (550, "5.4.5"),
    Verdict.LOGIN_REFUSED: (535, "5.7.8"),
    Verdict.ACCOUNT_FOR_GOOD: (550, "5.1.8"),
}


def said(verdict: Verdict, phase: Phase) -> Result:
    """Return a result in which the server quotes an address."""
    code, enhanced = SAYS.get(verdict, (550, "5.0.0"))
    return Result(verdict, phase, Reply(code, f"{enhanced} refused, says x@y.test"))


def fails(account: SmtpAccount, delivery: Delivery, verdict: Verdict, phase: Phase = Phase.RCPT) -> None:
    """Let a delivery that is `ready` have a slot of `account` and be refused before its claim."""
    held = reserved(account, delivery)
    outcome.settle_unclaimed(held, held.token, said(verdict, phase))


def accepts(account: SmtpAccount) -> None:
    """Let the account send a mail."""
    outcome.settle(claimed(account, a_delivery()), Result(Verdict.ACCEPTED, Phase.DOT, Reply(250, "2.0.0 ok")))


def claimed(account: SmtpAccount, delivery: Delivery) -> Claim:
    """Let a delivery that is `ready` have a slot of `account`, and claim it."""
    held = reserved(account, delivery)
    given = claim(held.id, held.token, account.id)
    assert isinstance(given, Claim)
    return given


def reserved(account: SmtpAccount, delivery: Delivery) -> Delivery:
    """Give a delivery that is `ready` a slot of `account` that is due."""
    slot = {"account": account.id, "send_at": database.now(), "token": f"slot {delivery.id} {database.now()}"}
    assert transition(State.READY, State.RESERVED, Delivery.id == delivery.id, cause=Cause.OUTSIDE, **slot)
    found: Delivery = Delivery.get_by_id(delivery.id)
    return found


def attempt(account: SmtpAccount, at: dt.datetime) -> None:
    """Store an attempt that was accepted."""
    Attempt.create(
        delivery=a_delivery(State.SENT, sent_at=at),
        account=account,
        outcome=Outcome.ACCEPTED,
        charged_to="nobody",
        claimed_at=at,
        finished_at=at,
        local_on=at.date(),
    )


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What somebody is told: what has happened, and why."""
    heard: list[tuple[str, str]] = []
    monkeypatch.setattr(
        "pipeline.accounts.charge.alert", lambda what, reason, _at, **_about: heard.append((what, reason))
    )
    return heard
