"""Sums of the days that are over; and what counts the backlog and open dead letters reads them from an index."""

import peewee
from peewee_migrate import Migrator

TYPES = {"postgresql": "id SERIAL NOT NULL PRIMARY KEY", "sqlite": "id INTEGER NOT NULL PRIMARY KEY"}

STATEMENTS = (
    "CREATE TABLE daily_figures ({id}, day DATE NOT NULL, stage TEXT NOT NULL, state TEXT NOT NULL, "
    "reason TEXT NOT NULL, outcome TEXT NOT NULL, charged_to TEXT NOT NULL, number INTEGER NOT NULL)",
    "CREATE UNIQUE INDEX daily_figures_day_stage_state_reason_outcome_charged_to ON daily_figures "
    "(day, stage, state, reason, outcome, charged_to)",
    "CREATE INDEX delivery_waits ON delivery (state, updated_at) WHERE state IN ('ready', 'in_doubt')",
    "CREATE INDEX dead_letter_open ON dead_letter (kind) WHERE resolved_at IS NULL",
)


def migrate(migrator: Migrator, database: peewee.Database, *, fake: bool = False) -> None:
    """Make the table and the indexes. The days that are over are summed by the sweep, some at a time."""
    number = TYPES["sqlite" if isinstance(database, peewee.SqliteDatabase) else "postgresql"]
    for statement in STATEMENTS:
        migrator.sql(statement.format(id=number))
