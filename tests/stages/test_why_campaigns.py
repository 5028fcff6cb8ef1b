"""`why` of a contact that is in a campaign, or could be, says the reason that holds, and the time that is planned."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from models import (
    Attempt,
    Campaign,
    CampaignSender,
    CampaignState,
    Contact,
    EmailTemplate,
    Enrolment,
    EnrolmentState,
    Reason,
    SmtpAccount,
    State,
    WhenAccountIsOff,
    database,
)
from models.suppression import suppress
from pipeline.operations import pause
from pipeline.reports import plan
from pipeline.reports.reasons import Because, NotYet, in_words
from pipeline.reports.why import why
from schedules import publish_batch
from tests.builders import (
    a_campaign,
    a_contact,
    a_delivery,
    a_list,
    a_template,
    a_website,
    an_account,
    an_enrolment,
    on_its_way,
)
from tests.conftest import Clock

NEW_YORK = ZoneInfo("America/New_York")


def local(hour: int, minute: int = 0, day: int = 2) -> dt.datetime:
    """Return a time in New York, in June 2026, as UTC."""
    return dt.datetime(2026, 6, day, hour, minute, tzinfo=NEW_YORK).astimezone(dt.UTC)


@dataclass(frozen=True)
class World:
    """Campaign 1, of two steps, which account 1 sends, and a contact in it; beside them account 2."""

    campaign: Campaign
    contact: Contact
    enrolment: Enrolment
    account: SmtpAccount
    other: SmtpAccount

    def change(self, **values: object) -> None:
        """Change the campaign."""
        Campaign.update(**values).where(Campaign.id == self.campaign.id).execute()

    def account_is(self, **values: object) -> None:
        """Change the campaign's account."""
        SmtpAccount.update(**values).where(SmtpAccount.id == self.account.id).execute()

    def has_been_written_to(self, **values: object) -> None:
        """Let the second step be next."""
        sent_at = database.now() - dt.timedelta(days=5)
        values = {"position": 2, "account": self.account, "sent_at": sent_at, "due_at": sent_at} | values
        Enrolment.update(**values).where(Enrolment.id == self.enrolment.id).execute()

    def used(self, number: int) -> None:
        """Let so many mails of the campaign have gone today from its account."""
        for _ in range(number):
            sent = a_delivery(State.SENT, campaign=self.campaign, sent_at=database.now())
            Attempt.create(
                delivery=sent, campaign=self.campaign, account=self.account, token=f"sent {sent.id}",
                outcome="accepted", claimed_at=database.now(), local_on=dt.date(2026, 6, 2),
            )  # fmt: skip

    def another_is_ready(self, **values: object) -> None:
        """Let a delivery of the same campaign wait for a slot."""
        on_its_way(an_enrolment(self.campaign), State.READY, **values)

    def colleague_is_written_to(self) -> None:
        """Let another contact of its website be in a sequence that has begun."""
        website = a_website()
        Contact.update(website=website).where(Contact.id == self.contact.id).execute()
        an_enrolment(a_campaign((0, [])), a_contact(website=website), position=2, due_at=local(9, day=20))


def a_world() -> World:
    """Store it."""
    account, other = an_account(daily_limit=3), an_account()
    campaign = a_campaign((0, [a_template()]), (3, [a_template()]), accounts=[account])
    contact = a_contact()
    return World(campaign, contact, an_enrolment(campaign, contact), account, other)


def off(when: WhenAccountIsOff) -> Callable[[World], None]:
    """Return what switches the account off that has written, where the campaign does this then."""

    def spoil(world: World) -> None:
        world.change(when_account_is_off=when)
        CampaignSender.create(campaign=world.campaign, account=world.other)
        world.has_been_written_to()
        world.account_is(enabled=False)

    return spoil


#: What is spoilt → the reasons, in this order.
NEXT_STEP: list[tuple[Callable[[World], object], list[Because]]] = [
    (lambda w: w.change(state=CampaignState.DRAFT), [Because(NotYet.CAMPAIGN_DRAFT, campaign_id=1)]),
    (lambda w: w.change(state=CampaignState.PAUSED), [Because(NotYet.CAMPAIGN_PAUSED, campaign_id=1)]),
    (
        lambda w: w.change(starts_on=dt.date(2026, 6, 4)),
        [Because(NotYet.CAMPAIGN_NOT_BEGUN, local(8, day=4), campaign_id=1)],
    ),
    (lambda w: w.change(ends_on=dt.date(2026, 6, 1)), [Because(NotYet.CAMPAIGN_OVER, campaign_id=1)]),
    (
        lambda w: (w.change(daily_limit=2), w.used(2)),
        [Because(NotYet.CAMPAIGN_LIMIT_REACHED, campaign_id=1)],
    ),
    (
        lambda w: (w.change(daily_limit=2), w.used(1), w.another_is_ready()),
        [Because(NotYet.CAMPAIGN_LIMIT_REACHED, campaign_id=1)],
    ),
    (
        lambda w: w.change(hours="08:00-09:00"),
        [Because(NotYet.CAMPAIGN_HOURS_CLOSED, local(8, day=3), campaign_id=1)],
    ),
    (
        lambda _: Contact.update(timezone="Asia/Dubai").execute(),
        [Because(NotYet.CONTACT_WINDOW_CLOSED, local(8, day=3))],
    ),
    (lambda _: CampaignSender.delete().execute(), [Because(NotYet.CAMPAIGN_WITHOUT_ACCOUNT, campaign_id=1)]),
    (lambda w: w.account_is(enabled=False), [Because(NotYet.CAMPAIGN_ACCOUNTS_OFF, campaign_id=1)]),
    (lambda w: w.account_is(cooling_until=local(12)), [Because(NotYet.ACCOUNTS_COOLING_DOWN, local(12))]),
    (off(WhenAccountIsOff.WAIT), [Because(NotYet.SENDER_OFF, campaign_id=1, account_id=1)]),
    (off(WhenAccountIsOff.OTHER), [Because(NotYet.SENDER_OFF_OTHER, campaign_id=1, account_id=1)]),
    (off(WhenAccountIsOff.STOP), [Because(NotYet.SENDER_OFF_STOP, campaign_id=1, account_id=1)]),
    (
        lambda w: (w.has_been_written_to(), w.account_is(paused_at=database.now())),
        [Because(NotYet.SENDER_PAUSED, campaign_id=1, account_id=1)],
    ),
    (lambda w: w.used(3), [Because(NotYet.LIMITS_REACHED)]),
    (lambda w: (w.used(1), w.another_is_ready(), w.another_is_ready()), [Because(NotYet.NO_CAPACITY)]),
    (
        lambda w: w.has_been_written_to(due_at=local(8, day=5)),
        [Because(NotYet.STEP_NOT_DUE, local(8, day=5), campaign_id=1)],
    ),
    (
        lambda w: w.has_been_written_to(due_at=None, sent_at=local(9)),
        [Because(NotYet.STEP_NOT_DUE, local(8, day=5), campaign_id=1)],
    ),
    (lambda _: EmailTemplate.update(paused_at=database.now()).execute(), [Because(NotYet.TEMPLATE_PAUSED)]),
    (lambda _: pause.pause(pause.Target(), ""), [Because(NotYet.EVERYTHING_PAUSED)]),
    (lambda _: Contact.update(validated=False).execute(), [Because(Reason.NOT_VALIDATED)]),
    (
        lambda w: a_delivery(State.SENT, address=w.contact.address, sent_at=local(9, day=1)),
        [Because(Reason.CONTACTED_RECENTLY, local(9, day=1) + dt.timedelta(days=90, microseconds=1))],
    ),
    (lambda w: w.colleague_is_written_to(), [Because(Reason.IN_SEQUENCE)]),
    (lambda w: suppress("address", [w.contact.address], "", database.now()), [Because(Reason.SUPPRESSED_ADDRESS)]),
    (
        lambda w: a_campaign((0, [a_template()]), lists=[a_list(w.contact)], accounts=[w.other]),
        [Because(NotYet.IN_OTHER_SEQUENCE, campaign_id=1)],
    ),
    (
        lambda w: an_enrolment(w.campaign, a_contact(priority=9), priority=9),
        [Because(NotYet.BEHIND_OTHERS, number=1)],
    ),
    # Of what only others may send, nothing goes first.
    (lambda w: an_enrolment(a_campaign((0, [a_template()]), accounts=[w.other]), a_contact(), priority=9), []),
]
#: With these the batch publisher picks a step all the same.
PICKED = {NotYet.BEHIND_OTHERS, NotYet.SENDER_OFF_OTHER, NotYet.IN_OTHER_SEQUENCE, NotYet.EVERYTHING_PAUSED}


@pytest.mark.parametrize(("spoil", "reasons"), NEXT_STEP)
def test_why_of_an_enrolled_contact_says_what_keeps_its_next_step_back(
    any_database: str, clock: Clock, spoil: Callable[[World], object], reasons: list[Because]
) -> None:
    world = a_world()
    spoil(world)
    answer = why(world.contact.id)
    assert list(answer.again) == reasons
    assert answer.reasons == (answer.again or (Because(NotYet.NOT_PICKED_YET),))
    assert all(in_words(because, NEW_YORK) for because in answer.again)
    (row,) = answer.enrolments
    assert (row.campaign_id, row.state) == (world.campaign.id, EnrolmentState.ACTIVE)

    planned = [p for p in plan.plan(14).planned if p.contact_id == world.contact.id]
    its = [b for b in answer.again if b.reason != NotYet.IN_OTHER_SEQUENCE]
    assert (answer.earliest is not None) is all(b.passes for b in its)
    assert answer.is_planned is bool(planned)
    if planned:
        assert (answer.earliest, answer.account_id) == (planned[0].send_at, planned[0].account_id)
    picked = world.enrolment.id in publish_batch.publish().enrolment_ids
    assert picked is ({b.reason for b in reasons} <= PICKED)


@pytest.mark.parametrize(
    ("state", "values", "reasons"),
    [
        (CampaignState.RUNNING, {}, [Because(NotYet.NOT_PICKED_YET)]),
        (CampaignState.DRAFT, {}, [Because(NotYet.CAMPAIGN_DRAFT, campaign_id=1)]),
        (CampaignState.PAUSED, {}, [Because(NotYet.CAMPAIGN_PAUSED, campaign_id=1)]),
        (CampaignState.DONE, {}, [Because(NotYet.NO_TEMPLATE)]),
        (CampaignState.RUNNING, {"without": True}, [Because(NotYet.LEFT_OUT, campaign_id=1)]),
        (CampaignState.RUNNING, {"lists": False}, [Because(NotYet.NOT_IN_AUDIENCE)]),
        (CampaignState.RUNNING, {"ended": True}, [Because(Reason.SEQUENCE_ENDED, campaign_id=1)]),
        (CampaignState.RUNNING, {"starts_on": dt.date(2026, 6, 4)},
         [Because(NotYet.CAMPAIGN_NOT_BEGUN, local(8, day=4), campaign_id=1)]),
    ],
)  # fmt: skip
def test_why_of_a_contact_that_is_in_no_campaign_says_why_it_is_not(
    any_database: str, clock: Clock, state: CampaignState, values: dict[str, Any], reasons: list[Because]
) -> None:
    contact, values = a_contact(), dict(values)
    lists = [a_list(contact)] if values.pop("lists", True) else []
    without, ended = lists if values.pop("without", False) else [], values.pop("ended", False)
    its_lists = [a_list(contact)] if without else lists
    campaign = a_campaign(
        (0, [a_template()]), lists=its_lists, without=without, accounts=[an_account()], state=state, **values
    )
    if ended:
        an_enrolment(campaign, contact, state=EnrolmentState.REPLIED)
    answer = why(contact.id)
    assert (list(answer.reasons), answer.state) == (reasons, "not_on_route")
    planned = [p for p in plan.plan(14).planned if p.contact_id == contact.id]
    assert answer.is_planned is bool(planned)
    if planned:
        assert answer.earliest == planned[0].send_at
    a_template()
    can_be_picked = why(contact.id).again == ()
    assert can_be_picked is (state != CampaignState.RUNNING or not values)


@pytest.mark.parametrize(
    ("spoil", "reasons"),
    [
        (lambda _: None, [Because(NotYet.NEXT)]),
        (lambda w: w.change(state=CampaignState.PAUSED), [Because(NotYet.CAMPAIGN_PAUSED, campaign_id=1)]),
        (lambda w: w.change(ends_on=dt.date(2026, 6, 1)), [Because(NotYet.CAMPAIGN_OVER, campaign_id=1)]),
        (lambda w: w.change(hours="11:00-12:00"), [Because(NotYet.CAMPAIGN_HOURS_CLOSED, local(11), campaign_id=1)]),
        (lambda w: w.account_is(enabled=False), [Because(NotYet.CAMPAIGN_ACCOUNTS_OFF, campaign_id=1)]),
        (lambda w: w.used(3), [Because(NotYet.LIMITS_REACHED)]),
        (lambda w: (w.change(daily_limit=1), w.used(1)), [Because(NotYet.CAMPAIGN_LIMIT_REACHED, campaign_id=1)]),
        (lambda w: w.another_is_ready(priority=5), [Because(NotYet.BEHIND_OTHERS, number=1)]),
        (lambda w: on_its_way(an_enrolment(a_campaign(accounts=[w.other])), State.READY, priority=5),
         [Because(NotYet.NEXT)]),
    ],
)  # fmt: skip
def test_a_mail_of_a_campaign_waits_for_its_own_accounts_and_its_own_limit(
    any_database: str, clock: Clock, spoil: Callable[[World], object], reasons: list[Because]
) -> None:
    world = a_world()
    on_its_way(world.enrolment, State.READY)
    spoil(world)
    answer = why(world.contact.id)
    assert list(answer.reasons) == reasons
    assert (answer.earliest is not None) is all(b.passes for b in reasons)
    if answer.is_planned:
        planned = next(p for p in plan.plan(2).planned if p.contact_id == world.contact.id)
        assert (answer.earliest, answer.account_id) == (planned.send_at, world.account.id)


def test_a_step_in_doubt_waits_for_somebody_to_decide(any_database: str, clock: Clock) -> None:
    world = a_world()
    doubtful = on_its_way(world.enrolment, State.IN_DOUBT)
    answer = why(world.contact.id)
    assert (answer.state, answer.reasons) == (State.IN_DOUBT, (Because(Reason.NO_OUTCOME),))
    assert [(row.position, row.delivery_id) for row in answer.enrolments] == [(1, doubtful.id)]
