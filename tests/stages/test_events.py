"""Every change of a delivery's state is a row: whoever makes it, and of deliveries from before there were such rows."""

from __future__ import annotations

import datetime as dt

import peewee
import pytest

from models import (
    Attempt,
    Cause,
    Delivery,
    Event,
    Outcome,
    Reason,
    State,
    database,
    schema,
    transition,
    transition_of,
)
from models.control import Action, record_action
from models.database import db, is_postgres
from models.delivery import of_ids
from models.states import IllegalTransitionError
from tests.builders import a_contact, a_delivery, a_template, an_account, history_of
from tests.conftest import Clock


def test_a_set_is_moved_in_one_update_and_told_in_one_insert(
    any_database: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = [an_account(), an_account()]
    deliveries = [a_delivery(), a_delivery()]
    account_of = {d.id: a.id for d, a in zip(deliveries, accounts, strict=True)}
    statements: list[str] = []
    execute = db.obj.execute_sql
    monkeypatch.setattr(db.obj, "execute_sql", lambda sql, *rest: statements.append(sql) or execute(sql, *rest))

    moved = transition(State.READY, State.RESERVED, of_ids(account_of), cause=Cause.RESERVE, account=account_of)

    assert [sql.split()[0] for sql in statements] == ["UPDATE", "INSERT"]
    told = [(e.delivery_id, e.origin, e.state, e.cause, e.account_id, e.at) for e in last_events(moved)]
    assert told == [(i, "ready", "reserved", "reserve", a, clock.at) for i, a in account_of.items()]


def test_a_row_that_is_locked_and_known_is_moved_as_by_its_condition(any_database: str, clock: Clock) -> None:
    slot = {"account": an_account(), "send_at": clock.at, "token": "slot"}
    by_condition, known = (a_delivery(State.RESERVED, **slot) for _ in range(2))
    about = {"cause": Cause.DELIVER, "reason": "accepted", "account": slot["account"].id, "reply_code": 250}
    for to in (State.SENDING, State.SENT):
        origin = State(Delivery.get_by_id(known.id).state)
        transition(origin, to, of_ids([by_condition.id]), **about, detail="words")
        with database.transaction():
            transition_of(Delivery.get_by_id(known.id), to, at=clock.at, **about, detail="words")
    first, second = (Delivery.get_by_id(d.id).__data__ | OWN for d in (by_condition, known))
    assert first == second
    first, second = ([e.__data__ | OWN for e in history_of([d.id])] for d in (by_condition, known))
    assert first == second


def test_a_row_that_is_not_as_it_was_read_is_not_moved_and_takes_the_transaction_back(any_database: str) -> None:
    delivery, account = a_delivery(), an_account()
    transition(State.READY, State.CANCELLED, of_ids([delivery.id]), cause=Cause.CANCEL)

    def move() -> None:
        with database.transaction():
            record_action("me", "look", "delivery 1", delivery.created_at, "")
            transition_of(delivery, State.RESERVED, cause=Cause.RESERVE, account=account.id, at=delivery.created_at)

    with pytest.raises(peewee.IntegrityError):
        move()
    assert (Delivery.get().state, len(history_of([delivery.id])), Action.select().count()) == ("cancelled", 2, 0)
    with pytest.raises(IllegalTransitionError):
        transition_of(delivery, State.SENDING, cause=Cause.DELIVER, account=account.id, at=delivery.created_at)


def test_a_change_that_is_rolled_back_leaves_no_event_and_tells_the_log_nothing(any_database: str) -> None:
    delivery = a_delivery()
    told: list[str] = []

    def cancel_and_fail() -> None:
        with database.transaction():
            transition(State.READY, State.CANCELLED, of_ids([delivery.id]), cause=Cause.CANCEL, reason=Reason.CANCELLED)
            database.after_commit(lambda: told.append("rolled back"))
            raise ValueError("odd")

    with pytest.raises(ValueError, match="odd"):
        cancel_and_fail()
    assert (Delivery.get().state, len(history_of([delivery.id])), told) == (State.READY, 1, [])

    with database.transaction():
        with pytest.raises(ValueError, match="odd"):
            cancel_and_fail()
        database.after_commit(lambda: told.append("kept"))
        assert told == []
    assert told == ["kept"]


def test_whoever_writes_a_state_by_hand_has_its_event_written_by_the_database(any_database: str) -> None:
    delivery = a_delivery(State.READY)
    with database.transaction():
        db.execute_sql("UPDATE delivery SET state = 'reserved'")
        db.execute_sql("UPDATE delivery SET state = 'reserved', priority = 3")
        db.execute_sql("UPDATE delivery SET state = 'failed', reason = 'fault'")
    transition(State.FAILED, State.READY, of_ids([delivery.id]), cause=Cause.REPLAY)
    told = [(e.origin, e.state, e.reason, e.cause) for e in history_of([delivery.id])]
    assert told == [
        (None, "ready", None, "outside"),
        ("ready", "reserved", None, "outside"),
        ("reserved", "failed", "fault", "outside"),
        ("failed", "ready", None, "replay"),
    ]


def test_a_step_of_a_delivery_is_told_once(any_database: str) -> None:
    delivery = a_delivery()
    (event,) = history_of([delivery.id])
    with pytest.raises(peewee.IntegrityError):
        Event.create(delivery=delivery, step=event.step, at=event.at, state=State.SENT, cause=Cause.OUTSIDE)


@pytest.mark.parametrize("state", State)
def test_a_delivery_of_the_version_before_gets_the_events_that_its_row_still_tells(
    any_database: str, clock: Clock, state: State
) -> None:
    reason = {State.SKIPPED: "in_flight", State.BOUNCED: "recipient_refused", State.FAILED: "fault"}.get(state)
    account = an_account()
    held = {"account": account, "token": "now"} if state in (State.RESERVED, State.SENDING, State.IN_DOUBT) else {}
    delivery = a_delivery(state, reason=reason, updated_at=clock.at + 9 * HOUR, **held)
    failed = an_attempt(delivery, Outcome.FAILED, clock.at + HOUR, claimed=False)
    claimed = an_attempt(delivery, OUTCOME_OF[state], clock.at + 2 * HOUR) if state in OUTCOME_OF else None
    others = [a_delivery(State.SELECTED, contact=a_contact(), template=a_template()) for _ in range(2)]
    without_events()

    assert schema.migrate() == ["003_events"]

    went = [(e.step, e.origin, e.state) for e in history_of([delivery.id])]
    states = [s for _, _, s in went]
    assert went == [(n, origin, s) for n, (origin, s) in enumerate(zip([None, *states], states, strict=False), 1)]
    went_back = claimed is not None or state in (State.READY, State.RESERVED, State.SKIPPED, State.CANCELLED)
    expected = ["selected", *(["ready"] if went_back else []), *(["sending"] if claimed else []), state]
    assert states == list(dict.fromkeys(expected))
    assert Delivery.get_by_id(delivery.id).step == len(went)
    assert {e.attempt_id for e in history_of([delivery.id]) if e.state in ("sending", "sent")} <= {
        claimed.id if claimed else failed.id
    }
    assert [[e.state for e in history_of([d.id])] for d in others] == [["selected"], ["selected"]]
    # and goes on from there
    transition(State.SELECTED, State.CLEARED, of_ids([others[0].id]), cause=Cause.DEDUPE)
    assert [e.step for e in history_of([others[0].id])] == [1, 2]


HOUR = dt.timedelta(hours=1)
OUTCOME_OF = {State.SENDING: Outcome.OPEN, State.IN_DOUBT: Outcome.IN_DOUBT, State.SENT: Outcome.ACCEPTED}


#: What two deliveries have that are alike otherwise.
OWN = dict.fromkeys(
    ("id", "contact", "template", "recipient", "address", "source", "created_at", "attempts_since", "delivery")
)


def last_events(delivery_ids: list[int]) -> list[Event]:
    """Return the last event of each delivery."""
    return [history_of([i])[-1] for i in delivery_ids]


def an_attempt(delivery: Delivery, outcome: Outcome, at: dt.datetime, *, claimed: bool = True) -> Attempt:
    """Store an attempt that ended at `at`, or is open since."""
    account = delivery.account or an_account()
    finished_at = at if outcome in (Outcome.ACCEPTED, Outcome.FAILED) else None
    values = {"token": f"{outcome} {delivery.id}", "claimed_at": at, "local_on": at.date()} if claimed else {}
    return Attempt.create(delivery=delivery, account=account, outcome=outcome, finished_at=finished_at, **values)


def without_events() -> None:
    """Bring the tables back to the version before."""
    for trigger in ("delivery_first_event", "delivery_next_event"):
        db.execute_sql(f"DROP TRIGGER {trigger}" + (" ON delivery" if is_postgres() else ""))
        if is_postgres():
            db.execute_sql(f"DROP FUNCTION {trigger}")
    db.execute_sql("DROP TABLE event")
    db.execute_sql("ALTER TABLE delivery DROP COLUMN step")
    db.execute_sql("DELETE FROM migratehistory WHERE name = '003_events'")
