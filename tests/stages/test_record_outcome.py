"""Stage 6 counts each outcome once; an account that has gone bad is switched off, and somebody is told."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Callable
from pathlib import Path

from models import Attempt, Contact, EmailTemplate, SmtpAccount, State, Website
from pipeline import record_outcome
from pipeline.accounts import health
from pipeline.flow import TRIGGER
from pipeline.operations import accounts
from tests.builders import a_contact, a_delivery, a_website, an_account
from tests.conftest import Clock
from tests.smtp_server import ScriptedServer


def test_an_outcome_is_counted_once(any_database: str, clock: Clock) -> None:
    contact = a_contact(website=a_website())
    delivery = a_delivery(State.SENT, contact=contact, sent_at=clock.at - dt.timedelta(seconds=5))
    for _ in range(2):
        assert record_outcome.record([delivery.id]) == [TRIGGER]
    assert EmailTemplate.get().times_used == 1
    assert Contact.get().last_contacted_at == Website.get().last_contacted_at == delivery.sent_at


def test_each_of_a_list_is_counted_with_its_own_time_and_never_backwards(any_database: str, clock: Clock) -> None:
    website, long_ago = a_website(), clock.at - dt.timedelta(days=100)
    first, second = a_contact(website=website), a_contact(website=website)
    old = a_delivery(State.SENT, contact=first, sent_at=long_ago)
    new = a_delivery(State.SENT, contact=first, sent_at=clock.at)
    other = a_delivery(State.SENT, contact=second, sent_at=long_ago)
    for ids in ([new.id, other.id], [old.id]):
        record_outcome.record(ids)
    assert Contact.get_by_id(first.id).last_contacted_at == Website.get().last_contacted_at == clock.at
    assert Contact.get_by_id(second.id).last_contacted_at == long_ago


def test_what_was_not_sent_counts_as_nobodys_contact(any_database: str, clock: Clock) -> None:
    delivery = a_delivery(State.BOUNCED)
    record_outcome.record([delivery.id])
    assert (EmailTemplate.get().times_used, Contact.get().last_contacted_at) == (0, None)


def test_below_70_percent_of_ten_attempts_an_account_is_switched_off(any_database: str, clock: Clock) -> None:
    good, young, bad = an_account(), an_account(), an_account()
    attempts(good, clock, 7, {"account": 2, "content": 1})
    attempts(young, clock, 0, {"account": 9})
    attempts(bad, clock, 6, {"account": 3, "content": 1, "recipient": 50})
    waiting = a_delivery(State.RESERVED, account=bad, send_at=clock.at, token="slot")

    assert [a.id for a in health.check()] == [bad.id]

    stored = SmtpAccount.get_by_id(bad.id)
    assert (stored.enabled, stored.disabled_reason) == (False, "success rate 60% of 10 attempts")
    assert type(waiting).get_by_id(waiting.id).state == State.READY


def test_after_a_failure_the_health_of_its_account_alone_is_checked(any_database: str, clock: Clock) -> None:
    failing, bad_too = an_account(), an_account()
    for account in (failing, bad_too):
        attempts(account, clock, 0, {"account": 9, "content": 1})
    failed = a_delivery(State.READY)
    Attempt.create(delivery=failed, account=failing, outcome="failed", charged_to="account", finished_at=clock.tick(60))
    assert record_outcome.record([failed.id]) == [TRIGGER]
    assert [a.id for a in SmtpAccount.select().where(SmtpAccount.enabled)] == [bad_too.id]


def test_only_the_last_fifty_attempts_count(any_database: str, clock: Clock) -> None:
    account = an_account()
    attempts(account, clock, 60, {"account": 15})
    assert (health.health_of(account).accepted, health.health_of(account).attempts) == (35, 50)
    attempts(account, clock, 0, {"account": 1})
    assert [a.id for a in health.check()] == [account.id]


def test_an_account_that_is_enabled_again_starts_anew(any_database: str, clock: Clock) -> None:
    account = an_account()
    attempts(account, clock, 0, {"account": 10})
    health.check()
    clock.tick(60)
    accounts.enable(account.id, "me")
    assert health.health_of(SmtpAccount.get()).rate is None
    assert health.check() == []


def test_the_operators_command_is_given_the_figures(
    sqlite: str, clock: Clock, configure: Callable[..., None], tmp_path: Path
) -> None:
    told = tmp_path / "told.json"
    script = f"import sys, pathlib; pathlib.Path({str(told)!r}).write_text(sys.stdin.read())"
    configure(mail_alert_command=f'{sys.executable} -c "{script}"')
    account = an_account()
    attempts(account, clock, 0, {"account": 10})
    health.check()
    assert json.loads(told.read_text()) == {
        "event": "account switched off",
        "account_id": account.id,
        "reason": "success rate 0% of 10 attempts",
        "at": clock.at.isoformat(),
    }


def test_an_alert_that_can_not_be_given_holds_up_nothing(
    sqlite: str, clock: Clock, configure: Callable[..., None]
) -> None:
    configure(mail_alert_command="/there/is/no/such/program")
    account = an_account()
    attempts(account, clock, 0, {"account": 10})
    assert [a.id for a in health.check()] == [account.id]


def test_a_webhook_that_answers_garbage_holds_up_nothing(
    sqlite: str, clock: Clock, configure: Callable[..., None]
) -> None:
    with ScriptedServer() as answers_smtp:
        configure(mail_alert_webhook=f"http://127.0.0.1:{answers_smtp.port}/")
        account = an_account()
        attempts(account, clock, 0, {"account": 10})
        assert [a.id for a in health.check()] == [account.id]


def test_a_delivery_that_failed_an_account_often_counts_once_in_its_health(any_database: str, clock: Clock) -> None:
    account, delivery = an_account(), a_delivery()
    for _ in range(20):
        Attempt.create(delivery=delivery, account=account, outcome="failed", charged_to="account", finished_at=clock.at)
    attempts(account, clock, 9, {"content": 1})
    assert health.health_of(account) == health.Health(accepted=9, attempts=11)


def attempts(account: SmtpAccount, clock: Clock, accepted: int, charged: dict[str, int]) -> None:
    """Store attempts of an account, the accepted ones first."""
    for outcome, charged_to, number in [
        ("accepted", "nobody", accepted),
        *(("failed", c, n) for c, n in charged.items()),
    ]:
        for _ in range(number):
            Attempt.create(
                delivery=a_delivery(State.SENT, sent_at=clock.at, recorded_at=clock.at),
                account=account,
                outcome=outcome,
                charged_to=charged_to,
                phase="dot" if charged_to == "content" else "",
                finished_at=clock.at,
            )
