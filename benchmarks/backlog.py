"""What the throttle, the claim and the batch publisher cost with a thousand and with a million waiting.

Each in milliseconds and as a ratio to the raw limit of the same run: one round trip to the same database (`SELECT 1`).
A cost that grew with what waits would show in the last column. Medians, on a database that is dropped at the end. Half
of what waits is not to be seen: its template is paused, or on its contact's clock the window is closed.

    python -m benchmarks.backlog [--rows 1000000] [--database sqlite] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
from rich.console import Console
from rich.table import Table

from models import Attempt, Cause, Control, Delivery, EmailTemplate, State, database, schema
from models.database import db
from pipeline import reserve_slot
from pipeline.capacity import slots
from pipeline.delivery import claim
from pipeline.rules import eligible
from pipeline.runtime import logs
from tests import builders, servers

SMALL = 1_000
ACCOUNTS = 40
ROUNDS = 30
#: The hour in which it is measured: 10:00 in New York. In London the window has closed.
NOW = dt.datetime(2026, 6, 2, 17, 0, tzinfo=dt.UTC)

_WEBSITES = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2 * {rows})
INSERT INTO website (id, domain, title, meets_requirements, extra, created_at, updated_at)
SELECT i, 'site' || i || '.test', '', {true}, '{{}}', {now}, {now} FROM n
"""
_CONTACTS = """
INSERT INTO contact (email, address, address_valid, name, website_id, priority, timezone, validated, extra, created_at,
                     updated_at)
SELECT 'p@' || domain, 'p@' || domain, {true}, '', id, id - id / 5 * 5,
       CASE WHEN id - id / 8 * 8 = 2 THEN 'Europe/London' END, {true}, '{{}}', {now}, {now} FROM website
"""
_DELIVERIES = """
INSERT INTO delivery (contact_id, website_id, template_id, recipient, address, timezone, priority, state, subject, text,
                      attempts, attempts_since, source, created_at, updated_at)
SELECT id, website_id, CASE WHEN id - id / 8 * 8 = 4 THEN 1 ELSE 2 END, email, address, COALESCE(timezone, ''),
       priority, 'ready', 'Hello', 'Dear reader', 0, {now}, 'bench', {now}, {now} FROM contact WHERE id - id / 2 * 2 = 0
"""


@contextlib.contextmanager
def a_database(kind: str) -> Iterator[None]:
    """Bind the models to an empty database of this kind."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as directory, _bound(f"sqlite:///{directory}/slowpost.db"):
            yield
        return
    name = f"slowpost_bench_{os.getpid()}"
    with servers.postgres() as url, contextlib.closing(psycopg2.connect(url)) as admin:
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
            try:
                with _bound(f"{url.rpartition('/')[0]}/{name}"):
                    yield
            finally:
                cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextlib.contextmanager
def _bound(url: str) -> Iterator[None]:
    database.connect(url)
    with database.connection():
        schema.migrate()
        yield
    if database.is_postgres():
        db.obj.close_all()


def fill(rows: int) -> None:
    """Store accounts, two templates (one paused), and contacts, every second of whom has a delivery that waits."""
    builders.a_template(paused_at=NOW)
    builders.a_template()
    for _ in range(ACCOUNTS):
        builders.an_account(daily_limit=10)
    now = "TIMESTAMPTZ '2026-06-02 12:00Z'" if database.is_postgres() else "'2026-06-02 12:00:00.000000'"
    true = "true" if database.is_postgres() else "1"
    for statement in (_WEBSITES, _CONTACTS, _DELIVERIES):
        db.execute_sql(statement.format(rows=rows, now=now, true=true))
    db.execute_sql("ANALYZE")
    if not database.is_postgres():
        db.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def median(do: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """Return the median of the seconds that `do` takes; `before` is not counted."""
    times = []
    for _ in range(ROUNDS):
        before()
        started = time.perf_counter()
        do()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def free_one() -> None:
    """Take the soonest slot back by sending what holds it, so that an account is free."""
    holder = Delivery.select().where(Delivery.state == State.RESERVED).order_by(Delivery.send_at).first()
    Attempt.insert(
        delivery=holder, account=holder.account_id, outcome="accepted", claimed_at=NOW, finished_at=NOW,
        local_on=NOW.date(), charged_to="nobody",
    ).execute()  # fmt: skip
    Delivery.update(state=State.SENT, sent_at=NOW, account=None, token=None).where(Delivery.id == holder.id).execute()


def slot_for_claim() -> Delivery:
    """Return a delivery whose slot is due, after a claim of it has been undone."""
    Delivery.update(state=State.RESERVED).where(Delivery.state == State.SENDING).execute()
    Attempt.delete().where(Attempt.outcome == "open").execute()
    found: Delivery = Delivery.select().where(Delivery.state == State.RESERVED).order_by(Delivery.send_at).get()
    return found


def measure(rows: int) -> dict[str, float]:
    """Return seconds of each operation with so many deliveries that wait, and twice as many contacts."""
    fill(rows)
    reserve_slot.reserve()
    Control.update(advanced_at=NOW + dt.timedelta(days=1)).execute()
    template = EmailTemplate.get_by_id(2)
    found = {
        "round trip": median(lambda: db.execute_sql("SELECT 1").fetchone()),
        "a trigger that changes nothing": median(reserve_slot.reserve),
        "a trigger that gives a slot": median(reserve_slot.reserve, free_one),
    }
    held: list[Delivery] = []
    found["a claim"] = median(
        lambda: claim.claim(held[-1].id, held[-1].token, held[-1].account_id), lambda: held.append(slot_for_claim())
    )
    slot_for_claim()
    found["a pause of an account, undone"] = median(_pause)
    found["a batch of 100 picked, every second contact passed over"] = median(
        lambda: eligible.eligible(template, 100, 0)
    )
    return found


def _pause() -> None:
    with database.transaction():
        slots.give_back(Cause.PAUSE, account_ids=[ACCOUNTS])


def main() -> int:
    """Measure both kinds of database, small and large, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--database", choices=("postgresql", "sqlite"), action="append")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    logs.configure(level=logging.WARNING)
    database.now = lambda: NOW
    rows: list[dict[str, Any]] = []
    for kind in given.database or ("postgresql", "sqlite"):
        seconds = {}
        for size in (SMALL, given.rows):
            with a_database(kind):
                seconds[size] = measure(size)
        small, large = seconds.values()
        for name in small:
            rows.append(
                {
                    "database": kind,
                    "operation": name,
                    f"ms_{SMALL}": round(small[name] * 1000, 2),
                    f"ms_{given.rows}": round(large[name] * 1000, 2),
                    f"round_trips_{SMALL}": round(small[name] / small["round trip"], 1),
                    f"round_trips_{given.rows}": round(large[name] / large["round trip"], 1),
                    "growth": round(large[name] / small[name], 2),
                }
            )
    tell(rows, as_json=given.json)
    return 0


def tell(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """Print rows with the same keys as JSON or as a table."""
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    table = Table(box=None, header_style="bold")
    for heading in rows[0]:
        table.add_column(heading.replace("_", " "), justify="left" if heading in ("database", "operation") else "right")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=140, highlight=False).print(table)


if __name__ == "__main__":
    sys.exit(main())
