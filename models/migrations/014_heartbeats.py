"""Heartbeats: which processes live, what they wait for, and when the schedule's jobs last ran; and the alerts about that
which are open.
"""

import peewee
from peewee_migrate import Migrator

TYPES = {"postgresql": "id SERIAL NOT NULL PRIMARY KEY", "sqlite": "id INTEGER NOT NULL PRIMARY KEY"}

STATEMENTS = (
    "CREATE TABLE heartbeat ({id}, process TEXT NOT NULL, kind TEXT NOT NULL, since TIMESTAMPTZ NOT NULL, "
    "beat_at TIMESTAMPTZ NOT NULL, waits_for TEXT, waits_since TIMESTAMPTZ, reason TEXT, stopped_at TIMESTAMPTZ)",
    "CREATE UNIQUE INDEX heartbeat_process ON heartbeat (process)",
    "CREATE TABLE open_alert ({id}, what TEXT NOT NULL, since TIMESTAMPTZ NOT NULL, told_at TIMESTAMPTZ NOT NULL)",
    "CREATE UNIQUE INDEX open_alert_what ON open_alert (what)",
)


def migrate(migrator: Migrator, database: peewee.Database, *, fake: bool = False) -> None:
    """Add the tables. (The version before, which may be at work still, says nothing there.)"""
    number = TYPES["sqlite" if isinstance(database, peewee.SqliteDatabase) else "postgresql"]
    for statement in STATEMENTS:
        migrator.sql(statement.format(id=number))
