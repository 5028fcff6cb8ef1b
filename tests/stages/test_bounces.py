"""Too many bounces pause the account and the template, with the figures, until a person resumes them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from itertools import pairwise

import pytest

from models import Action, Attempt, Cause, Delivery, EmailTemplate, SmtpAccount, State, Suppression, transition
from pipeline import deliver_message, reserve_slot
from pipeline.accounts import bounces, stopping
from pipeline.accounts.bounces import Bounces
from pipeline.operations import pause
from pipeline.reports.status import status
from tests.accelerated import run
from tests.builders import a_contact, a_delivery, a_template, an_account
from tests.conftest import Clock
from tests.smtp_server import ScriptedServer


@pytest.mark.parametrize("reply", ["550 5.1.1 no such user", "550 5.7.1 refused by policy"])
def test_a_list_of_dead_addresses_is_paused_after_four_refusals_each_an_interval_apart(
    any_database: str, clock: Clock, reply: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str, int | None, int | None]] = []
    monkeypatch.setattr(
        stopping,
        "alert",
        lambda what, why, _at, *, account_id, template_id, **_: told.append((what, why, account_id, template_id)),
    )
    with ScriptedServer({"RCPT": reply}) as server:
        account, template = an_account(port=server.port, daily_limit=100), a_template()
        for number in range(100):
            a_delivery(contact=a_contact(email=f"{number}@site{number}.test"), template=template)
        began = run(clock, dt.timedelta(hours=6))
        deliver_message.connections.close()
    times = [a.finished_at for a in Attempt.select().order_by(Attempt.id)]
    assert len(times) == 4
    assert all(later - sooner >= dt.timedelta(seconds=60) for sooner, later in pairwise(times))
    assert times[0] == began
    seen = status({})
    assert [(a.state, a.used, a.note) for a in seen.accounts] == [("paused", 4, "paused: 4 of the last 4 bounced")]
    assert [(t.paused, t.note, t.bounces.bounced) for t in seen.templates] == [(True, "4 of the last 4 bounced", 4)]
    verbs = [(a.who, a.verb, a.subject) for a in Action.select().order_by(Action.id) if a.verb == "pause"]
    assert sorted(verbs) == [
        ("slowpost", "pause", f"account {account.id}"),
        ("slowpost", "pause", f"template {template.id}"),
    ]
    why = "4 of the last 4 bounced"
    assert told == [("paused by bounces", why, account.id, None), ("paused by bounces", why, None, template.id)]
    suppressed = 4 if reply.startswith("550 5.1.1") else 0
    assert Suppression.select().count() == suppressed
    assert Delivery.select().where(Delivery.state == State.READY).count() == 96


def test_a_list_that_is_due_at_once_stops_at_the_limit_of_bounces(
    any_database: str, clock: Clock, configure: Callable[..., None]
) -> None:
    configure(mail_min_interval=0, mail_spread="off", mail_daily_limit=100)
    with ScriptedServer({"RCPT": "550 5.1.1 no such user"}) as server:
        account, template = an_account(port=server.port), a_template()
        for _ in range(30):
            a_delivery(template=template)
        (handoff,) = reserve_slot.reserve()
        assert len(handoff.ids) == 30
        deliver_message.deliver(handoff.ids, str(handoff.slot_token))
        deliver_message.connections.close()
    assert Attempt.select().count() == 4
    assert SmtpAccount.get_by_id(account.id).paused_at == clock.at


def test_a_delivery_counts_once_in_an_accounts_bounces_however_often_it_is_replayed(
    any_database: str, clock: Clock
) -> None:
    account, delivery = an_account(), a_delivery()
    for _ in range(4):
        for step in ((State.READY, State.RESERVED, None), (State.RESERVED, State.FAILED, "refused_by_policy")):
            origin, to, reason = step
            this = Delivery.id == delivery.id
            transition(origin, to, this, cause=Cause.OUTSIDE, reason=reason, account=account.id)
        transition(State.FAILED, State.READY, this, cause=Cause.REPLAY)
    assert bounces.of_account(account) == Bounces(1, 1)


@pytest.mark.parametrize(
    ("bounced", "ended", "limit", "warns", "pauses"),
    [
        (3, 3, 0.05, True, False),
        (4, 79, 0.05, True, True),
        (4, 80, 0.05, True, False),
        (5, 100, 0.05, True, False),
        (6, 100, 0.05, True, True),
        (2, 100, 0.05, False, False),
        (30, 100, 0.3, True, False),
    ],
)
def test_more_than_2_percent_warn_and_more_than_the_limit_with_at_least_4_pause(
    configure: Callable[..., None], bounced: int, ended: int, limit: float, warns: bool, pauses: bool
) -> None:
    configure(mail_bounce_limit=limit)
    assert (Bounces(bounced, ended).warns, Bounces(bounced, ended).too_many) == (warns, pauses)


def test_a_person_who_resumes_starts_the_record_anew(any_database: str, clock: Clock) -> None:
    with ScriptedServer({"RCPT": "550 5.1.1 no such user"}) as server:
        account, template = an_account(port=server.port, daily_limit=100), a_template()
        for _ in range(20):
            a_delivery(template=template)
        run(clock, dt.timedelta(hours=2))
        assert Attempt.select().count() == 4
        clock.tick(60)
        pause.resume(pause.Target(template_id=template.id), "me")
        pause.resume(pause.Target(account_id=account.id), "me")
        assert bounces.of_account(SmtpAccount.get()) == bounces.of_template(EmailTemplate.get()) == Bounces(0, 0)
        assert (SmtpAccount.get().paused_after, EmailTemplate.get().paused_after) == (None, None)
        run(clock, dt.timedelta(hours=2))
        deliver_message.connections.close()
    assert Attempt.select().count() == 8
