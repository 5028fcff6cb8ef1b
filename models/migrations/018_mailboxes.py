"""Mailboxes: where an account's mail is read, what has been looked at, and copies of what was sent."""

import peewee
from peewee_migrate import Migrator

TYPES = {"postgresql": "id SERIAL NOT NULL PRIMARY KEY", "sqlite": "id INTEGER NOT NULL PRIMARY KEY"}

_OF_ACCOUNT = "account_id INTEGER NOT NULL"
_REFERS = "FOREIGN KEY (account_id) REFERENCES smtp_account (id)"
_OF_DELIVERY = "delivery_id INTEGER NOT NULL"
_REFERS_TO_DELIVERY = "FOREIGN KEY (delivery_id) REFERENCES delivery (id)"

STATEMENTS = (
    "ALTER TABLE smtp_account ADD COLUMN imap_host TEXT",
    "ALTER TABLE smtp_account ADD COLUMN imap_port INTEGER",
    "ALTER TABLE smtp_account ADD COLUMN imap_security TEXT",
    "ALTER TABLE smtp_account ADD COLUMN imap_username TEXT",
    "ALTER TABLE smtp_account ADD COLUMN imap_password TEXT",
    "ALTER TABLE smtp_account ADD COLUMN imap_token_command TEXT",
    "ALTER TABLE smtp_account ADD COLUMN imap_token_file TEXT",
    "ALTER TABLE smtp_account ADD COLUMN save_sent BOOLEAN NOT NULL DEFAULT FALSE",
    "ALTER TABLE smtp_account ADD COLUMN save_sent_since TIMESTAMPTZ",
    "ALTER TABLE smtp_account ADD COLUMN person_wrote_at TIMESTAMPTZ",
    f"CREATE TABLE mailbox ({{id}}, {_OF_ACCOUNT}, place TEXT, holder TEXT, held_until TIMESTAMPTZ, "
    "read_at TIMESTAMPTZ, look_at TIMESTAMPTZ, error TEXT, error_at TIMESTAMPTZ, failures INTEGER NOT NULL, keeps_sent_at TIMESTAMPTZ, "
    f"{_REFERS})",
    "CREATE UNIQUE INDEX mailbox_account_id ON mailbox (account_id)",
    f"CREATE TABLE mailbox_folder ({{id}}, {_OF_ACCOUNT}, name TEXT NOT NULL, role TEXT NOT NULL, "
    "uid_validity BIGINT NOT NULL, next_uid BIGINT NOT NULL, mod_seq BIGINT NOT NULL, error TEXT, "
    f"{_REFERS})",
    "CREATE UNIQUE INDEX mailbox_folder_account_id_name ON mailbox_folder (account_id, name)",
    f"CREATE TABLE sent_look ({{id}}, {_OF_DELIVERY}, looked_at TIMESTAMPTZ NOT NULL, {_REFERS_TO_DELIVERY})",
    "CREATE UNIQUE INDEX sent_look_delivery_id ON sent_look (delivery_id)",
    f"CREATE TABLE sent_copy ({{id}}, {_OF_DELIVERY}, state TEXT NOT NULL, at TIMESTAMPTZ NOT NULL, "
    f"{_REFERS_TO_DELIVERY})",
    "CREATE UNIQUE INDEX sent_copy_delivery_id ON sent_copy (delivery_id)",
)


def migrate(migrator: Migrator, database: peewee.Database, *, fake: bool = False) -> None:
    """Add the columns and the tables. (The version before, which may be at work still, reads no mailbox.)"""
    number = TYPES["sqlite" if isinstance(database, peewee.SqliteDatabase) else "postgresql"]
    for statement in STATEMENTS:
        migrator.sql(statement.format(id=number))
