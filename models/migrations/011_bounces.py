"""The last hours' ends of a campaign's mails, of which its bounces are counted, are found by an index."""

import peewee
from peewee_migrate import Migrator

STATEMENTS = (
    # A tree of between two versions may have it already.
    "CREATE INDEX IF NOT EXISTS delivery_campaign_ended ON delivery (campaign_id, updated_at) "
    "WHERE campaign_id IS NOT NULL AND state IN ('sent', 'bounced', 'failed')",
)


def migrate(migrator: Migrator, database: peewee.Database, *, fake: bool = False) -> None:
    """Add the index. (The version before, which may be at work still, makes none that follows.)"""
    for statement in STATEMENTS:
        migrator.sql(statement)
