"""What is in doubt, and what was done to an account, a contact or a delivery, are found by an index."""

import peewee
from peewee_migrate import Migrator

STATEMENTS = (
    "CREATE INDEX IF NOT EXISTS delivery_in_doubt ON delivery (id) WHERE state IN ('in_doubt')",
    "CREATE INDEX IF NOT EXISTS action_subject ON action (subject, id)",
)


def migrate(migrator: Migrator, database: peewee.Database, *, fake: bool = False) -> None:
    """Add the indexes. (The version before, which may be at work still, does without them.)"""
    for statement in STATEMENTS:
        migrator.sql(statement)
