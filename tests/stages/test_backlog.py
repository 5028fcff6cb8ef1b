"""The backlog has each delivery once, by state, what it waits for and age, and is counted no further than needed."""

from __future__ import annotations

import datetime as dt

import pytest

from models import CampaignState, Delivery, State
from models.states import UNFINISHED
from pipeline.operations import pause
from pipeline.operations.pause import Target
from pipeline.reports import backlog as reports
from pipeline.reports.backlog import backlog
from pipeline.reports.why import why
from tests.builders import a_campaign, a_contact, a_delivery, a_template, an_account
from tests.conftest import Clock


def test_each_delivery_stands_in_one_row_with_what_it_waits_for_and_since_when(any_database: str, clock: Clock) -> None:
    an_account()
    paused = a_template(paused_at=clock.at)
    stopped = a_campaign((0, [a_template()]), state=CampaignState.PAUSED)
    oldest = clock.at - dt.timedelta(days=3)
    a_delivery(State.SELECTED)
    a_delivery(State.CLEARED, template=paused)
    for created_at in (clock.at, oldest):
        a_delivery(contact=a_contact(timezone="Europe/London"), timezone="Europe/London", created_at=created_at)
    a_delivery(template=paused)
    a_delivery(campaign=stopped)
    a_delivery(contact=a_contact(timezone="Asia/Tokyo"), timezone="Asia/Tokyo")
    a_delivery(not_before=clock.at + dt.timedelta(hours=1))
    a_delivery(not_before=clock.at - dt.timedelta(hours=1))
    a_delivery(State.RESERVED, account=an_account(), send_at=clock.at, token="1")
    a_delivery(State.RESERVED, account=an_account(), send_at=clock.at - dt.timedelta(hours=2), token="2")
    a_delivery(State.SENDING, account=an_account(), send_at=clock.at, token="3")
    a_delivery(State.IN_DOUBT)
    for ended in set(State) - set(UNFINISHED):
        a_delivery(ended)

    rows = backlog()

    assert [(row.state, row.because.reason, row.count, row.oldest_at) for row in rows] == [
        ("selected", "being_checked", 1, clock.at),
        ("cleared", "template_paused", 1, clock.at),
        ("ready", "turn", 3, oldest),
        ("ready", "campaign_paused", 1, clock.at),
        ("ready", "contact_window_closed", 1, clock.at),
        ("ready", "retry", 1, clock.at),
        ("ready", "template_paused", 1, clock.at),
        ("reserved", "slot", 1, clock.at),
        ("reserved", "slot_overdue", 1, clock.at),
        ("sending", "being_sent", 1, clock.at),
        ("in_doubt", "no_outcome", 1, clock.at),
    ]
    assert sum(row.count for row in rows) == Delivery.select().where(Delivery.state.in_(UNFINISHED)).count()
    assert {row.because.reason: row.template_ids for row in rows}["template_paused"] == (paused.id,)


def test_it_waits_for_what_why_says_first(any_database: str, clock: Clock) -> None:
    def both() -> tuple[str, str]:
        (row,) = backlog()
        return row.because.reason, why(waiting.contact_id).reasons[0].reason

    waiting = a_delivery()
    assert both() == ("no_account", "no_account")
    account = an_account(daily_limit=0)
    assert both() == ("limits_reached", "limits_reached")
    account.cooling_until, account.daily_limit = clock.at + dt.timedelta(hours=1), 10
    account.save()
    assert both() == ("accounts_cooling_down", "accounts_cooling_down")
    clock.set(2026, 6, 1, 23)
    assert both() == ("window_closed", "window_closed")
    pause.pause(Target(), "ann")
    assert both() == ("everything_paused", "everything_paused")


def test_of_retries_and_others_in_one_lane_each_has_its_own_age(any_database: str, clock: Clock) -> None:
    an_account()
    template = a_template()
    hours = [dt.timedelta(hours=number) for number in range(4)]
    a_delivery(template=template, created_at=clock.at - hours[3], not_before=clock.at + hours[2])
    a_delivery(template=template, created_at=clock.at - hours[2], not_before=clock.at + hours[1])
    a_delivery(template=template, created_at=clock.at - hours[1])

    found = {row.because.reason: (row.count, row.oldest_at, row.because.until) for row in backlog()}

    assert found == {
        "retry": (2, clock.at - hours[3], clock.at + hours[1]),
        "turn": (1, clock.at - hours[1], None),
    }


@pytest.mark.parametrize("state", [State.SELECTED, State.CLEARED, State.READY])
def test_more_than_enough_is_not_counted(
    any_database: str, clock: Clock, monkeypatch: pytest.MonkeyPatch, state: State
) -> None:
    monkeypatch.setattr(reports, "ENOUGH", 3)
    an_account()
    template = a_template()
    counted = []
    for _ in range(4):
        a_delivery(state, template=template)
        counted += [(row.count, row.is_at_least) for row in backlog()]

    assert counted == [(1, False), (2, False), (3, True), (3, True)]
