"""Campaigns, their steps and their enrolments. Today's deliveries have none, and go as they did.

`lane` is derived by the database, so that the version before, which may still be at work, need not know it.
"""

import peewee
from peewee_migrate import Migrator

TYPES = {"postgresql": "id SERIAL NOT NULL PRIMARY KEY", "sqlite": "id INTEGER NOT NULL PRIMARY KEY"}
#: Text of fixed width, so that it can be taken apart.
LANE = (
    "GENERATED ALWAYS AS (CAST(10000000000 + COALESCE(campaign_id, 0) AS TEXT) || ':' || "
    "CAST(10000000000 + COALESCE(sender_id, 0) AS TEXT) || ':' || timezone)"
)

STATEMENTS = (
    "CREATE TABLE campaign ({id}, name TEXT NOT NULL, key TEXT NOT NULL, state TEXT NOT NULL, daily_limit INTEGER, "
    "starts_on DATE, ends_on DATE, hours TEXT NOT NULL, weight INTEGER NOT NULL, shares_contacts BOOLEAN NOT NULL, "
    "stops_website BOOLEAN NOT NULL, when_account_is_off TEXT NOT NULL, reply_prefix BOOLEAN NOT NULL, "
    "no_footer_because TEXT, paused_after TEXT, resumed_at TIMESTAMPTZ, started_at TIMESTAMPTZ, ended_at TIMESTAMPTZ, "
    "created_at TIMESTAMPTZ NOT NULL, updated_at TIMESTAMPTZ NOT NULL)",
    "CREATE UNIQUE INDEX campaign_key ON campaign (key)",
    "CREATE TABLE campaign_list (campaign_id INTEGER NOT NULL, list_id INTEGER NOT NULL, excluded BOOLEAN NOT NULL, "
    "PRIMARY KEY (campaign_id, list_id), FOREIGN KEY (campaign_id) REFERENCES campaign (id) ON DELETE CASCADE, "
    "FOREIGN KEY (list_id) REFERENCES contact_list (id) ON DELETE RESTRICT)",
    "CREATE INDEX campaign_list_list_id ON campaign_list (list_id)",
    "CREATE TABLE campaign_sender ({id}, campaign_id INTEGER NOT NULL, account_id INTEGER, tag TEXT, "
    "FOREIGN KEY (campaign_id) REFERENCES campaign (id) ON DELETE CASCADE, "
    "FOREIGN KEY (account_id) REFERENCES smtp_account (id))",
    "CREATE UNIQUE INDEX campaign_sender_campaign_id_account_id ON campaign_sender (campaign_id, account_id)",
    "CREATE UNIQUE INDEX campaign_sender_campaign_id_tag ON campaign_sender (campaign_id, tag)",
    "CREATE TABLE campaign_step ({id}, campaign_id INTEGER NOT NULL, position INTEGER NOT NULL, days INTEGER NOT NULL, "
    "working_days BOOLEAN NOT NULL, quotes BOOLEAN NOT NULL, "
    "FOREIGN KEY (campaign_id) REFERENCES campaign (id) ON DELETE CASCADE)",
    "CREATE UNIQUE INDEX campaign_step_campaign_id_position ON campaign_step (campaign_id, position)",
    "CREATE TABLE step_variant (step_id INTEGER NOT NULL, template_id INTEGER NOT NULL, weight INTEGER NOT NULL, "
    "PRIMARY KEY (step_id, template_id), FOREIGN KEY (step_id) REFERENCES campaign_step (id) ON DELETE CASCADE, "
    "FOREIGN KEY (template_id) REFERENCES email_template (id) ON DELETE RESTRICT)",
    "CREATE INDEX step_variant_template_id ON step_variant (template_id)",
    "CREATE TABLE enrolment ({id}, campaign_id INTEGER NOT NULL, contact_id INTEGER NOT NULL, state TEXT NOT NULL, "
    "reason TEXT, position INTEGER NOT NULL, due_at TIMESTAMPTZ, priority SMALLINT NOT NULL, delivery_id INTEGER, "
    "last_id INTEGER, account_id INTEGER, sent_at TIMESTAMPTZ, created_at TIMESTAMPTZ NOT NULL, "
    "updated_at TIMESTAMPTZ NOT NULL, ended_at TIMESTAMPTZ, FOREIGN KEY (campaign_id) REFERENCES campaign (id), "
    "FOREIGN KEY (contact_id) REFERENCES contact (id), FOREIGN KEY (account_id) REFERENCES smtp_account (id))",
    "CREATE INDEX enrolment_contact_id ON enrolment (contact_id)",
    "CREATE INDEX enrolment_campaign_id_state_position ON enrolment (campaign_id, state, position)",
    "CREATE UNIQUE INDEX enrolment_campaign_id_contact_id ON enrolment (campaign_id, contact_id)",
    "CREATE INDEX enrolment_first ON enrolment (campaign_id, priority DESC, id) "
    "WHERE state = 'active' AND delivery_id IS NULL AND position = 1",
    "CREATE INDEX enrolment_due ON enrolment (campaign_id, account_id, due_at, id) "
    "WHERE state = 'active' AND delivery_id IS NULL AND position > 1",
    "CREATE INDEX enrolment_written_to ON enrolment (contact_id) WHERE state = 'active' AND position > 1",
    "CREATE INDEX enrolment_on_its_way ON enrolment (delivery_id) WHERE delivery_id IS NOT NULL",
    "ALTER TABLE delivery ADD COLUMN campaign_id INTEGER REFERENCES campaign (id)",
    "ALTER TABLE delivery ADD COLUMN enrolment_id INTEGER REFERENCES enrolment (id)",
    "ALTER TABLE delivery ADD COLUMN position INTEGER",
    "ALTER TABLE delivery ADD COLUMN sender_id INTEGER",
    f"ALTER TABLE delivery ADD COLUMN lane TEXT {LANE} {{storage}}",
    "DROP INDEX delivery_lane",
    "CREATE INDEX delivery_lane ON delivery (template_id, lane, priority DESC, id) WHERE state IN ('ready')",
    "CREATE INDEX delivery_enrolment ON delivery (enrolment_id) WHERE enrolment_id IS NOT NULL",
    "CREATE INDEX delivery_campaign ON delivery (campaign_id, state, position) WHERE campaign_id IS NOT NULL",
    "ALTER TABLE attempt ADD COLUMN campaign_id INTEGER REFERENCES campaign (id)",
    "CREATE INDEX attempt_of_campaign ON attempt (campaign_id, local_on) WHERE campaign_id IS NOT NULL",
)

# Whoever is at work takes its locks in this order, too, and waits.
LOCK = "LOCK TABLE smtp_account, email_template, contact, delivery, attempt IN ACCESS EXCLUSIVE MODE"


def migrate(migrator: Migrator, database: peewee.Database, *, fake: bool = False) -> None:
    """Make the tables, add the columns and change the index of the lanes."""
    on_sqlite = isinstance(database, peewee.SqliteDatabase)
    # SQLite can't add a stored one, PostgreSQL before 18 has no other.
    storage = "VIRTUAL" if on_sqlite else "STORED"
    if not on_sqlite:
        migrator.sql(LOCK)
    for statement in STATEMENTS:
        migrator.sql(statement.format(id=TYPES["sqlite" if on_sqlite else "postgresql"], storage=storage))
