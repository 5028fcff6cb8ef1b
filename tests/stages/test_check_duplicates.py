"""Stage 2: nobody is written twice, and the reasons say why."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable

import pytest

from models import Delivery, State, database
from models.suppression import suppress
from pipeline import check_duplicates
from pipeline.flow import Handoff, Stage
from tests.builders import a_contact, a_delivery, a_website
from tests.conftest import Clock, until_waiting_for_a_lock


def test_a_safe_delivery_is_cleared_and_handed_on_also_when_it_comes_again(any_database: str) -> None:
    delivery = a_delivery(State.SELECTED)
    for _ in range(2):
        assert check_duplicates.clear([delivery.id]) == [Handoff(Stage.RENDER, [delivery.id])]
    assert outcome_of(delivery) == (State.CLEARED, None)


def test_all_reasons_that_hold_are_given(any_database: str, clock: Clock) -> None:
    website = a_website()
    sent_ago(clock, 89, contact=a_contact(email="ann@bad.test"))
    sent_ago(clock, 6, contact=a_contact(website=website))
    a_delivery(State.READY, contact=a_contact(website=website))
    suppress("domain", ["bad.test"], "", clock.at)
    delivery = a_delivery(State.SELECTED, contact=a_contact(email="ANN@mail.bad.test", website=website))
    Delivery.update(address="ann@bad.test").where(Delivery.id == delivery.id).execute()

    assert check_duplicates.clear([delivery.id]) == []

    assert outcome_of(delivery) == (
        State.SKIPPED,
        "suppressed_domain,contacted_recently,website_contacted_recently,in_flight",
    )


@pytest.mark.parametrize(("days", "state"), [(89.99, State.SKIPPED), (90.01, State.CLEARED)])
def test_an_address_may_be_mailed_again_after_90_days(
    any_database: str, clock: Clock, days: float, state: State
) -> None:
    contact = a_contact()
    sent_ago(clock, days, contact=contact)
    delivery = a_delivery(State.SELECTED, contact=contact)
    check_duplicates.clear([delivery.id])
    assert outcome_of(delivery)[0] == state


def test_a_rule_of_0_days_is_switched_off(any_database: str, clock: Clock, configure: Callable[..., None]) -> None:
    configure(mail_dedupe_contact_days=0, mail_dedupe_website_days=0)
    website = a_website()
    sent_ago(clock, 0, contact=(contact := a_contact(website=website)))
    a_delivery(State.READY, contact=a_contact(website=website))
    delivery = a_delivery(State.SELECTED, contact=contact)
    check_duplicates.clear([delivery.id])
    assert outcome_of(delivery) == (State.CLEARED, None)


def test_within_a_list_priority_and_then_age_decide_which_contact_of_a_website_is_mailed(any_database: str) -> None:
    website = a_website()
    old, older_in_time, urgent = (
        a_delivery(State.SELECTED, contact=a_contact(website=website), priority=p) for p in (0, 0, 3)
    )
    check_duplicates.clear([old.id, older_in_time.id, urgent.id])
    assert [outcome_of(d)[0] for d in (old, older_in_time, urgent)] == ["skipped", "skipped", "cleared"]


def test_two_processes_at_the_same_instant_send_one_mail_to_a_website(postgres: str) -> None:
    website = a_website()
    deliveries = [a_delivery(State.SELECTED, contact=a_contact(website=website)) for _ in range(8)]
    start = threading.Barrier(len(deliveries))

    def check(delivery_id: int) -> None:
        with database.connection():
            start.wait()
            check_duplicates.clear([delivery_id])

    threads = [threading.Thread(target=check, args=(d.id,)) for d in deliveries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcome_of(d) for d in deliveries) == [("cleared", None), *[("skipped", "in_flight")] * 7]


def test_a_website_that_another_process_looks_at_is_waited_for(postgres: str) -> None:
    website = a_website()
    ours, theirs = (a_delivery(State.SELECTED, contact=a_contact(website=website)) for _ in range(2))

    def check() -> None:
        with database.connection():
            check_duplicates.clear([theirs.id])

    other = threading.Thread(target=check)
    with database.transaction():
        check_duplicates.clear([ours.id])
        other.start()
        until_waiting_for_a_lock()
    other.join()
    assert (outcome_of(ours), outcome_of(theirs)) == (("cleared", None), ("skipped", "in_flight"))


def outcome_of(delivery: Delivery) -> tuple[str, str | None]:
    """Return state and reason as stored."""
    row = Delivery.get_by_id(delivery.id)
    return row.state, row.reason


def sent_ago(clock: Clock, days: float, **values: object) -> Delivery:
    """Store a delivery that was accepted `days` ago."""
    return a_delivery(State.SENT, sent_at=clock.at - dt.timedelta(days=days), **values)
