"""Attachments: the bytes of files, stored once by their SHA-256, and which template has which."""

import peewee
from peewee_migrate import Migrator

TYPES = {
    "postgresql": {"id": "id SERIAL NOT NULL PRIMARY KEY", "blob": "BYTEA"},
    "sqlite": {"id": "id INTEGER NOT NULL PRIMARY KEY", "blob": "BLOB"},
}

STATEMENTS = (
    "CREATE TABLE stored_file ({id}, digest TEXT NOT NULL, size INTEGER NOT NULL, data {blob} NOT NULL)",
    "CREATE UNIQUE INDEX stored_file_digest ON stored_file (digest)",
    "CREATE TABLE attachment ({id}, template_id INTEGER NOT NULL, digest TEXT NOT NULL, name TEXT NOT NULL, "
    "type TEXT NOT NULL, cid TEXT, position INTEGER NOT NULL, "
    "FOREIGN KEY (template_id) REFERENCES email_template (id), FOREIGN KEY (digest) REFERENCES stored_file (digest))",
    "CREATE INDEX attachment_digest ON attachment (digest)",
    "CREATE UNIQUE INDEX attachment_template_id_name ON attachment (template_id, name)",
    "CREATE UNIQUE INDEX attachment_template_id_cid ON attachment (template_id, cid)",
)


def migrate(migrator: Migrator, database: peewee.Database, *, fake: bool = False) -> None:
    """Make the tables."""
    types = TYPES["sqlite" if isinstance(database, peewee.SqliteDatabase) else "postgresql"]
    for statement in STATEMENTS:
        migrator.sql(statement.format(**types))
