"""The report of a campaign: figures counted from rows, each sum that of what stands below it, and no variant crowned
by chance.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable

import pytest

from models import Attempt, Campaign, Delivery, EmailTemplate, Enrolment, EnrolmentState, SmtpAccount, State
from pipeline.capacity.pausing import Target
from pipeline.operations import pause, stops
from pipeline.reports.campaign_report import CampaignReport, Verdict, report, rows
from tests.builders import (
    a_campaign,
    a_contact,
    a_delivery,
    a_template,
    a_website,
    an_account,
    an_enrolment,
    on_its_way,
)
from tests.conftest import Clock
from tests.smtp_server import ScriptedServer, Turns
from tests.stages.test_campaigns import FEW_HOURS, follow_up, local, on_the_calendar


def test_the_figures_after_a_simulated_campaign_are_what_its_servers_and_people_did(
    any_database: str, clock: Clock, server: ScriptedServer, configure: Callable[..., None]
) -> None:
    configure(mail_window_days="mon-fri", mail_window_hours=FEW_HOURS, mail_daily_limit=50)
    clock.at = local(7, 30, day=1)
    variants = [a_template(), a_template()]
    campaign = a_campaign((0, variants), (2, [follow_up()]), accounts=[an_account(port=server.port)], name="spring")
    others = a_campaign((0, [a_template()]), state="paused")
    for number in range(18):
        an_enrolment(others if number % 9 == 8 else campaign)
    nobody = "550 5.1.1 no such user"
    server.replies["RCPT"] = Turns([nobody, nobody, "250 2.1.5 ok"])
    on_the_calendar(clock, until=local(18, day=1))
    *replied, last = sorted(d.contact_id for d in all_of(campaign, 1) if d.state == State.SENT)[:6]
    stops.replied(replied, "me")
    on_the_calendar(clock, until=local(18, day=2))
    consistent(report("spring"))
    assert report("spring").waiting == {"due_time": 9}
    on_the_calendar(clock, until=local(18, day=4))
    for _ in range(2):
        stops.replied([last], "me")

    found = report("spring")

    consistent(found)
    assert (found.enrolled, found.waiting) == (16, {})
    assert found.ended == {"finished": 8, "replied": 6, "bounced": 2}
    assert (found.sent, found.bounced, found.replied) == (14 + 9, 2, 6)
    first, second = found.steps
    assert (first.sent, first.bounced, first.replied, first.replied_rate) == (14, 2, 5, round(5 / 14, 4))
    assert (second.sent, second.bounced, second.replied, second.bounced_rate) == (9, 0, 1, 0)
    of_replied = Counter(d.template_id for d in all_of(campaign, 1) if d.contact_id in replied)
    sent = Counter(d.template_id for d in all_of(campaign, 1) if d.state == State.SENT)
    assert {v.template_id: (v.sent, v.replied) for v in first.variants} == {
        t.id: (sent[t.id], of_replied[t.id]) for t in variants
    }


def consistent(found: CampaignReport) -> None:
    """Fail unless each sum is that of what stands below it, and of the rows by SQL of the test's own."""
    assert found.enrolled == sum(found.waiting.values()) + sum(found.ended.values())
    for name in ("sent", "bounced", "failed", "replied", "unsubscribed"):
        assert getattr(found, name) == sum(getattr(step, name) for step in found.steps)
        for step in found.steps:
            assert getattr(step, name) == sum(getattr(variant, name) for variant in step.variants)
    assert found.replied + found.unsubscribed + found.replied_to_none == sum(
        found.ended.get(how, 0) for how in ("replied", "unsubscribed")
    )
    assert found.bounced == found.ended.get("bounced", 0)
    assert found.failed == found.ended.get("failed", 0)
    assert found.enrolled == Enrolment.select().where(Enrolment.campaign == found.id).count()
    assert found.sent == Attempt.select().join(Delivery).where(
        (Delivery.campaign == found.id) & (Attempt.outcome == "accepted")
    ).count()  # fmt: skip


def test_each_that_waits_is_counted_once_by_what_it_waits_for(any_database: str, clock: Clock) -> None:
    usable, off, foreign = an_account(), an_account(enabled=False), an_account()
    campaign = a_campaign((0, [a_template()]), (3, [follow_up()]), accounts=[usable, off])
    later = {"position": 2, "account": usable, "sent_at": clock.at}
    an_enrolment(campaign)
    an_enrolment(campaign, **later)
    an_enrolment(campaign, **later, due_at=clock.at + dt.timedelta(days=1))
    an_enrolment(campaign, **later, due_at=clock.at)
    for account in (off, foreign):
        an_enrolment(campaign, **later | {"account": account}, due_at=clock.at)
    on_its_way(an_enrolment(campaign), State.READY)
    on_its_way(an_enrolment(campaign), State.CLEARED, template=a_template(paused_at=clock.at))
    on_its_way(an_enrolment(campaign), State.SENDING)
    on_its_way(an_enrolment(campaign), State.IN_DOUBT)
    expected = {
        "outcome": 1, "decision": 1, "resumption": 1, "account": 2,
        "on_its_way": 1, "first_mail": 1, "due_time": 2, "room": 1,
    }  # fmt: skip
    assert report(str(campaign.id)).waiting == expected
    SmtpAccount.update(enabled=False).execute()
    assert report(str(campaign.id)).waiting == {"outcome": 1, "decision": 1, "resumption": 1, "account": 7}
    pause.pause(Target(), "me")
    assert report(str(campaign.id)).waiting == {"outcome": 1, "decision": 1, "resumption": 8}
    Campaign.update(state="draft").execute()
    assert report(str(campaign.id)).waiting == {"outcome": 1, "decision": 1, "start": 8}


def test_a_reply_is_one_to_the_last_mail_before_it_and_of_whoever_wrote_it_alone(
    any_database: str, clock: Clock
) -> None:
    website = a_website()
    template, account = a_template(), an_account()
    campaign = a_campaign((0, [template]), accounts=[account], stops_website=True, name="spring")
    earlier = a_campaign((0, [template]), accounts=[account], name="earlier")
    person = a_contact(website=website)
    has_sent(an_enrolment(earlier, person, state=EnrolmentState.FINISHED), template, clock.at)
    has_sent(an_enrolment(campaign, person, state=EnrolmentState.FINISHED), template, clock.tick(60))
    colleague = an_enrolment(campaign, a_contact(website=website), position=2)
    has_sent(colleague, template, clock.at)
    untouched = an_enrolment(campaign)

    stops.replied([person.id, untouched.contact_id], "me")

    found = report("spring")
    assert found.ended == {"replied": 3}
    assert (found.replied, found.replied_to_none, found.steps[0].replied) == (1, 1, 1)
    assert report("earlier").ended == {"finished": 1}


def has_sent(enrolment: Enrolment, template: EmailTemplate, at: dt.datetime) -> None:
    """Let an enrolment have sent its first mail."""
    of_step = {"campaign": enrolment.campaign, "enrolment": enrolment, "position": 1, "template": template}
    sent = a_delivery(State.SENT, contact=enrolment.contact, sent_at=at, **of_step)
    Enrolment.update(last_id=sent.id, sent_at=at).where(Enrolment.id == enrolment.id).execute()


@pytest.mark.parametrize(
    ("replies", "sent", "verdict", "more"),
    [
        ((0, 0), (0, 10), Verdict.NOTHING_SENT, None),
        ((2, 2), (20, 20), Verdict.EQUAL, None),
        ((2, 3), (20, 20), Verdict.TOO_FEW, 726 - 20),
        ((12, 1), (30, 30), Verdict.DIFFERENT, 0),
    ],
)
def test_variants_are_told_apart_only_where_chance_can_be_ruled_out(
    sqlite: str, clock: Clock, replies: tuple[int, int], sent: tuple[int, int], verdict: Verdict, more: int | None
) -> None:
    variants = [a_template(), a_template()]
    campaign = a_campaign((0, variants), (3, [follow_up()]), accounts=[an_account()], name="spring")
    for template, number, answers in zip(variants, sent, replies, strict=True):
        for n in range(number):
            state = EnrolmentState.REPLIED if n < answers else EnrolmentState.FINISHED
            has_sent(an_enrolment(campaign, state=state), template, clock.at)
    (compared,) = report("spring").steps[0].comparisons
    assert (compared.verdict, compared.more) == (verdict, more)
    better = max(zip(replies, variants, strict=True), key=lambda pair: pair[0])[1].id
    assert verdict is not Verdict.DIFFERENT or compared.template_ids[0] == better


def test_a_template_that_is_no_variant_any_more_keeps_its_figures(sqlite: str, clock: Clock) -> None:
    now, was = a_template(name="=now"), a_template(name="was")
    campaign = a_campaign((0, [now]), accounts=[an_account()], name="spring")
    has_sent(an_enrolment(campaign, state=EnrolmentState.FINISHED), was, clock.at)
    written = list(rows(report("spring")))
    assert [(r["step"], r["template"], r["weight"], r["sent"], r["bounced_rate"]) for r in written] == [
        (1, "=now", 1, 0, None),
        (1, "was", None, 1, 0),
    ]


def all_of(campaign: Campaign, position: int) -> list[Delivery]:
    return list(Delivery.select().where((Delivery.campaign == campaign.id) & (Delivery.position == position)))
