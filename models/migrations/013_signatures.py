"""Signatures: the keys by which an account signs its mails itself, the mails that it sends to itself, and what those have
told of who signs the headers by which people unsubscribe.
"""

import peewee
from peewee_migrate import Migrator

TYPES = {"postgresql": "id SERIAL NOT NULL PRIMARY KEY", "sqlite": "id INTEGER NOT NULL PRIMARY KEY"}

STATEMENTS = (
    "ALTER TABLE smtp_account ADD COLUMN dkim_domain TEXT",
    "ALTER TABLE smtp_account ADD COLUMN dkim_selector TEXT",
    "ALTER TABLE smtp_account ADD COLUMN dkim_key_file TEXT",
    "ALTER TABLE smtp_account ADD COLUMN dkim_ed25519_selector TEXT",
    "ALTER TABLE smtp_account ADD COLUMN dkim_ed25519_key_file TEXT",
    "ALTER TABLE smtp_account ADD COLUMN unsubscribe_covered BOOLEAN",
    "ALTER TABLE smtp_account ADD COLUMN unsubscribe_evidence TEXT",
    "ALTER TABLE smtp_account ADD COLUMN unsubscribe_learned_at TIMESTAMPTZ",
    "ALTER TABLE smtp_account ADD COLUMN unsubscribe_learned_of TEXT",
    "CREATE TABLE self_mail ({id}, account_id INTEGER NOT NULL, nonce TEXT NOT NULL, message_id TEXT NOT NULL, "
    "sent_of TEXT NOT NULL, local_on DATE NOT NULL, sent_at TIMESTAMPTZ NOT NULL, read_at TIMESTAMPTZ, "
    "FOREIGN KEY (account_id) REFERENCES smtp_account (id))",
    "CREATE UNIQUE INDEX self_mail_nonce ON self_mail (nonce)",
    "CREATE INDEX self_mail_account_id_sent_at ON self_mail (account_id, sent_at)",
)


def migrate(migrator: Migrator, database: peewee.Database, *, fake: bool = False) -> None:
    """Add the columns and the table. (The version before, which may be at work still, signs nothing, and does not count
    these mails: it sends none.)
    """
    number = TYPES["sqlite" if isinstance(database, peewee.SqliteDatabase) else "postgresql"]
    for statement in STATEMENTS:
        migrator.sql(statement.format(id=number))
