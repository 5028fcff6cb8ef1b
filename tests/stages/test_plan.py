"""What `plan` says is what is then sent, and `why` gives a reason of the closed list and a time that holds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest

from models import Attempt, Delivery, DomainCheck, DomainResult, EmailTemplate, Reason, SmtpAccount, State
from models.control import control
from models.suppression import suppress
from pipeline import reserve_slot
from pipeline.flow import TRIGGER
from pipeline.operations import pause
from pipeline.reports import plan
from pipeline.reports.reasons import WORDS, NotYet
from pipeline.reports.why import Why, why
from pipeline.rules import contact
from pipeline.rules.eligible import eligible
from tests.accelerated import Accelerated
from tests.builders import a_contact, a_delivery, a_template, a_website, an_account
from tests.conftest import Clock
from tests.smtp_server import ScriptedServer

NEW_YORK = ZoneInfo("America/New_York")


def local(hour: int, minute: int = 0, day: int = 2) -> dt.datetime:
    """Return a time in New York, in June 2026, as UTC."""
    return dt.datetime(2026, 6, day, hour, minute, tzinfo=NEW_YORK).astimezone(dt.UTC)


def test_what_is_sent_is_what_was_planned(
    any_database: str, clock: Clock, server: ScriptedServer, configure: Callable[..., None]
) -> None:
    configure(mail_window_hours="08:00-12:00,13:00-17:00", mail_daily_limit=4)
    clock.at = local(7, 30)
    accounts = [an_account(port=server.port) for _ in range(2)] + [an_account(port=server.port, daily_limit=7)]
    SmtpAccount.update(warmup_start=1, warmup_step=2, warmup_on=dt.date(2026, 6, 2)).where(
        SmtpAccount.id == accounts[0].id
    ).execute()
    for i in range(30):
        zone = {0: "Europe/London", 1: "America/Los_Angeles"}.get(i % 5, "")
        a_delivery(priority=i % 3, timezone=zone, not_before=local(10) if i == 7 else None, message_id=f"<{i}@x.test>")
    a_delivery(priority=9, template=a_template(paused_at=clock.at))
    until = local(0, day=5)
    planned = [(p.delivery.id, p.account_id, p.send_at) for p in plan.upcoming(until)]

    run = Accelerated(clock)
    run.put(TRIGGER)
    run.run(until)

    attempts = Attempt.select().order_by(Attempt.claimed_at, Attempt.id)
    sent = [(a.delivery_id, a.account_id, a.claimed_at) for a in attempts]
    assert [s[:2] for s in sent] == [p[:2] for p in planned]
    assert len(sent) == 30
    assert all(abs(s[2] - p[2]) <= TOLERANCE for s, p in zip(sent, planned, strict=True))
    assert not any(a.claimed_at.astimezone(NEW_YORK).hour in (12, 17) for a in attempts)


def test_a_plan_of_what_is_paused_is_empty_and_a_claim_under_way_has_been_used(any_database: str, clock: Clock) -> None:
    account = an_account(daily_limit=2)
    a_delivery(State.SENDING, account=account, token="claim")
    Attempt.create(
        delivery=1, account=account, token="claim", outcome="open", claimed_at=clock.at, local_on=dt.date(2026, 6, 2)
    )
    for _ in range(3):
        a_delivery()
    days = [p.send_at.astimezone(NEW_YORK).day for p in plan.upcoming(local(0, day=5))]
    assert days == [2, 3, 3]
    pause.pause(pause.Target(), "a test")
    assert list(plan.upcoming(local(0, day=5))) == []


def test_why_says_what_a_ready_delivery_waits_for_and_when_it_goes(any_database: str, clock: Clock) -> None:
    clock.at = local(9)
    account = an_account(daily_limit=1)
    ahead, behind = a_delivery(), a_delivery()
    answer = why(behind.contact_id)
    assert reasons(answer) == [NotYet.BEHIND_OTHERS]
    assert (answer.reasons[0].number, answer.earliest, answer.is_planned) == (1, local(8, day=3), True)
    assert why(ahead.contact_id).earliest == local(9)

    reserve_slot.reserve()
    answer = why(ahead.contact_id)
    assert (reasons(answer), answer.earliest, answer.account_id) == ([NotYet.SLOT], local(9), account.id)


@pytest.mark.parametrize(
    ("spoil", "reason", "until"),
    [
        (lambda _: pause.pause(pause.Target(), ""), NotYet.EVERYTHING_PAUSED, None),
        (lambda d: pause.pause(pause.Target(template_id=d.template_id), ""), NotYet.TEMPLATE_PAUSED, None),
        (lambda _: Delivery.update(not_before=local(9, 30)).execute(), NotYet.RETRY, local(9, 30)),
        (lambda _: Delivery.update(timezone="America/Los_Angeles").execute(), NotYet.CONTACT_WINDOW_CLOSED, local(11)),
        (lambda _: SmtpAccount.update(enabled=False).execute(), NotYet.NO_ACCOUNT, None),
        (lambda _: SmtpAccount.update(cooling_until=local(10)).execute(), NotYet.ACCOUNTS_COOLING_DOWN, local(10)),
        (lambda _: SmtpAccount.update(daily_limit=0).execute(), NotYet.LIMITS_REACHED, None),
        (lambda _: Delivery.update(state=State.CLEARED).execute(), NotYet.BEING_CHECKED, None),
    ],
)
def test_each_thing_to_wait_for_has_its_reason_and_its_time(
    any_database: str, clock: Clock, spoil: Callable[[Delivery], object], reason: NotYet, until: dt.datetime | None
) -> None:
    clock.at = local(9)
    an_account()
    delivery = a_delivery()
    spoil(delivery)
    answer = why(delivery.contact_id)
    assert reasons(answer) == [reason]
    assert answer.reasons[0].until == until
    depends_on_a_person = reason in (NotYet.EVERYTHING_PAUSED, NotYet.TEMPLATE_PAUSED, NotYet.NO_ACCOUNT)
    assert (answer.earliest is None) is depends_on_a_person
    if until is not None:
        assert answer.earliest == until


def test_in_a_closed_window_why_says_when_it_opens(any_database: str, clock: Clock) -> None:
    clock.at = local(20)
    an_account()
    answer = why(a_delivery().contact_id)
    assert reasons(answer) == [NotYet.WINDOW_CLOSED]
    assert answer.reasons[0].until == answer.earliest == local(8, day=3)


def test_why_and_the_batch_publisher_agree_on_who_can_be_picked(any_database: str, clock: Clock) -> None:
    template, other = a_template(), a_template()
    contacted, on_its_way = a_website(), a_website()
    recently = clock.at - dt.timedelta(days=3)
    suppress("domain", ["bad.test"], "", clock.at)
    DomainCheck.create(domain="gone.test", result=DomainResult.NO_SUCH_DOMAIN, checked_at=recently)
    sent = a_delivery(State.SENT, contact=a_contact(website=contacted), sent_at=recently, template=other).contact
    a_delivery(State.READY, contact=a_contact(website=on_its_way))
    expected = {
        a_contact().id: NotYet.NOT_PICKED_YET,
        a_contact(validated=False).id: Reason.NOT_VALIDATED,
        a_contact(address_valid=False).id: Reason.INVALID_ADDRESS,
        a_contact(website=a_website(meets_requirements=False)).id: Reason.WEBSITE_REQUIREMENTS,
        a_contact(timezone="Asia/Tokyo").id: Reason.NO_COMMON_WINDOW,
        a_contact(email="ann@bad.test").id: Reason.SUPPRESSED_DOMAIN,
        a_contact(email="abuse@site.test").id: Reason.ROLE_ADDRESS,
        a_contact(email="ann@mailinator.com").id: Reason.DISPOSABLE_DOMAIN,
        a_contact(email="ann@gone.test").id: Reason.DOMAIN_TAKES_NO_MAIL,
        a_contact(website=contacted).id: Reason.WEBSITE_CONTACTED_RECENTLY,
        a_contact(website=on_its_way).id: Reason.IN_FLIGHT,
        a_delivery(State.BOUNCED, template=template).contact_id: NotYet.TEMPLATE_DONE,
        a_delivery(State.SKIPPED, template=template).contact_id: NotYet.NOT_PICKED_YET,
    }
    found = {
        contact_id: [b.reason for b in why(contact_id).again or why(contact_id).reasons] for contact_id in expected
    }
    assert found == {contact_id: [reason] for contact_id, reason in expected.items()}
    pickable = [contact_id for contact_id, reason in expected.items() if reason is NotYet.NOT_PICKED_YET]
    assert eligible(template, 100, 0) == sorted(pickable)

    of_both = why(sent.id)
    assert [b.reason for b in of_both.again] == [Reason.CONTACTED_RECENTLY, Reason.WEBSITE_CONTACTED_RECENTLY]
    clock.at = max(b.until for b in of_both.again if b.until)
    assert sent.id in eligible(template, 100, 0)
    assert why(sent.id).again == (why(sent.id).again[0],)
    assert why(sent.id).again[0].reason == NotYet.NOT_PICKED_YET


def test_a_paused_template_keeps_nobody_from_the_next_one(any_database: str, clock: Clock) -> None:
    a_template(paused_at=clock.at)
    contact = a_contact()
    assert [b.reason for b in why(contact.id).again] == [NotYet.TEMPLATE_PAUSED]
    a_template()
    assert why(contact.id).again == ()
    EmailTemplate.update(active=False).execute()
    assert [b.reason for b in why(contact.id).again] == [NotYet.NO_TEMPLATE]


def test_why_is_about_the_delivery_that_counts_and_not_about_a_skipped_repeat(any_database: str, clock: Clock) -> None:
    contact, other = a_contact(), a_contact(email="other@x.test")
    first = a_delivery(State.SKIPPED, contact=contact, reason="in_flight")
    last = a_delivery(State.SKIPPED, contact=contact, reason="not_validated,suppressed_domain")
    answer = why(contact.id)
    assert (answer.delivery_id, reasons(answer)) == (last.id, [Reason.NOT_VALIDATED, Reason.SUPPRESSED_DOMAIN])

    sent = a_delivery(State.SENT, contact=contact, reason="accepted", sent_at=clock.at)
    a_delivery(State.SKIPPED, contact=contact, reason="contacted_recently")
    answer = why(contact.email)
    assert (answer.state, answer.delivery_id, reasons(answer)) == (State.SENT, sent.id, [Reason.ACCEPTED])

    waiting = a_delivery(State.READY, contact=contact)
    a_delivery(State.BOUNCED, contact=contact, reason="recipient_refused")
    skipped = a_delivery(State.SKIPPED, contact=contact, reason="in_flight")
    answer = why(contact.id)
    assert (answer.state, answer.delivery_id) == (State.READY, waiting.id)
    assert [d.id for d in answer.history] == list(range(first.id, skipped.id + 1))
    assert why(other.id).state == "not_on_route"


def test_every_reason_has_its_words() -> None:
    assert set(WORDS) == set(NotYet) | set(Reason)


def test_a_delivery_beyond_the_forecast_has_a_time_before_which_it_is_not(any_database: str, clock: Clock) -> None:
    an_account(daily_limit=1)
    template = a_template()
    last = [a_delivery(template=template) for _ in range(30)][-1]
    answer = why(last.contact_id)
    assert not answer.is_planned
    assert answer.earliest is not None
    assert answer.earliest > clock.at + dt.timedelta(days=13)
    assert control().wake_at is None
    assert EmailTemplate.select().count() == 1
    assert contact.reasons_against(last.contact, clock.at) == []


#: What a run takes longer than its plan, at most.
TOLERANCE = dt.timedelta(seconds=2)


def reasons(answer: Why) -> list[str]:
    """Return the codes of an answer's reasons."""
    return [because.reason for because in answer.reasons]
