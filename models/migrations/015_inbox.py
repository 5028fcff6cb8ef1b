"""The inbox: what came back by mail, which deliveries bounced late, and deliveries found by their Message-IDs."""

import peewee
from peewee_migrate import Migrator

TYPES = {"postgresql": "id SERIAL NOT NULL PRIMARY KEY", "sqlite": "id INTEGER NOT NULL PRIMARY KEY"}

STATEMENTS = (
    "CREATE TABLE inbound_mail ({id}, key TEXT NOT NULL, kind TEXT NOT NULL, delivery_id INTEGER NOT NULL, "
    "named_by TEXT NOT NULL, effect TEXT NOT NULL, evidence TEXT NOT NULL, verdict TEXT, reply_code INTEGER, "
    "enhanced_code TEXT, mailbox_id INTEGER, read_at TIMESTAMPTZ NOT NULL, "
    "FOREIGN KEY (delivery_id) REFERENCES delivery (id), FOREIGN KEY (mailbox_id) REFERENCES smtp_account (id))",
    "CREATE UNIQUE INDEX inbound_mail_key ON inbound_mail (key)",
    "CREATE INDEX inbound_mail_delivery_id ON inbound_mail (delivery_id)",
    "CREATE TABLE late_bounce ({id}, delivery_id INTEGER NOT NULL, account_id INTEGER, campaign_id INTEGER, "
    "template_id INTEGER NOT NULL, verdict TEXT NOT NULL, reason TEXT, at TIMESTAMPTZ NOT NULL, "
    "FOREIGN KEY (delivery_id) REFERENCES delivery (id), FOREIGN KEY (account_id) REFERENCES smtp_account (id), "
    "FOREIGN KEY (campaign_id) REFERENCES campaign (id), FOREIGN KEY (template_id) REFERENCES email_template (id))",
    "CREATE UNIQUE INDEX late_bounce_delivery_id ON late_bounce (delivery_id)",
    *(
        f"CREATE INDEX late_bounce_{column} ON late_bounce ({column}_id, at) WHERE reason IS NOT NULL"
        for column in ("account", "campaign", "template")
    ),
    "CREATE INDEX delivery_message_id ON delivery (message_id) WHERE message_id IS NOT NULL",
    "CREATE INDEX delivery_wire_message_id ON delivery (wire_message_id) WHERE wire_message_id IS NOT NULL",
)


def migrate(migrator: Migrator, database: peewee.Database, *, fake: bool = False) -> None:
    """Make the tables and the indexes. (The version before, which may be at work still, counts no late bounces.)"""
    number = TYPES["sqlite" if isinstance(database, peewee.SqliteDatabase) else "postgresql"]
    for statement in STATEMENTS:
        migrator.sql(statement.format(id=number))
