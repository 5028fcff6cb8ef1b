"""A month of three campaigns: what is planned is what is sent, and no promise is broken."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from models import Attempt
from tests.conftest import Clock
from tests.effort import counts
from tests.stages.month_world import (
    BERLIN,
    BRAND_OF,
    BRANDS,
    DAY,
    HOURS,
    HOURS_OF,
    INTERVAL,
    SETTINGS,
    STEPS,
    Mail,
    Month,
    dates,
    is_working_day,
    local,
    working_day,
)

#: Days on which nothing came that no plan can know, and on which mails were sent.
QUIET_DAYS = 8


@pytest.mark.parametrize("database", counts(["sqlite"], ["sqlite", "postgres"]))
def test_each_plan_of_a_month_holds_until_something_comes_that_none_can_know_and_no_promise_is_broken(
    database: str,
    request: pytest.FixtureRequest,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    configure: Callable[..., None],
) -> None:
    request.getfixturevalue(database)
    contacts, limit = counts(72, 600), counts(2, 8)
    configure(**SETTINGS, mail_daily_limit=limit)
    month = Month(clock, monkeypatch, contacts=contacts, limit=limit)
    for date in filter(is_working_day, dates()):
        month.go_on(local(date, "07:45"))
        month.look_ahead()
    month.go_on(local(date, "23:00"))
    month.look_back()

    assert month.differences == []
    sent = [mail for mail, attempt in month.tried() if attempt.outcome == "accepted"]
    surprised = {date_of(at) for at in month.unforeseen}
    assert len({date_of(mail.at) for mail in sent} - surprised) >= QUIET_DAYS
    assert Counter(mail.position for mail in sent)[len(STEPS)] > contacts // 5
    each_step_is_sent_once_in_its_time_and_not_after_a_stop(month, sent)
    each_mail_leaves_from_its_brand_in_open_hours(month, [mail for mail, _ in month.tried()])
    no_limit_is_broken(month, month.tried())


def each_step_is_sent_once_in_its_time_and_not_after_a_stop(month: Month, sent: list[Mail]) -> None:
    steps: dict[tuple[int, int], list[Mail]] = defaultdict(list)
    for mail in sent:
        steps[mail.campaign_id, mail.contact_id].append(mail)
        assert mail.at <= month.stopped.get((mail.campaign_id, mail.contact_id), mail.at)
    for mails in steps.values():
        assert [mail.position for mail in mails] == list(range(1, len(mails) + 1))
        for before, mail in pairwise(mails):
            due_on = working_day(STEPS[mail.position - 1], after=date_of(before.at))
            assert date_of(mail.at) >= due_on
    for contact, mails in by_contact(sent).items():
        for before, mail in pairwise(mails):
            assert mail.campaign_id == before.campaign_id or mail.at - before.at > 10 * DAY, contact


def each_mail_leaves_from_its_brand_in_open_hours(month: Month, tried: list[Mail]) -> None:
    brand_of = {month.accounts[i]: brand for brand, some in BRANDS.items() for i in some}
    zone_of = {contact.id: contact.timezone for contact in month.contacts}
    campaign_of = {campaign.id: name for name, campaign in month.campaigns.items()}
    for mail in tried:
        name = campaign_of[mail.campaign_id]
        assert brand_of[mail.account_id] == BRAND_OF[name]
        here, there = (mail.at.astimezone(zone) for zone in (BERLIN, ZoneInfo(zone_of[mail.contact_id] or BERLIN.key)))
        assert is_working_day(here.date())
        for hours, clock in ((HOURS, here), (HOURS, there), (HOURS_OF[name], here), (HOURS_OF[name], there)):
            assert any(opens <= f"{clock:%H:%M}" < closes for opens, closes in hours)


def no_limit_is_broken(month: Month, tried: list[tuple[Mail, Attempt]]) -> None:
    by_account: dict[int, list[dt.datetime]] = defaultdict(list)
    used: Counter[tuple[str, int, dt.date]] = Counter()
    for mail, attempt in tried:
        if attempt.phase == "connect":
            continue
        by_account[mail.account_id].append(mail.at)
        used["account", mail.account_id, date_of(mail.at)] += 1
        used["campaign", mail.campaign_id, date_of(mail.at)] += 1
    for (kind, number, date), sent in used.items():
        limit = month.limit_of_account(number, date) if kind == "account" else month.limit_of_campaign(number)
        assert sent <= limit
    for times in by_account.values():
        assert all(later - earlier >= INTERVAL for earlier, later in pairwise(times))


def date_of(at: dt.datetime) -> dt.date:
    return at.astimezone(BERLIN).date()


def by_contact(mails: list[Mail]) -> dict[int, list[Mail]]:
    found: dict[int, list[Mail]] = defaultdict(list)
    for mail in mails:
        found[mail.contact_id].append(mail)
    return found
