"""How campaigns and their sequences end by themselves: on the last date, by bounces, by an excluded list, by a reply
that comes late; and that a person is in one sequence, whichever of their contacts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest

from models import (
    Action,
    Campaign,
    CampaignState,
    Cause,
    Delivery,
    EmailTemplate,
    Enrolment,
    EnrolmentState,
    ListMember,
    State,
    database,
    transition,
)
from pipeline import check_duplicates, deliver_message
from pipeline.accounts import bounces, stopping
from pipeline.campaigns import audience, picking
from pipeline.campaigns.audience import Enrolled
from pipeline.capacity.room import room
from pipeline.delivery import claim as claims
from pipeline.delivery import outcome
from pipeline.delivery.claim import Claim
from pipeline.flow import TRIGGER
from pipeline.operations import campaign_states, decisions, stops
from pipeline.reports import campaigns as reports
from pipeline.reports.status import status
from schedules import publish_batch, sweep
from tests.builders import (
    a_campaign,
    a_contact,
    a_delivery,
    a_list,
    a_template,
    an_account,
    an_enrolment,
    on_its_way,
)
from tests.conftest import Clock
from tests.smtp_server import ScriptedServer
from tests.stages.test_stops import ACCEPTED, how, outcome_of

TODAY, DAY = dt.date(2026, 6, 2), dt.timedelta(days=1)


@pytest.mark.parametrize("job", [sweep.sweep, publish_batch.publish])
@pytest.mark.parametrize("state", [CampaignState.RUNNING, CampaignState.PAUSED])
def test_a_campaign_whose_last_date_is_over_ends_by_itself_and_what_is_being_sent_goes_on(
    any_database: str, clock: Clock, job: Callable[[], object], state: CampaignState
) -> None:
    account = an_account()
    campaign = a_campaign((0, [a_template()]), (3, [a_template()]), accounts=[account], ends_on=TODAY, state=state)
    waits = an_enrolment(campaign, position=2, account=account, due_at=clock.at)
    ready, sending, doubtful = (
        on_its_way(an_enrolment(campaign), s) for s in (State.READY, State.SENDING, State.IN_DOUBT)
    )
    lasts = an_enrolment(a_campaign((0, [a_template()]), accounts=[account], ends_on=TODAY + DAY))
    # 23:59 in New York.
    clock.set(2026, 6, 3, 3, 59)
    assert (job(), Campaign.get_by_id(campaign.id).state)[1] == state
    clock.set(2026, 6, 3, 4, 0)
    job()
    again = Campaign.get_by_id(campaign.id)
    assert (again.state, again.ended_at) == (CampaignState.DONE, clock.at)
    assert outcome_of(ready) == ("cancelled", "campaign_over")
    assert how(waits) == how(ready.enrolment) == ("stopped", "campaign_over", None)
    assert [outcome_of(d)[0] for d in (sending, doubtful)] == ["sending", "in_doubt"]
    assert how(sending.enrolment) == ("stopped", "campaign_over", sending.id)
    transition(State.SENDING, State.SENT, Delivery.id == sending.id, cause=Cause.DELIVER)
    assert how(sending.enrolment) == ("stopped", "campaign_over", None)
    assert how(lasts)[0] == "active"
    job()
    assert [(a.who, a.verb, a.subject, a.reason) for a in Action.select()] == [
        ("slowpost", "end", f"campaign {campaign.id}", "its last date, 2026-06-02, is over")
    ]


def test_the_end_of_a_campaign_frees_its_slots_and_triggers(any_database: str, clock: Clock) -> None:
    reserved = on_its_way(an_enrolment(a_campaign(ends_on=TODAY - DAY)), State.RESERVED)
    on_its_way(an_enrolment(a_campaign(ends_on=TODAY - DAY)), State.SENDING)
    first, second = campaign_states.end_over()
    assert (first.stopped, first.cancelled, first.handoffs) == (1, 1, (TRIGGER,))
    assert (second.stopped, second.cancelled, second.handoffs) == (1, 0, ())
    assert Delivery.get_by_id(reserved.id).token is None
    assert campaign_states.end_over() == []


def test_too_many_bounces_of_a_campaign_pause_it_alone_until_it_is_resumed(
    any_database: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, int | None]] = []
    monkeypatch.setattr(stopping, "alert", lambda what, _why, _at, **about: told.append((what, about["campaign_id"])))
    template, account = a_template(), an_account()
    campaign, other = (a_campaign((0, [template]), accounts=[account], lists=[a_list(a_contact())]) for _ in range(2))
    waits = on_its_way(an_enrolment(campaign), State.RESERVED, template=template)
    bounced = [bounced_of(campaign, template) for _ in range(4)]
    plain = a_delivery(State.SENT, template=template)

    assert not bounces.check([], bounced[:0])
    assert bounces.check([], [*bounced, plain])
    assert not bounces.check([], bounced)

    assert told == [("paused by bounces", campaign.id)]
    assert [c.state for c in Campaign.select().order_by(Campaign.id)] == ["paused", "running"]
    assert EmailTemplate.get_by_id(template.id).paused_at is None
    assert outcome_of(waits)[0] == State.READY
    shown = [(c.id, c.state, c.active, c.bounces.bounced, c.note) for c in status({}).campaigns]
    why = "4 of the last 4 bounced"
    assert shown == [(campaign.id, "paused", 1, 4, why), (other.id, "running", 0, 0, None)]
    found = reports.campaign(str(campaign.id))
    assert (found.paused_after, found.bounces.bounced, found.bounces.warns) == (why, 4, True)
    assert [(a.who, a.verb, a.subject) for a in Action.select()] == [("slowpost", "pause", f"campaign {campaign.id}")]

    clock.tick(1)
    monkeypatch.setattr(campaign_states, "demand_ready", lambda _campaign: None)
    campaign_states.resume(str(campaign.id), "me")
    clock.tick(1)
    assert not bounces.check([], [bounced_of(campaign, template)])
    assert bounces.of_campaign(Campaign.get_by_id(campaign.id)) == bounces.Bounces(1, 1)


@pytest.mark.parametrize("state", [EnrolmentState.FINISHED, EnrolmentState.STOPPED])
def test_a_reply_that_comes_late_is_one_to_the_campaign_that_wrote_last(
    any_database: str, clock: Clock, state: EnrolmentState
) -> None:
    person, same = a_contact(email="j.doe@gmail.com"), a_contact(email="jdoe@gmail.com")
    of_last_year = an_enrolment(a_campaign(), person, state=state, ended_at=clock.at)
    wrote_last = an_enrolment(a_campaign(), person, state=state, ended_at=clock.at)
    never_wrote = an_enrolment(a_campaign(), same, state=EnrolmentState.STOPPED, ended_at=clock.at)
    unsubscribed = an_enrolment(a_campaign(), same, state=EnrolmentState.UNSUBSCRIBED, ended_at=clock.at)
    stranger = an_enrolment(a_campaign(), state=state, ended_at=clock.at)
    for enrolment, days in ((wrote_last, 1), (of_last_year, 365), (stranger, 0)):
        sent_at = clock.at - days * DAY
        a_delivery(State.SENT, contact=enrolment.contact, enrolment=enrolment, position=1, sent_at=sent_at)
    assert stops.replied([same.id], "me").ended == (wrote_last.id,)
    assert stops.replied([person.id], "me").ended == ()
    states = [Enrolment.get_by_id(e.id).state for e in (wrote_last, of_last_year, never_wrote, unsubscribed, stranger)]
    assert states == ["replied", state, "stopped", "unsubscribed", state]


@pytest.mark.parametrize("doubtful", [False, True])
def test_a_reply_while_the_last_mail_is_being_sent_or_in_doubt_is_kept(
    any_database: str, clock: Clock, doubtful: bool
) -> None:
    account = an_account()
    campaign = a_campaign((0, [a_template()]), accounts=[account])
    slot = {"account": account, "send_at": clock.at, "token": "slot", "message_id": "<1@x.test>"}
    last = on_its_way(an_enrolment(campaign), State.RESERVED, **slot)
    given = claims.claim(last.id, "slot", account.id)
    assert isinstance(given, Claim)
    if doubtful:
        transition(State.SENDING, State.IN_DOUBT, Delivery.id == last.id, cause=Cause.SWEEP)
    stops.replied([last.contact_id], "me")
    assert how(last.enrolment) == ("replied", "replied", last.id)
    if doubtful:
        decisions.resolve_sent(last.id, "me")
    else:
        outcome.settle(given, ACCEPTED)
    assert outcome_of(last)[0] == "sent"
    assert how(last.enrolment) == ("replied", "replied", None)


def test_what_a_person_decides_was_sent_is_followed_up_from_the_account_that_sent_it(
    any_database: str, clock: Clock
) -> None:
    account = an_account()
    campaign = a_campaign((0, [a_template()]), (3, [a_template()]), accounts=[account])
    doubtful = on_its_way(an_enrolment(campaign), State.IN_DOUBT, account=account)
    decisions.resolve_sent(doubtful.id, "me")
    again = Enrolment.get_by_id(doubtful.enrolment_id)
    assert (again.position, again.last_id, again.account_id) == (2, doubtful.id, account.id)


def test_a_person_is_in_one_sequence_whichever_of_their_contacts(any_database: str, clock: Clock) -> None:
    one, same = a_contact(email="j.doe@gmail.com"), a_contact(email="JDoe+x@googlemail.com")
    stranger = a_contact()
    campaign, other = (a_campaign((0, [a_template()]), accounts=[an_account()]) for _ in range(2))
    shares = a_campaign(shares_contacts=True)
    assert enrol(campaign, one.id, same.id, stranger.id) == Enrolled(enrolled=2)
    assert enrol(campaign, same.id) == Enrolled(already=1)
    assert enrol(other, same.id) == Enrolled(in_another=1, kept_out=(same.id,))
    assert enrol(shares, same.id, one.id) == Enrolled(enrolled=1)
    assert [(e.campaign_id, e.contact_id) for e in Enrolment.select().order_by(Enrolment.id)] == [
        (campaign.id, one.id), (campaign.id, stranger.id), (shares.id, one.id)
    ]  # fmt: skip
    of_lists = a_campaign(lists=[a_list(one, same)])
    with database.transaction():
        database.lock_publisher()
        assert audience.enrol_lists(of_lists, clock.at) == Enrolled(in_another=2)
        Enrolment.update(state=EnrolmentState.FINISHED, ended_at=clock.at).execute()
        assert audience.enrol_lists(of_lists, clock.at) == Enrolled(enrolled=1)


@pytest.mark.parametrize("position", [1, 2])
def test_who_is_put_on_an_excluded_list_gets_nothing_more_of_the_campaign(
    any_database: str, clock: Clock, server: ScriptedServer, position: int
) -> None:
    account, customers = an_account(port=server.port), a_list()
    campaign = a_campaign(*((0, [a_template()]) for _ in range(2)), accounts=[account], without=[customers])
    waits, checked, claimed, stays = (
        an_enrolment(campaign, position=position, account=account, due_at=clock.at) for _ in range(4)
    )
    selected = on_its_way(checked, State.SELECTED)
    slot = {"account": account, "send_at": clock.at, "token": "slot", "message_id": "<1@x.test>"}
    reserved = on_its_way(claimed, State.RESERVED, **slot)
    another = an_enrolment(a_campaign(lists=[a_list(a_contact())], without=[customers]), waits.contact)
    for enrolment in (waits, checked, claimed):
        ListMember.create(list=customers, contact=enrolment.contact)

    check_duplicates.clear([selected.id])
    deliver_message.deliver([reserved.id], "slot")
    with database.transaction():
        database.lock_publisher()
        picking.prepare(clock.at)

    assert server.mails == []
    assert [outcome_of(d) for d in (selected, reserved)] == [("skipped", "on_excluded_list")] * 2
    assert [how(e) for e in (waits, checked, claimed, another)] == [("stopped", "on_excluded_list", None)] * 4
    assert picking.pick(room(clock.at), clock.at) == [stays.id]


def test_who_is_taken_off_a_list_stays_in_the_campaign(any_database: str, clock: Clock) -> None:
    dentists = a_list(a_contact())
    campaign = a_campaign((0, [a_template()]), accounts=[an_account()], lists=[dentists])
    for _ in range(2):
        with database.transaction():
            database.lock_publisher()
            picking.prepare(clock.at)
        ListMember.delete().execute()
    assert picking.pick(room(clock.at), clock.at) == [Enrolment.get(Enrolment.campaign == campaign.id).id]


def bounced_of(campaign: Campaign, template: EmailTemplate) -> Delivery:
    """Store a delivery of a campaign that has bounced."""
    return a_delivery(State.BOUNCED, campaign=campaign, template=template, reason="recipient_refused")


def enrol(campaign: Campaign, *contact_ids: int) -> Enrolled:
    """Enrol contacts by name."""
    with database.transaction():
        database.lock_publisher()
        return audience.enrol(campaign, contact_ids, database.now())
