"""What failed and used up no limit is found by its time: the timeline has the troubles of accounts of each day."""

import peewee
from peewee_migrate import Migrator


def migrate(migrator: Migrator, database: peewee.Database, *, fake: bool = False) -> None:
    """Make the index."""
    migrator.sql(
        "CREATE INDEX attempt_used_nothing ON attempt (finished_at) "
        "WHERE outcome = 'failed' AND (charged_to IS NULL OR charged_to IN ('account', 'nobody'))"
    )
