"""The plan's sums are those of its mails, a campaign's end is the day of its last one, and who is on lists is in it."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest

from models import Campaign, CampaignState, Contact, Delivery, Enrolment, SmtpAccount, State
from models.contact_list import enlist
from pipeline.operations import pause
from pipeline.reports import plan
from pipeline.reports.ends import End, end_of
from pipeline.reports.reasons import Because, NotYet
from tests.builders import (
    a_campaign,
    a_contact,
    a_delivery,
    a_list,
    a_template,
    a_website,
    an_account,
    an_enrolment,
)
from tests.conftest import Clock
from tests.smtp_server import ScriptedServer
from tests.stages.test_campaigns import FEW_HOURS, TOLERANCE, local, on_the_calendar

NEW_YORK = ZoneInfo("America/New_York")


def test_sums_are_those_of_the_mails_and_a_campaign_ends_with_its_last_one(
    any_database: str, clock: Clock, configure: Callable[..., None]
) -> None:
    configure(mail_window_days="mon-fri", mail_daily_limit=4, mail_window_closed_dates="2026-06-09")
    clock.at = local(7, 45)
    shared, own = [an_account() for _ in range(2)], [an_account()]
    on_list = [a_contact() for _ in range(5)]
    campaigns = [
        a_campaign((0, [a_template()]), (3, [a_template()]), accounts=shared, weight=2, lists=[a_list(*on_list)]),
        a_campaign((0, [a_template()]), (1, [a_template()]), (0, [a_template()]), accounts=shared, daily_limit=3),
        # Of one website one at a time: the next when the sequence before has ended, and a week later.
        a_campaign((0, [a_template()]), (5, [a_template()]), accounts=own),
    ]
    website = a_website()
    for number in range(24):
        colleague = {"website": website} if number % 12 == 2 else {}
        an_enrolment(campaigns[number % 3], a_contact(**colleague))
    for _ in range(3):
        a_delivery()
    long = plan.plan(90)

    days = Counter(row.send_at.astimezone(NEW_YORK).date() for row in long.planned)
    assert {day.date: day.mails for day in long.days} == dict(days)
    of_campaigns = Counter(row.campaign_id for row in long.planned)
    assert sum(day.plain for day in long.days) == of_campaigns.pop(None) == 3
    by_campaign = Counter({c.campaign_id: 0 for day in long.days for c in day.campaigns})
    for day in long.days:
        assert day.mails == day.plain + sum(c.mails for c in day.campaigns)
        by_campaign.update({c.campaign_id: c.mails for c in day.campaigns})
    assert by_campaign == of_campaigns == {c.id: c.mails for c in long.campaigns}
    assert of_campaigns == {campaigns[0].id: 2 * (8 + 5), campaigns[1].id: 3 * 8, campaigns[2].id: 2 * 8}

    last = {row.campaign_id: row.send_at.astimezone(NEW_YORK).date() for row in long.planned}
    assert {c.id: c.end for c in long.campaigns} == {c.id: End(last[c.id]) for c in campaigns}
    # What lies beyond the plan is looked for in whole days, and comes to about the same.
    for ends in ({c.id: c.end for c in plan.plan(1).campaigns}, end_of(campaigns)):
        for campaign_id, end in ends.items():
            assert end.date is not None
            assert (end.why, end.left) == (None, 0)
            assert abs(end.date - last[campaign_id]) <= dt.timedelta(days=1)


def test_who_came_onto_a_list_since_is_in_the_plan_and_goes_then(
    any_database: str, clock: Clock, server: ScriptedServer, configure: Callable[..., None]
) -> None:
    configure(mail_window_days="mon-fri", mail_window_hours=FEW_HOURS, mail_daily_limit=3)
    clock.at = local(7, 45)
    accounts = [an_account(port=server.port) for _ in range(2)]
    found, left_out = a_list(), a_list()
    first, second = (
        a_campaign((0, [a_template()]), (1, [a_template()]), accounts=accounts, lists=[found], without=[left_out])
        for _ in range(2)
    )
    here = [a_contact(priority=i % 3) for i in range(6)]
    elsewhere = an_enrolment(second).contact
    site = a_website()
    here.append(a_contact(website=site, priority=9))
    colleague = a_contact(website=site)
    enlist([found.id], [c.id for c in (*here, elsewhere, colleague)])
    others = [a_contact() for _ in range(3)]
    enlist([found.id, left_out.id], [others[0].id])
    enlist([found.id], [a_contact(validated=False).id])
    # Whoever comes into a campaign gets no plain mail.
    a_template()
    planned = [(r.contact_id, r.campaign_id, r.position, r.account_id, r.send_at) for r in plan.plan(4).planned]
    assert not Enrolment.select().where(Enrolment.contact.in_(here)).exists()

    on_the_calendar(clock, until=local(23, day=5))
    sent = [
        (d.contact_id, d.campaign_id, d.position, d.attempt_rows[0].account_id, d.sent_at)
        for d in Delivery.select().where(Delivery.state == State.SENT).order_by(Delivery.sent_at, Delivery.id)
    ]
    assert [s[:4] for s in sent] == [p[:4] for p in planned]
    assert all(abs(s[4] - p[4]) <= TOLERANCE for s, p in zip(sent, planned, strict=True))
    assert {s[:2] for s in sent} == {(c.id, first.id) for c in here} | {(elsewhere.id, second.id)} | {
        (c.id, None) for c in others
    }


@pytest.mark.parametrize(
    ("spoil", "why", "left"),
    [
        (lambda: pause.pause(pause.Target(), ""), Because(NotYet.EVERYTHING_PAUSED), 4),
        (lambda: Campaign.update(state=CampaignState.PAUSED).execute(),
         Because(NotYet.CAMPAIGN_PAUSED, campaign_id=1), 4),
        (lambda: Campaign.update(state=CampaignState.DONE).execute(), Because(NotYet.CAMPAIGN_DONE, campaign_id=1), 4),
        (lambda: SmtpAccount.update(enabled=False).execute(), Because(NotYet.CAMPAIGN_ACCOUNTS_OFF, campaign_id=1), 4),
        (lambda: SmtpAccount.update(daily_limit=0).execute(), Because(NotYet.NO_CAPACITY), 4),
        (lambda: Contact.update(validated=False).execute(),
         Because(NotYet.CONTACTS_WAIT, number=4, campaign_id=1), 4),
        (lambda: Campaign.update(ends_on=dt.date(2026, 6, 3)).execute(),
         Because(NotYet.OVER_BEFORE, number=4, campaign_id=1), 4),
        (lambda: Enrolment.delete().execute(), Because(NotYet.NOBODY_WAITS, campaign_id=1), 0),
    ],
)  # fmt: skip
def test_an_end_that_can_not_be_told_has_its_reason(
    any_database: str, clock: Clock, spoil: Callable[[], object], why: Because, left: int
) -> None:
    campaign = a_campaign((0, [a_template()]), (3, [a_template()]), accounts=[an_account(daily_limit=2)])
    for _ in range(4):
        an_enrolment(campaign)
    spoil()
    assert end_of([Campaign.get_by_id(campaign.id)]) == {campaign.id: End(None, why, left)}


def test_a_drafts_end_is_told_as_if_it_were_started_and_one_too_far_is_not(any_database: str, clock: Clock) -> None:
    account = an_account(daily_limit=2)
    members = [a_contact() for _ in range(6)]
    draft = a_campaign((0, [a_template()]), accounts=[account], lists=[a_list(*members)], state=CampaignState.DRAFT)
    endless = a_campaign((0, [a_template()]), accounts=[an_account(daily_limit=1)])
    for _ in range(400):
        an_enrolment(endless)
    kept = an_enrolment(draft, a_contact(validated=False))
    ends = end_of([draft, endless])
    assert ends[draft.id] == End(dt.date(2026, 6, 4), None, 1)
    assert (ends[endless.id].date, ends[endless.id].why and ends[endless.id].why.reason) == (None, NotYet.TOO_FAR)
    assert Enrolment.select().where(Enrolment.campaign == draft.id).count() == 1
    assert kept.state == "active"
