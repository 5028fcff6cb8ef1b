"""A slot of a campaign's delivery is refused where the campaign says no, before the dialogue and under the lock."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from models import (
    AccountTag,
    Attempt,
    Campaign,
    CampaignSender,
    ChargedTo,
    Delivery,
    Outcome,
    SmtpAccount,
    State,
    database,
)
from pipeline import deliver_message
from pipeline.delivery import claim as claims
from pipeline.delivery import outcome
from pipeline.delivery.claim import Claim
from pipeline.delivery.refusals import Refusal
from pipeline.smtp.reply import Phase, Reply, Result, Verdict
from tests.builders import a_campaign, a_delivery, an_account, an_enrolment, history_of, on_its_way
from tests.conftest import Clock
from tests.smtp_server import ScriptedServer

TODAY, DAY = dt.date(2026, 6, 2), dt.timedelta(days=1)
#: What spoils a slot of 10:00 in New York; the campaign has the account by its id, and by the tag "a".
SPOILS: dict[str, tuple[Callable[[], Any], Refusal]] = {
    "paused": (lambda: change(state="paused"), Refusal.PAUSED),
    "stopped": (lambda: change(state="done"), Refusal.PAUSED),
    "other hours": (lambda: change(hours="11:00-12:00"), Refusal.WINDOW_CLOSED),
    "begins tomorrow": (lambda: change(starts_on=TODAY + DAY), Refusal.WINDOW_CLOSED),
    "ended yesterday": (lambda: change(ends_on=TODAY - DAY), Refusal.WINDOW_CLOSED),
    "no account": (lambda: CampaignSender.delete().execute(), Refusal.NOT_ITS_SENDER),
    "another's tag": (lambda: (by_tag_alone(), AccountTag.delete().execute()), Refusal.NOT_ITS_SENDER),
    "another sender": (lambda: Delivery.update(sender_id=99).execute(), Refusal.NOT_ITS_SENDER),
    "limit": (lambda: (change(daily_limit=1), an_attempt(TODAY)), Refusal.LIMIT_REACHED),
    "limit of 0": (lambda: change(daily_limit=0), Refusal.LIMIT_REACHED),
}
#: What does not.
FINE: dict[str, Callable[[], Any]] = {
    "first and last day": lambda: change(starts_on=TODAY, ends_on=TODAY, hours="9:00-10:30"),
    "by tag": lambda: by_tag_alone(),
    "its sender": lambda: Delivery.update(sender_id=SmtpAccount.get().id).execute(),
    "yesterday's mail": lambda: (change(daily_limit=1), an_attempt(TODAY - DAY)),
    "another campaign's": lambda: (change(daily_limit=1), an_attempt(TODAY, campaign=a_campaign())),
}


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("when", ["before the dialogue", "at the claim"])
def test_a_campaign_that_says_no_is_obeyed(
    any_database: str,
    clock: Clock,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    spoil: str,
    when: str,
) -> None:
    waiting = with_a_slot(server)
    act, refusal = SPOILS[spoil]
    claim = claims.claim
    if when == "before the dialogue":
        act()
    else:
        monkeypatch.setattr(claims, "claim", lambda *slot: (act(), claim(*slot))[1])
    deliver_message.deliver([waiting.id], "slot")
    last = history_of([waiting.id])[-1]
    assert (last.state, last.reason, server.mails) == (State.READY, refusal, [])
    assert server.connections == (when == "at the claim")


@pytest.mark.parametrize("fine", FINE)
def test_a_campaign_that_allows_it_is_no_hindrance(
    any_database: str, clock: Clock, server: ScriptedServer, fine: str
) -> None:
    waiting = with_a_slot(server)
    FINE[fine]()
    deliver_message.deliver([waiting.id], "slot")
    assert (Delivery.get_by_id(waiting.id).state, len(server.mails)) == (State.SENT, 1)


def test_an_attempt_knows_its_campaign_claimed_or_not(any_database: str, clock: Clock, server: ScriptedServer) -> None:
    waiting = with_a_slot(server)
    refused = Result(Verdict.RECIPIENT_FOR_NOW, Phase.RCPT, Reply(450, "4.2.0 later"))
    outcome.settle_unclaimed(waiting, "slot", refused)
    Delivery.update(state=State.RESERVED, account=SmtpAccount.get(), token="slot", send_at=clock.at).execute()
    clock.tick(60)
    assert isinstance(claims.claim(waiting.id, "slot", waiting.account_id), Claim)
    told = [(a.campaign_id, a.outcome) for a in Attempt.select().order_by(Attempt.id)]
    assert told == [(waiting.campaign_id, Outcome.FAILED), (waiting.campaign_id, Outcome.OPEN)]


def test_a_claim_asks_nothing_of_campaigns_for_a_plain_delivery_and_little_for_anothers(
    any_database: str, clock: Clock, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_campaign = with_a_slot(server)
    Campaign.update(daily_limit=5).execute()
    slot = {"account": an_account(), "send_at": clock.at, "token": "plain"}
    plain = a_delivery(State.RESERVED, **slot)
    asked: list[str] = []
    execute = type(database.db.obj).execute_sql

    def listen(self: Any, sql: str, *rest: Any, **options: Any) -> Any:
        asked.append(sql)
        return execute(self, sql, *rest, **options)

    monkeypatch.setattr(type(database.db.obj), "execute_sql", listen)
    assert isinstance(claims.claim(plain.id, "plain", plain.account_id), Claim)
    for_plain = len(asked)
    assert not [sql for sql in asked if 'FROM "campaign"' in sql or 'FROM "enrolment"' in sql]
    assert isinstance(claims.claim(of_campaign.id, "slot", of_campaign.account_id), Claim)
    # The campaign, what it has used, whether its sequence goes on, and whether it excludes the contact by a list.
    assert len(asked) - 2 * for_plain == 4


def with_a_slot(server: ScriptedServer) -> Delivery:
    """Store a delivery of a campaign that is due now, from an account that is the campaign's by its id and its tag."""
    account = an_account(port=server.port)
    AccountTag.create(account=account, tag="a")
    campaign = a_campaign(accounts=[account], tags=["a"])
    slot = {"account": account, "send_at": database.now(), "token": "slot", "message_id": "<1@x.test>"}
    return on_its_way(an_enrolment(campaign), State.RESERVED, **slot)


def change(**values: Any) -> None:
    """Change the campaign."""
    Campaign.update(**values).where(Campaign.id == Delivery.get().campaign_id).execute()


def by_tag_alone() -> None:
    """Let the campaign have its account by the tag alone."""
    CampaignSender.delete().where(CampaignSender.account.is_null(False)).execute()


def an_attempt(day: dt.date, campaign: Campaign | None = None) -> None:
    """Store what is left of a refusal of a recipient from another account, on a local date."""
    Attempt.create(
        delivery=a_delivery(State.BOUNCED),
        account=an_account(),
        campaign=campaign or Delivery.get().campaign_id,
        outcome=Outcome.FAILED,
        charged_to=ChargedTo.RECIPIENT,
        local_on=day,
    )
