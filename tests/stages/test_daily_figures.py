"""Days that are over are summed once: a total is as right before as after, and never falls."""

from __future__ import annotations

import datetime as dt
import threading
from contextlib import closing

import psycopg2
import pytest

from models import Attempt, Cause, DailyFigure, Delivery, Event, Outcome, Reason, State, daily_figures, transition
from schedules import sweep
from tests.builders import a_delivery, an_account
from tests.conftest import Clock, in_a_thread


def test_totals_are_the_same_before_and_after_a_sum_and_whatever_rows_of_summed_days_are_erased(
    any_database: str, clock: Clock
) -> None:
    three_days(clock)
    transitions, attempts = daily_figures.transitions(), daily_figures.attempts()
    assert transitions["deliver", "ready", "greylisted"] == 3
    assert (attempts["accepted", "nobody"], attempts["failed", "recipient"]) == (3, 3)

    assert daily_figures.sum_days() == [dt.date(2026, 6, 2), dt.date(2026, 6, 3)]
    assert daily_figures.sum_days() == []
    assert (daily_figures.transitions(), daily_figures.attempts()) == (transitions, attempts)

    border = dt.datetime(2026, 6, 4, tzinfo=dt.UTC)
    Event.delete().where(Event.at < border).execute()
    Attempt.delete().where(Attempt.finished_at < border).execute()
    assert (daily_figures.transitions(), daily_figures.attempts()) == (transitions, attempts)


def test_they_can_be_made_again_from_the_rows_and_are_the_same(any_database: str, clock: Clock) -> None:
    three_days(clock)
    daily_figures.sum_days()
    first = sums()
    DailyFigure.delete().execute()
    daily_figures.sum_days()
    assert sums() == first
    assert sum(number for *_, number in first) == sum(row[1] for row in by_hand())
    assert {day for day, *_ in first} == {row[0] for row in by_hand()}


def test_the_last_instant_of_a_day_is_its_own_and_it_is_summed_an_hour_later(any_database: str, clock: Clock) -> None:
    clock.at = dt.datetime(2026, 6, 2, 23, 59, 59, 999_999, tzinfo=dt.UTC)
    skipped()
    clock.set(2026, 6, 3)
    skipped()
    clock.at = dt.datetime(2026, 6, 3, 0, 59, 59, 999_999, tzinfo=dt.UTC)
    assert daily_figures.sum_days() == []
    clock.set(2026, 6, 3, 1)
    assert daily_figures.sum_days() == [dt.date(2026, 6, 2)]
    assert [(row.day, row.stage, row.state, row.reason, row.number) for row in DailyFigure.select()] == [
        (dt.date(2026, 6, 2), "dedupe", "skipped", "in_flight", 1),
        (dt.date(2026, 6, 2), "outside", "selected", "", 1),
    ]


def test_days_without_anything_are_passed_over_and_years_are_summed_some_at_a_time(
    sqlite: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daily_figures, "AT_ONCE", 2)
    for day in (1, 5, 9):
        clock.set(2024, 2, day)
        skipped()
    clock.set(2026, 6, 3)
    assert daily_figures.sum_days() == [dt.date(2024, 2, 1), dt.date(2024, 2, 5)]
    assert daily_figures.sum_days() == [dt.date(2024, 2, 9)]
    assert daily_figures.transitions()["dedupe", "skipped", "in_flight"] == 3


def test_an_attempt_in_doubt_counts_once_something_is_known_and_then_once(any_database: str, clock: Clock) -> None:
    attempt = an_attempt(Outcome.IN_DOUBT, None)
    clock.tick(86_400 * 2)
    daily_figures.sum_days()
    assert daily_figures.attempts() == {}
    Attempt.update(outcome=Outcome.ACCEPTED, charged_to="nobody", finished_at=clock.at).where(
        Attempt.id == attempt.id
    ).execute()
    assert daily_figures.attempts() == {("accepted", "nobody"): 1}
    clock.tick(86_400 * 2)
    assert daily_figures.sum_days() != []
    assert daily_figures.attempts() == {("accepted", "nobody"): 1}


def test_a_day_waits_for_a_transaction_that_began_before_its_end_and_can_still_add_to_it(
    postgres: str, clock: Clock
) -> None:
    # PostgreSQL's own clock says when a transaction began: today is over the day after tomorrow.
    today = dt.datetime.now(dt.UTC)
    clock.at = today
    skipped()
    clock.at = today + dt.timedelta(days=2)
    with closing(psycopg2.connect(postgres)) as other, other.cursor() as late:
        late.execute("UPDATE delivery SET state = 'skipped', step = step + 1 WHERE false")
        assert daily_figures.sum_days() == []
        event = "SELECT id, 99, %s, 'failed', 'fault' FROM delivery"
        late.execute(f"INSERT INTO event (delivery_id, step, at, state, cause) {event}", (today,))
        assert daily_figures.sum_days() == []
        other.commit()
        # Of the next day: it keeps nobody from summing this one.
        late.execute("SELECT 1")
        before = daily_figures.transitions()
        other.commit()
    assert daily_figures.sum_days() == [today.date()]
    assert daily_figures.transitions() == before
    assert before["fault", "failed", ""] == 1


def test_of_two_who_sum_at_once_each_figure_is_stored_once(postgres: str, clock: Clock) -> None:
    three_days(clock)
    transitions = daily_figures.transitions()
    together = threading.Barrier(3)

    def sum_days() -> None:
        together.wait(10)
        daily_figures.sum_days()

    threads = [in_a_thread(sum_days) for _ in range(3)]
    for thread in threads:
        thread.join()
    assert daily_figures.transitions() == transitions
    assert len(sums()) == len({row[:-1] for row in sums()})


def test_a_day_that_is_summed_while_a_total_is_read_counts_once(
    sqlite: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    three_days(clock)
    transitions, asked = daily_figures.transitions(), daily_figures._summed_until

    def asked_and_then_summed() -> dt.datetime:
        since = asked()
        with monkeypatch.context() as patched:
            patched.setattr(daily_figures, "_summed_until", asked)
            assert len(daily_figures.sum_days()) == 2
        return since

    monkeypatch.setattr(daily_figures, "_summed_until", asked_and_then_summed)
    assert daily_figures.transitions() == transitions


def test_the_sweep_sums_them(sqlite: str, clock: Clock) -> None:
    skipped()
    sweep.sweep()
    assert DailyFigure.select().count() == 0
    clock.tick(86_400)
    sweep.sweep()
    assert DailyFigure.select().count() == 2


def three_days(clock: Clock) -> None:
    """Let three deliveries be greylisted, and then accepted, each on a day of its own; stand on the last evening."""
    for day in (2, 3, 4):
        clock.set(2026, 6, day, 14)
        delivery = a_delivery(State.SENDING, account=an_account(), token=f"claim {day}", step=1)
        one = Delivery.id == delivery.id
        transition(State.SENDING, State.READY, one, cause=Cause.DELIVER, reason="greylisted")
        an_attempt(Outcome.FAILED, "recipient", delivery)
        clock.tick(3600)
        transition(State.READY, State.SENT, one, cause=Cause.DELIVER, reason=Reason.ACCEPTED)
        an_attempt(Outcome.ACCEPTED, "nobody", delivery)
    clock.set(2026, 6, 4, 20)


def skipped() -> None:
    delivery = a_delivery(State.SELECTED)
    transition(State.SELECTED, State.SKIPPED, Delivery.id == delivery.id, cause=Cause.DEDUPE, reason=Reason.IN_FLIGHT)


def an_attempt(outcome: Outcome, charged_to: str | None, delivery: Delivery | None = None) -> Attempt:
    its = {"delivery": delivery or a_delivery(State.SENT), "account": an_account()}
    return Attempt.create(**its, outcome=outcome, charged_to=charged_to, finished_at=daily_figures.database.now())


def sums() -> list[tuple[object, ...]]:
    columns = [field for field in DailyFigure._meta.sorted_fields if field.name != "id"]
    return list(DailyFigure.select(*columns).order_by(*columns).tuples())


def by_hand() -> list[tuple[dt.date, int]]:
    """Return each row of a day that is over, as its day and 1."""
    days = [event.at.date() for event in Event.select()]
    days += [a.finished_at.date() for a in Attempt.select().where(Attempt.outcome.in_(["accepted", "failed"]))]
    return [(day, 1) for day in days if day < dt.date(2026, 6, 4)]
