"""A claim that waits for its account's row is judged by all that was committed while it waited, and by the clock behind
the lock. In READ COMMITTED a statement that waited for a lock sees the rest as it was before: so the lock is taken in a
statement of its own, and what is judged by is read in a later one of the same request.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from models import (
    Attempt,
    Campaign,
    CampaignState,
    Control,
    Delivery,
    EmailTemplate,
    Enrolment,
    EnrolmentState,
    Outcome,
    State,
    database,
)
from models.suppression import suppress
from pipeline.capacity import usage
from pipeline.delivery import claim as claims
from pipeline.delivery.claim import Claim
from pipeline.delivery.refusals import Refusal, questions
from pipeline.rules.forgotten import hashes
from tests.builders import a_campaign, a_delivery, a_template, an_account, an_enrolment, on_its_way
from tests.conftest import in_a_thread, until_waiting_for_a_lock


@pytest.mark.usefixtures("asked_before")
@pytest.mark.parametrize(
    ("what", "refusal"),
    [
        ("the last of the limit", Refusal.LIMIT_REACHED),
        ("a mail within the interval", Refusal.TOO_SOON),
        ("an open claim", Refusal.ACCOUNT_UNUSABLE),
        ("a suppression", Refusal.KEPT_OUT),
        ("everything paused", Refusal.PAUSED),
        ("the template paused", Refusal.PAUSED),
        ("the campaign paused", Refusal.PAUSED),
        ("the enrolment stopped", Refusal.KEPT_OUT),
    ],
)
def test_a_claim_that_waits_sees_what_was_committed_meanwhile(what: str, refusal: Refusal) -> None:
    waiting = with_a_slot()
    given: list[Claim | Refusal] = []
    with database.transaction():
        claims.locked(waiting.account_id)
        other = in_a_thread(lambda: given.append(claimed(waiting)))
        until_waiting_for_a_lock()
        in_a_thread(lambda: ACTS[what](waiting)).join()
    other.join()
    assert given == [refusal]
    assert not Attempt.select().where(Attempt.delivery == waiting.id).exists()


@pytest.mark.usefixtures("asked_before")
def test_a_claim_that_waits_is_given_at_the_instant_at_which_it_gets_the_lock() -> None:
    waiting = with_a_slot()
    given: list[Claim | Refusal] = []
    with database.transaction():
        claims.locked(waiting.account_id)
        other = in_a_thread(lambda: given.append(claimed(waiting)))
        until_waiting_for_a_lock()
        still_waiting = database.now()
    other.join()
    assert isinstance(given[0], Claim)
    assert Attempt.get(Attempt.delivery == waiting.id).claimed_at > still_waiting


def claimed(delivery: Delivery) -> Claim | Refusal:
    """Claim the dot, as it is done behind the dialogue: with all that is going to be asked."""
    asked = questions([delivery], delivery.account_id, database.now(), hashes())
    return claims.claim(delivery.id, "slot", delivery.account_id, asked)


def with_a_slot() -> Delivery:
    """Store a delivery of a campaign that is due now, of an account that may send one a day."""
    account = an_account(daily_limit=1)
    campaign = a_campaign((0, [a_template()]), accounts=[account], daily_limit=5)
    slot = {"account": account, "send_at": database.now(), "token": "slot", "message_id": "<1@x.test>"}
    return on_its_way(an_enrolment(campaign), State.RESERVED, **slot)


def another_mail(of: Delivery, ago: dt.timedelta, outcome: Outcome = Outcome.ACCEPTED) -> None:
    """Store a claim of the same account, and what came of it."""
    at = database.now() - ago
    its = {"account": of.account_id, "outcome": outcome, "claimed_at": at, "local_on": usage.date_of(database.now())}
    Attempt.create(delivery=a_delivery(State.SENT, sent_at=at), **its)


def an_open_claim(of: Delivery) -> None:
    """Store another claim of the same account, of which nothing is known yet."""
    a_delivery(State.SENDING, account=of.account_id, token="another", send_at=database.now())


def change(model: Any, id_of: Callable[[Delivery], int], **columns: Any) -> Callable[[Delivery], object]:
    """Return what changes a row that belongs to a delivery."""
    return lambda delivery: model.update(**columns).where(model.id == id_of(delivery)).execute()


AT = dt.datetime(2026, 6, 2, tzinfo=dt.UTC)

#: What is committed while the claim waits.
ACTS: dict[str, Callable[[Delivery], object]] = {
    "the last of the limit": lambda d: another_mail(d, dt.timedelta(seconds=2)),
    "a mail within the interval": lambda d: another_mail(d, dt.timedelta(), outcome=Outcome.FAILED),
    "an open claim": an_open_claim,
    "a suppression": lambda d: suppress("address", [d.address], "", AT),
    "everything paused": change(Control, lambda _: 1, paused_at=AT),
    "the template paused": change(EmailTemplate, lambda d: d.template_id, paused_at=AT),
    "the campaign paused": change(Campaign, lambda d: d.campaign_id, state=CampaignState.PAUSED),
    "the enrolment stopped": change(Enrolment, lambda d: d.enrolment_id, state=EnrolmentState.STOPPED),
}


@pytest.fixture
def asked_before(postgres: str, configure: Callable[..., None]) -> None:
    """A window that is always open, and a process that has claimed before: so all is asked in one request."""
    configure(mail_window_start=0, mail_window_end=0, mail_window_timezone="UTC", mail_min_interval=1)
    assert isinstance(claimed(with_a_slot()), Claim)
