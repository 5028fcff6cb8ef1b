"""Conversations: a delivery can follow another, and the Message-ID that a provider gave a mail is kept."""

import peewee
from peewee_migrate import Migrator

STATEMENTS = (
    "ALTER TABLE delivery ADD COLUMN wire_message_id TEXT",
    # No conversation is a circle.
    "ALTER TABLE delivery ADD COLUMN follows_id INTEGER REFERENCES delivery (id) CHECK (follows_id < id)",
    "ALTER TABLE delivery ADD COLUMN quotes BOOLEAN NOT NULL DEFAULT FALSE",
    "ALTER TABLE delivery ADD COLUMN reply_prefix BOOLEAN NOT NULL DEFAULT FALSE",
    "CREATE INDEX delivery_follows ON delivery (follows_id) WHERE follows_id IS NOT NULL",
)


def migrate(migrator: Migrator, database: peewee.Database, *, fake: bool = False) -> None:
    """Add the columns and the index. (The version before, which may be at work still, makes none that follows.)"""
    for statement in STATEMENTS:
        migrator.sql(statement)
