"""Consent: who has asked for no more mails, how, and for how long; and the token of each mail's own link.

The version before, which may still be at work, sends mails without such links, and takes a pause for good.
"""

import peewee
from peewee_migrate import Migrator

TYPES = {"postgresql": "id SERIAL NOT NULL PRIMARY KEY", "sqlite": "id INTEGER NOT NULL PRIMARY KEY"}

STATEMENTS = (
    "CREATE TABLE opt_out ({id}, delivery_id INTEGER NOT NULL, contact_id INTEGER NOT NULL, choice TEXT NOT NULL, "
    "way TEXT NOT NULL, made_at TIMESTAMPTZ NOT NULL, until TIMESTAMPTZ, taken_back_at TIMESTAMPTZ, "
    "FOREIGN KEY (delivery_id) REFERENCES delivery (id), FOREIGN KEY (contact_id) REFERENCES contact (id))",
    "CREATE INDEX opt_out_contact_id ON opt_out (contact_id)",
    "ALTER TABLE suppression ADD COLUMN until TIMESTAMPTZ",
    "ALTER TABLE suppression ADD COLUMN opt_out_id INTEGER",
    "CREATE INDEX suppression_opt_out ON suppression (opt_out_id) WHERE opt_out_id IS NOT NULL",
    "ALTER TABLE website ADD COLUMN opt_out_id INTEGER",
    "CREATE INDEX website_opted_out ON website (id) WHERE opt_out_id IS NOT NULL",
    "ALTER TABLE delivery ADD COLUMN unsubscribe TEXT",
)

# Whoever is at work takes its locks in this order, too, and waits.
LOCK = "LOCK TABLE website, contact, delivery, suppression IN ACCESS EXCLUSIVE MODE"


def migrate(migrator: Migrator, database: peewee.Database, *, fake: bool = False) -> None:
    """Make the table, and add the columns."""
    on_sqlite = isinstance(database, peewee.SqliteDatabase)
    if not on_sqlite:
        migrator.sql(LOCK)
    for statement in STATEMENTS:
        migrator.sql(statement.format(id=TYPES["sqlite" if on_sqlite else "postgresql"]))
