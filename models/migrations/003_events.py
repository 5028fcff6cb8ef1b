"""Events: every change of a delivery's state is a row. What is there gets the events that its rows still tell.

Two triggers write the event of whoever changes a state without one: the version before, which may still be at work, or
SQL by hand. A third kind of writer there is not: `models.event` writes its own, and says so by counting `step`.
"""

import peewee
from peewee_migrate import Migrator

TYPES = {"postgresql": "id SERIAL NOT NULL PRIMARY KEY", "sqlite": "id INTEGER NOT NULL PRIMARY KEY"}

TABLE = """
CREATE TABLE event (
    {id},
    delivery_id INTEGER NOT NULL,
    step INTEGER NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    origin TEXT,
    state TEXT NOT NULL,
    reason TEXT,
    cause TEXT NOT NULL,
    account_id INTEGER,
    attempt_id INTEGER,
    reply_code INTEGER,
    FOREIGN KEY (delivery_id) REFERENCES delivery (id),
    FOREIGN KEY (account_id) REFERENCES smtp_account (id),
    FOREIGN KEY (attempt_id) REFERENCES attempt (id)
)
"""

# Selected when it was made; each claim; each outcome as far as it is known (failed: it went back), but for the last one
# of what that ended: its row says it better; and how it stands now. What is no change is left out.
TOLD = """
INSERT INTO event (delivery_id, step, at, origin, state, reason, cause, account_id, attempt_id, reply_code)
WITH last_attempt AS (
    SELECT a.* FROM attempt a WHERE a.id = (SELECT MAX(b.id) FROM attempt b WHERE b.delivery_id = a.delivery_id)
), told AS (
    SELECT id AS delivery_id, 0 AS turn, 0 AS part, created_at AS at, 'selected' AS state, CAST(NULL AS TEXT) AS reason,
           CAST(NULL AS INTEGER) AS account_id, CAST(NULL AS INTEGER) AS attempt_id, CAST(NULL AS INTEGER) AS reply_code
      FROM delivery
    UNION ALL
    SELECT delivery_id, id, 1, claimed_at, 'sending', NULL, account_id, id, NULL FROM attempt WHERE claimed_at IS NOT NULL
    UNION ALL
    SELECT a.delivery_id, a.id, 2, COALESCE(a.finished_at, a.claimed_at),
           CASE a.outcome WHEN 'accepted' THEN 'sent' WHEN 'in_doubt' THEN 'in_doubt' ELSE 'ready' END,
           NULL, a.account_id, a.id, a.reply_code
      FROM attempt a JOIN last_attempt l ON l.delivery_id = a.delivery_id JOIN delivery d ON d.id = a.delivery_id
     WHERE a.outcome <> 'open' AND (a.id < l.id OR d.state IN ('ready', 'reserved', 'skipped', 'cancelled'))
    UNION ALL
    SELECT d.id, 2147483647, 3, COALESCE(d.sent_at, d.updated_at), d.state, d.reason,
           CASE WHEN d.state IN ('reserved', 'sending') THEN d.account_id WHEN d.state <> 'cancelled' THEN l.account_id END,
           CASE WHEN d.state NOT IN ('reserved', 'cancelled') THEN l.id END,
           CASE WHEN d.state NOT IN ('reserved', 'sending', 'cancelled') THEN l.reply_code END
      FROM delivery d LEFT JOIN last_attempt l ON l.delivery_id = d.id
), following AS (
    SELECT told.*, LAG(state) OVER (PARTITION BY delivery_id ORDER BY turn, part) AS before FROM told
), changed AS (
    SELECT * FROM following WHERE before IS NULL OR before <> state
)
SELECT delivery_id, ROW_NUMBER() OVER in_order, at, LAG(state) OVER in_order, state, reason, 'migration', account_id,
       attempt_id, reply_code
  FROM changed WINDOW in_order AS (PARTITION BY delivery_id ORDER BY turn, part)
"""

STATEMENTS = (
    TABLE,
    "ALTER TABLE delivery ADD COLUMN step INTEGER NOT NULL DEFAULT 0",
    TOLD,
    "CREATE UNIQUE INDEX event_delivery_id_step ON event (delivery_id, step)",
    "CREATE INDEX event_at ON event (at)",
    "UPDATE delivery SET step = (SELECT MAX(step) FROM event WHERE event.delivery_id = delivery.id)",
)

COLUMNS = "delivery_id, step, at, origin, state, reason, cause, account_id"

POSTGRES_TRIGGERS = (
    f"""
CREATE FUNCTION delivery_first_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO event ({COLUMNS}) VALUES (NEW.id, 0, NEW.created_at, NULL, NEW.state, NEW.reason, 'outside', NULL);
    RETURN NULL;
END $$
""",
    "CREATE TRIGGER delivery_first_event AFTER INSERT ON delivery FOR EACH ROW WHEN (NEW.step = 0) "
    "EXECUTE FUNCTION delivery_first_event()",
    f"""
CREATE FUNCTION delivery_next_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.step := OLD.step + 1;
    INSERT INTO event ({COLUMNS}) VALUES
        (NEW.id, NEW.step, NEW.updated_at, OLD.state, NEW.state, NEW.reason, 'outside', NEW.account_id);
    RETURN NEW;
END $$
""",
    "CREATE TRIGGER delivery_next_event BEFORE UPDATE OF state ON delivery FOR EACH ROW "
    "WHEN (NEW.state <> OLD.state AND NEW.step = OLD.step) EXECUTE FUNCTION delivery_next_event()",
)

SQLITE_TRIGGERS = (
    f"""
CREATE TRIGGER delivery_first_event AFTER INSERT ON delivery WHEN NEW.step = 0
BEGIN
    INSERT INTO event ({COLUMNS}) VALUES (NEW.id, 0, NEW.created_at, NULL, NEW.state, NEW.reason, 'outside', NULL);
END
""",
    f"""
CREATE TRIGGER delivery_next_event AFTER UPDATE OF state ON delivery WHEN NEW.state <> OLD.state AND NEW.step = OLD.step
BEGIN
    UPDATE delivery SET step = OLD.step + 1 WHERE id = NEW.id;
    INSERT INTO event ({COLUMNS}) VALUES
        (NEW.id, OLD.step + 1, NEW.updated_at, OLD.state, NEW.state, NEW.reason, 'outside', NEW.account_id);
END
""",
)


def migrate(migrator: Migrator, database: peewee.Database, *, fake: bool = False) -> None:
    """Make the table, fill it, and see to it that no change of state goes without a row from now on."""
    is_sqlite = isinstance(database, peewee.SqliteDatabase)
    for statement in STATEMENTS:
        migrator.sql(statement.format(id=TYPES["sqlite" if is_sqlite else "postgresql"]))
    for trigger in SQLITE_TRIGGERS if is_sqlite else POSTGRES_TRIGGERS:
        migrator.sql(trigger)
