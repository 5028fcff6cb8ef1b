"""Lists of contacts, and tags of accounts.

The version before may be at work meanwhile: a table that refers to another waits for whoever writes there, and whoever
writes takes accounts before contacts, too.
"""

import peewee
from peewee_migrate import Migrator

TYPES = {"postgresql": "id SERIAL NOT NULL PRIMARY KEY", "sqlite": "id INTEGER NOT NULL PRIMARY KEY"}

STATEMENTS = (
    "CREATE TABLE account_tag (account_id INTEGER NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (account_id, tag), "
    "FOREIGN KEY (account_id) REFERENCES smtp_account (id))",
    "CREATE INDEX account_tag_tag ON account_tag (tag)",
    "CREATE TABLE contact_list ({id}, name TEXT NOT NULL, key TEXT NOT NULL, created_at TIMESTAMPTZ NOT NULL)",
    "CREATE UNIQUE INDEX contact_list_key ON contact_list (key)",
    "CREATE TABLE list_member (list_id INTEGER NOT NULL, contact_id INTEGER NOT NULL, PRIMARY KEY (list_id, contact_id), "
    "FOREIGN KEY (list_id) REFERENCES contact_list (id) ON DELETE CASCADE, "
    "FOREIGN KEY (contact_id) REFERENCES contact (id))",
    "CREATE INDEX list_member_contact_id ON list_member (contact_id)",
)


def migrate(migrator: Migrator, database: peewee.Database, *, fake: bool = False) -> None:
    """Make the tables."""
    number = TYPES["sqlite" if isinstance(database, peewee.SqliteDatabase) else "postgresql"]
    for statement in STATEMENTS:
        migrator.sql(statement.format(id=number))
