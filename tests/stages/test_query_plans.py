"""With thousands of enrolments, no statement of what runs again and again reads a table as a whole."""

from __future__ import annotations

from typing import Any

import peewee
import pytest

from models.database import db
from pipeline import reserve_slot
from pipeline.campaigns import picking
from pipeline.capacity.room import room
from pipeline.inbound.record import record
from pipeline.reports import backlog, contacts, dead_letters, doubt, log, story
from pipeline.select_contacts import select_steps
from pipeline.watch import alarm
from tests.conftest import Clock
from tests.inbound_mails import a_bounce, an_answer, raw
from tests.waiting_campaigns import fill

#: What grows with the contacts.
LARGE = {"contact", "delivery", "enrolment", "list_member"}


def test_nothing_that_runs_again_and_again_reads_a_large_table_as_a_whole(
    postgres: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(NUMBER, clock.at)
    statements: list[tuple[str, Any]] = []
    execute = peewee.Database.execute_sql

    def watched(self: Any, sql: str, params: Any = None, *rest: Any, **options: Any) -> Any:
        statements.append((sql, params))
        return execute(self, sql, params, *rest, **options)

    with monkeypatch.context() as patched:
        patched.setattr(peewee.Database, "execute_sql", watched)
        picking.prepare(clock.at)
        picked = picking.pick(room(clock.at), clock.at)
        select_steps(picked, source="a test")
        reserve_slot.reserve()
        for mail in (an_answer("<1@x.test>"), a_bounce("<1@x.test>", to="nobody@x.test")):
            record(raw(mail), clock.at.date())
        alarm.look()
        backlog.backlog()
        dead_letters.dead_letters(limit=50)
        doubt.in_doubt(limit=50)
        contacts.with_address("p@site7.test")
        story.story(7, 50)
        log.page(50)

    assert picked
    read = {sql: read_as_a_whole(sql, params) for sql, params in statements if sql.startswith(EXPLAINED)}
    assert {sql: tables for sql, tables in read.items() if tables & LARGE} == {}


#: Rows of contacts and of enrolments: so many that a plan which reads them all is worse than any other.
NUMBER = 20_000


#: What begins so has a plan.
EXPLAINED = ("SELECT", "(SELECT", "WITH", "INSERT", "UPDATE", "DELETE")


def read_as_a_whole(sql: str, params: Any) -> set[str]:
    """Return the tables that the plan of a statement reads from beginning to end."""
    ((plan,),) = db.execute_sql(f"EXPLAIN (FORMAT JSON) {sql}", params).fetchall()
    found, waiting = set(), [plan[0]["Plan"]]
    while waiting:
        node = waiting.pop()
        waiting += node.get("Plans", [])
        if node["Node Type"] == "Seq Scan":
            found.add(node["Relation Name"])
    return found
