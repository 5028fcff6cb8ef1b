"""Contacts' own time zones reach the throttle: the backlog has a lane for each template and zone. And indexes by which
the batch publisher passes over whom it must not pick without reading a whole table.
"""

import peewee
from peewee_migrate import Migrator

STATEMENTS = """
ALTER TABLE delivery ADD COLUMN timezone TEXT NOT NULL DEFAULT '';
UPDATE delivery SET timezone = COALESCE((SELECT timezone FROM contact WHERE contact.id = delivery.contact_id), '');
DROP INDEX delivery_backlog;
CREATE INDEX delivery_lane ON delivery (template_id, timezone, priority DESC, id) WHERE state IN ('ready');
CREATE INDEX delivery_template_done ON delivery (template_id, contact_id) WHERE state IN ('sent', 'bounced', 'failed', 'in_doubt', 'cancelled');
CREATE INDEX website_unfit ON website (id) WHERE NOT meets_requirements;
"""


def migrate(migrator: Migrator, database: peewee.Database, *, fake: bool = False) -> None:
    """Add the column, fill it, and change the index."""
    for statement in STATEMENTS.split(";\n"):
        if statement.strip():
            migrator.sql(statement)
