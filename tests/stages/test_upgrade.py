"""A database of the version before campaigns, with deliveries in every state, is opened by this one: all goes on."""

# ruff: noqa: S608  (what stands in the statements are the tests' own names)
from __future__ import annotations

import datetime as dt
from typing import Any

from psycopg2.extras import Json

from models import (
    TABLES,
    Attempt,
    ChargedTo,
    Contact,
    DeadLetter,
    Delivery,
    EmailTemplate,
    Enrolment,
    Outcome,
    SmtpAccount,
    State,
    schema,
)
from models.database import db, is_postgres
from pipeline import sweep
from pipeline.operations import decisions
from schedules import publish_batch
from tests.accelerated import Accelerated
from tests.builders import a_delivery, a_template, an_account
from tests.conftest import Clock
from tests.smtp_server import ScriptedServer

#: The last migration of the version before, and those of this one.
BEFORE = "006_keys"
SINCE = [
    "007_lists",
    "008_attachments",
    "009_threads",
    "010_campaigns",
    "011_bounces",
    "012_consent",
    "013_signatures",
    "014_heartbeats",
    "015_inbox",
    "016_daily_figures",
    "017_timeline",
    "018_mailboxes",
    "019_sight",
]
#: What had tables then, those that are referred to first.
HAD_TABLES = (SmtpAccount, EmailTemplate, Contact, Delivery, Attempt, DeadLetter)
#: Columns that the database fills in.
DERIVED = {"transaction_at"}


def test_what_was_there_before_campaigns_goes_on_without_one(
    any_database: str, clock: Clock, server: ScriptedServer
) -> None:
    deliveries = in_every_state(server.port, clock.at)
    taken_back_to_the_version_before()
    states, events = told("SELECT id, state, reason, account_id, send_at, token FROM delivery"), told(EVENTS)
    assert len(states) == len(events) == len(State)

    assert schema.migrate() == SINCE

    assert told("SELECT id, state, reason, account_id, send_at, token FROM delivery") == states
    assert told(EVENTS) == events
    columns = "campaign_id, enrolment_id, position, sender_id, follows_id, lane, quotes"
    assert {row[1:] for row in told(f"SELECT id, {columns} FROM delivery")} == {
        (None, None, None, None, None, "10000000000:10000000000:", False)
    }

    run = Accelerated(clock)
    run.put(*sweep.refill())
    run.run(clock.at + dt.timedelta(hours=6))
    decisions.resolve_sent(deliveries[State.IN_DOUBT], "me")
    letter_id = DeadLetter.get().id
    run.put(*decisions.replay(letter_id, "me", put_back=lambda *_: None).handoffs)
    run.put(*publish_batch.publish().handoffs)
    run.run(clock.at + dt.timedelta(hours=22))

    ends = {state: Delivery.get_by_id(i).state for state, i in deliveries.items()}
    # With a file nobody else is at work: what was claimed is in doubt.
    claimed = State.SENDING if is_postgres() else State.IN_DOUBT
    stays = {state: state for state in (State.SENT, State.SKIPPED, State.BOUNCED, State.CANCELLED)}
    assert ends == dict.fromkeys(State, State.SENT) | stays | {State.SENDING: claimed}
    # Selected, cleared, ready and reserved ones, the replayed one, and whom the publisher has picked: the skipped one.
    assert len(server.mails) == 6
    assert (Enrolment.select().count(), Delivery.select().where(Delivery.campaign.is_null(False)).count()) == (0, 0)


EVENTS = "SELECT delivery_id, step, origin, state, reason, cause, account_id FROM event"


def in_every_state(port: int, now: dt.datetime) -> dict[State, int]:
    """Store a delivery in each state, with what belongs to it; return their ids."""
    template = a_template()
    accounts = {state: an_account(port=port) for state in (State.RESERVED, State.SENDING, State.IN_DOUBT)}
    unrendered = {"subject": None, "text": None}
    slot = {"account": accounts[State.RESERVED], "send_at": now, "token": "slot", "message_id": "<1@x.test>"}
    values: dict[State, dict[str, Any]] = {
        State.SELECTED: unrendered,
        State.CLEARED: unrendered,
        State.RESERVED: slot,
        State.SENDING: {"account": accounts[State.SENDING], "send_at": now, "token": "claim"},
        State.IN_DOUBT: {"account": accounts[State.IN_DOUBT], "send_at": now, "token": "doubt", "reason": "no_outcome"},
        State.SENT: {"sent_at": now, "reason": "accepted", "recorded_at": now},
        State.SKIPPED: {"reason": "not_validated"},
        State.BOUNCED: {"reason": "recipient_refused", "recorded_at": now},
        State.FAILED: {"reason": "content_refused", "recorded_at": now},
        State.CANCELLED: {"reason": "cancelled"},
    }
    made = {state: a_delivery(state, template=template, **values.get(state, {})) for state in State}
    claimed = {"local_on": now.date(), "claimed_at": now}
    of = {
        State.SENDING: {"token": "claim", "outcome": Outcome.OPEN, **claimed},
        State.IN_DOUBT: {"token": "doubt", "outcome": Outcome.IN_DOUBT, **claimed},
        State.SENT: {"outcome": Outcome.ACCEPTED, "finished_at": now, **claimed},
        State.FAILED: {"outcome": Outcome.FAILED, "charged_to": ChargedTo.CONTENT, "finished_at": now},
    }
    for state, attempt in of.items():
        Attempt.create(delivery=made[state], account=accounts.get(state, accounts[State.RESERVED]), **attempt)
    DeadLetter.create(kind="delivery", delivery=made[State.FAILED], reason="content_refused", created_at=now)
    return {state: delivery.id for state, delivery in made.items()}


def taken_back_to_the_version_before() -> None:
    """Put the rows that are there into tables as the version before had them, whose triggers write their events."""
    rows = {model: rows_of(model) for model in HAD_TABLES}
    if is_postgres():
        db.execute_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    else:
        db.drop_tables(TABLES)
        db.execute_sql("DROP TABLE migratehistory")
    assert schema._router().run(BEFORE)[-1] == BEFORE
    for model in HAD_TABLES:
        had = {column.name for column in db.get_columns(_name(model))} - DERIVED
        for row in rows[model]:
            values = {n: Json(v) if isinstance(v, dict) else v for n, v in row.items() if n in had}
            places = ", ".join(["%s" if is_postgres() else "?"] * len(values))
            insert = f"INSERT INTO {_name(model)} ({', '.join(values)}) VALUES ({places})"
            db.execute_sql(insert, list(values.values()))
        if is_postgres():
            db.execute_sql(f"SELECT setval('{_name(model)}_id_seq', 1000)")


def rows_of(model: Any) -> list[dict[str, Any]]:
    """Return a table's rows as the database has them."""
    cursor = db.execute_sql(f"SELECT * FROM {_name(model)} ORDER BY id")
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def told(query: str) -> list[tuple[Any, ...]]:
    """Return rows in their order."""
    return sorted(tuple(row) for row in db.execute_sql(f"{query} ORDER BY 1").fetchall())


def _name(model: Any) -> str:
    return str(model._meta.table_name)
