"""Refusals count: in the pace, in the day's use, and for the limits of bounces; and what a rest or a lowered limit is for.
What DNS says of contacts' domains is kept.

`transaction_at` is derived by the database, so that the version before, which may still be at work, need not know it.
"""

import peewee
from peewee_migrate import Migrator

TRANSACTION_AT = (
    "GENERATED ALWAYS AS (COALESCE(claimed_at, "
    "CASE WHEN phase IN ('mail', 'rcpt', 'data', 'body', 'dot') THEN finished_at END))"
)

STATEMENTS = (
    "ALTER TABLE attempt ADD COLUMN verdict TEXT",
    f"ALTER TABLE attempt ADD COLUMN transaction_at TIMESTAMPTZ {TRANSACTION_AT} {{storage}}",
    "DROP INDEX attempt_used_on",
    "CREATE INDEX attempt_used_on ON attempt (local_on, account_id) "
    "WHERE outcome IN ('open', 'accepted', 'in_doubt') OR charged_to IN ('recipient', 'site', 'content')",
    "DROP INDEX attempt_last_claim",
    "CREATE INDEX attempt_last_transaction ON attempt (account_id, transaction_at) WHERE transaction_at IS NOT NULL",
    "DROP INDEX attempt_health",
    "CREATE INDEX attempt_health ON attempt (account_id, id) "
    "WHERE outcome = 'accepted' OR charged_to IN ('account', 'content', 'site')",
    "ALTER TABLE smtp_account ADD COLUMN rests_after TEXT",
    "ALTER TABLE smtp_account ADD COLUMN login_refused_at TIMESTAMPTZ",
    "ALTER TABLE smtp_account ADD COLUMN quota_at TIMESTAMPTZ",
    "ALTER TABLE smtp_account ADD COLUMN quota_after TEXT",
    "ALTER TABLE smtp_account ADD COLUMN paused_after TEXT",
    "ALTER TABLE smtp_account ADD COLUMN resumed_at TIMESTAMPTZ",
    "ALTER TABLE smtp_account ADD COLUMN auth TEXT NOT NULL DEFAULT 'password'",
    "ALTER TABLE smtp_account ADD COLUMN token_command TEXT",
    "ALTER TABLE smtp_account ADD COLUMN token_file TEXT",
    "ALTER TABLE smtp_account ADD COLUMN plain_password BOOLEAN NOT NULL DEFAULT FALSE",
    "ALTER TABLE email_template ADD COLUMN paused_after TEXT",
    "ALTER TABLE email_template ADD COLUMN resumed_at TIMESTAMPTZ",
    "CREATE INDEX delivery_template_ended ON delivery (template_id, updated_at) "
    "WHERE state IN ('sent', 'bounced', 'failed')",
    "CREATE INDEX event_account_ended ON event (account_id, id) WHERE state IN ('sent', 'bounced', 'failed')",
    "CREATE TABLE domain_check ({id}, domain TEXT NOT NULL, result TEXT NOT NULL, checked_at TIMESTAMPTZ NOT NULL)",
    "CREATE UNIQUE INDEX domain_check_domain ON domain_check (domain)",
)


# Whoever is at work takes its locks in this order, too, and waits; in the order of the statements below the migration
# would wait for a worker that waits for it.
LOCK = "LOCK TABLE smtp_account, email_template, delivery, attempt, event IN ACCESS EXCLUSIVE MODE"


def migrate(migrator: Migrator, database: peewee.Database, *, fake: bool = False) -> None:
    """Add the columns and change the indexes."""
    # SQLite can't add a stored one, PostgreSQL before 18 has no other.
    on_sqlite = isinstance(database, peewee.SqliteDatabase)
    storage = "VIRTUAL" if on_sqlite else "STORED"
    number = "id INTEGER NOT NULL PRIMARY KEY" if on_sqlite else "id SERIAL NOT NULL PRIMARY KEY"
    if not on_sqlite:
        migrator.sql(LOCK)
    for statement in STATEMENTS:
        migrator.sql(statement.format(storage=storage, id=number))
