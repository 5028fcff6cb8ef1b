"""Keys of the program's own. And the hash of a forgotten person stands in one place, the suppression list: contact and
deliveries get the placeholder that the contact's e-mail has.

The hashes themselves get their key where SECRET_KEY is: `pipeline.operations.forget.bring_up_to_date`.
"""

import peewee
from peewee_migrate import Migrator

TYPES = {"postgresql": "id SERIAL NOT NULL PRIMARY KEY", "sqlite": "id INTEGER NOT NULL PRIMARY KEY"}

STATEMENTS = (
    "CREATE TABLE stored_key ({id}, purpose TEXT NOT NULL, wrapped TEXT NOT NULL, created_at TIMESTAMPTZ NOT NULL)",
    "CREATE UNIQUE INDEX stored_key_purpose ON stored_key (purpose)",
    "UPDATE contact SET address = 'forgotten-' || id || '@forgotten.invalid' WHERE forgotten_at IS NOT NULL",
    "UPDATE delivery SET address = 'forgotten-' || contact_id || '@forgotten.invalid' "
    "WHERE contact_id IN (SELECT id FROM contact WHERE forgotten_at IS NOT NULL)",
)


def migrate(migrator: Migrator, database: peewee.Database, *, fake: bool = False) -> None:
    """Make the table, and take the hash out of contacts and deliveries."""
    number = TYPES["sqlite" if isinstance(database, peewee.SqliteDatabase) else "postgresql"]
    for statement in STATEMENTS:
        migrator.sql(statement.format(id=number))
