"""The first version: every table and index of the route."""

import peewee
from peewee_migrate import Migrator

TYPES = {
    "postgresql": {"id": "id SERIAL NOT NULL PRIMARY KEY", "json": "JSONB", "blob": "BYTEA"},
    "sqlite": {"id": "id INTEGER NOT NULL PRIMARY KEY", "json": "TEXT", "blob": "BLOB"},
}

TABLES = """
CREATE TABLE control (
    {id},
    paused_at TIMESTAMPTZ,
    wake_at TIMESTAMPTZ,
    replanned_at TIMESTAMPTZ
);
CREATE TABLE action (
    {id},
    at TIMESTAMPTZ NOT NULL,
    who TEXT NOT NULL,
    verb TEXT NOT NULL,
    subject TEXT NOT NULL,
    reason TEXT NOT NULL
);
CREATE INDEX action_at ON action (at);
CREATE TABLE website (
    {id},
    domain TEXT NOT NULL,
    title TEXT NOT NULL,
    meets_requirements BOOLEAN NOT NULL,
    extra {json} NOT NULL,
    last_contacted_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX website_domain ON website (domain);
CREATE TABLE contact (
    {id},
    email TEXT NOT NULL,
    address TEXT NOT NULL,
    address_valid BOOLEAN NOT NULL,
    name TEXT NOT NULL,
    website_id INTEGER,
    priority SMALLINT NOT NULL,
    timezone TEXT,
    validated BOOLEAN NOT NULL,
    extra {json} NOT NULL,
    last_contacted_at TIMESTAMPTZ,
    forgotten_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    FOREIGN KEY (website_id) REFERENCES website (id) ON DELETE RESTRICT
);
CREATE INDEX contact_address ON contact (address);
CREATE INDEX contact_website_id ON contact (website_id);
CREATE UNIQUE INDEX contact_email_key ON contact (lower(email));
CREATE INDEX contact_eligible ON contact (priority DESC, id) WHERE validated AND address_valid AND forgotten_at IS NULL;
CREATE TABLE email_template (
    {id},
    name TEXT NOT NULL,
    subject TEXT NOT NULL,
    text TEXT NOT NULL,
    html TEXT,
    preheader TEXT,
    active BOOLEAN NOT NULL,
    paused_at TIMESTAMPTZ,
    times_used INTEGER NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX email_template_name ON email_template (name);
CREATE TABLE smtp_account (
    {id},
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    port INTEGER NOT NULL,
    security TEXT NOT NULL,
    username TEXT,
    password TEXT,
    from_address TEXT NOT NULL,
    from_name TEXT NOT NULL,
    reply_to TEXT,
    signature TEXT NOT NULL,
    daily_limit INTEGER,
    warmup_start INTEGER,
    warmup_step INTEGER,
    warmup_on DATE,
    quota_limit INTEGER,
    quota_on DATE,
    failures_in_row INTEGER NOT NULL,
    cooling_until TIMESTAMPTZ,
    enabled BOOLEAN NOT NULL,
    enabled_at TIMESTAMPTZ NOT NULL,
    disabled_reason TEXT,
    paused_at TIMESTAMPTZ,
    removed_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX smtp_account_name ON smtp_account (name);
CREATE TABLE delivery (
    {id},
    contact_id INTEGER NOT NULL,
    website_id INTEGER,
    template_id INTEGER NOT NULL,
    recipient TEXT NOT NULL,
    address TEXT NOT NULL,
    priority SMALLINT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    detail TEXT,
    subject TEXT,
    text TEXT,
    html TEXT,
    preheader TEXT,
    message_id TEXT,
    account_id INTEGER,
    send_at TIMESTAMPTZ,
    token TEXT,
    not_before TIMESTAMPTZ,
    attempts INTEGER NOT NULL,
    attempts_since TIMESTAMPTZ NOT NULL,
    nudged_at TIMESTAMPTZ,
    source TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    sent_at TIMESTAMPTZ,
    recorded_at TIMESTAMPTZ,
    FOREIGN KEY (contact_id) REFERENCES contact (id),
    FOREIGN KEY (website_id) REFERENCES website (id),
    FOREIGN KEY (template_id) REFERENCES email_template (id),
    FOREIGN KEY (account_id) REFERENCES smtp_account (id)
);
CREATE INDEX delivery_contact_id ON delivery (contact_id);
CREATE INDEX delivery_website_id ON delivery (website_id);
CREATE INDEX delivery_template_id ON delivery (template_id);
CREATE INDEX delivery_account_id ON delivery (account_id);
CREATE INDEX delivery_token ON delivery (token);
CREATE UNIQUE INDEX delivery_source_contact_id ON delivery (source, contact_id);
CREATE UNIQUE INDEX delivery_one_unfinished_contact ON delivery (contact_id) WHERE state IN ('selected', 'cleared', 'ready', 'reserved', 'sending', 'in_doubt');
CREATE UNIQUE INDEX delivery_one_unfinished_address ON delivery (address) WHERE state IN ('selected', 'cleared', 'ready', 'reserved', 'sending', 'in_doubt');
CREATE INDEX delivery_backlog ON delivery (priority DESC, id) WHERE state IN ('ready');
CREATE INDEX delivery_not_before ON delivery (not_before) WHERE state IN ('ready');
CREATE INDEX delivery_slot ON delivery (account_id, send_at) WHERE state IN ('reserved', 'sending');
CREATE INDEX delivery_website_unfinished ON delivery (website_id) WHERE state IN ('cleared', 'ready', 'reserved', 'sending', 'in_doubt');
CREATE INDEX delivery_on_route ON delivery (state, updated_at) WHERE state IN ('selected', 'cleared', 'reserved', 'sending');
CREATE INDEX delivery_address_sent ON delivery (address, sent_at) WHERE state = 'sent';
CREATE INDEX delivery_website_sent ON delivery (website_id, sent_at) WHERE state = 'sent';
CREATE INDEX delivery_not_recorded ON delivery (updated_at) WHERE state IN ('sent', 'bounced', 'failed', 'in_doubt') AND recorded_at IS NULL;
CREATE TABLE attempt (
    {id},
    delivery_id INTEGER NOT NULL,
    account_id INTEGER NOT NULL,
    token TEXT,
    local_on DATE,
    claimed_at TIMESTAMPTZ,
    finished_at TIMESTAMPTZ,
    outcome TEXT NOT NULL,
    charged_to TEXT,
    phase TEXT NOT NULL,
    reply_code INTEGER,
    enhanced_code TEXT,
    text TEXT NOT NULL,
    FOREIGN KEY (delivery_id) REFERENCES delivery (id),
    FOREIGN KEY (account_id) REFERENCES smtp_account (id)
);
CREATE INDEX attempt_delivery_id ON attempt (delivery_id);
CREATE UNIQUE INDEX attempt_token ON attempt (token);
CREATE INDEX attempt_finished_at ON attempt (finished_at);
CREATE INDEX attempt_used_on ON attempt (local_on, account_id, claimed_at) WHERE outcome IN ('open', 'accepted', 'in_doubt');
CREATE INDEX attempt_last_claim ON attempt (account_id, claimed_at) WHERE claimed_at IS NOT NULL;
CREATE INDEX attempt_health ON attempt (account_id, id) WHERE outcome = 'accepted' OR charged_to IN ('account', 'content');
CREATE INDEX attempt_latest ON attempt (account_id, id);
CREATE INDEX attempt_open ON attempt (claimed_at) WHERE outcome = 'open';
CREATE TABLE dead_letter (
    {id},
    kind TEXT NOT NULL,
    queue TEXT,
    body {blob},
    message_id TEXT,
    delivery_id INTEGER,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    resolved_at TIMESTAMPTZ,
    resolution TEXT,
    FOREIGN KEY (delivery_id) REFERENCES delivery (id)
);
CREATE INDEX dead_letter_delivery_id ON dead_letter (delivery_id);
CREATE UNIQUE INDEX dead_letter_open_delivery ON dead_letter (delivery_id) WHERE delivery_id IS NOT NULL AND resolved_at IS NULL;
CREATE UNIQUE INDEX dead_letter_open_message ON dead_letter (queue, message_id, reason, detail) WHERE message_id IS NOT NULL AND resolved_at IS NULL;
CREATE TABLE suppression (
    {id},
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX suppression_kind_value ON suppression (kind, value);
INSERT INTO control (id) VALUES (1);
"""


def migrate(migrator: Migrator, database: peewee.Database, *, fake: bool = False) -> None:
    """Create them, with the types of the database at hand."""
    kind = "sqlite" if isinstance(database, peewee.SqliteDatabase) else "postgresql"
    for statement in TABLES.format(**TYPES[kind]).split(";\n"):
        if statement.strip():
            migrator.sql(statement)
