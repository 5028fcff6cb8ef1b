"""A long past, made by SQL: deliveries that ended in each of the last days, with their events and attempts."""

# ruff: noqa: S608  (the statements are the tests' own)
from __future__ import annotations

import datetime as dt

from models import TABLES
from models.database import db
from models.planner import update_statistics
from tests.builders import a_template, an_account

#: Of a hundred deliveries so many bounce, so many fail, and so many are skipped; the others are sent.
BOUNCED, FAILED, SKIPPED = 2, 2, 16


def live_through(number: int, days: int, until: dt.datetime) -> None:
    """Let so many deliveries to so many contacts have ended, evenly over so many days, the last at `until` (UTC).
    PostgreSQL alone.
    """
    account, template = an_account(), a_template()
    values = {"n": number, "seconds": days * 86_400 / number, "until": until, "account": account.id}
    values |= {"template": template.id, "bounced": BOUNCED, "failed": BOUNCED + FAILED}
    values |= {"skipped": BOUNCED + FAILED + SKIPPED}
    for statement in (_CONTACTS, _DELIVERIES, _ATTEMPTS, _EVENTS):
        db.execute_sql(statement, values)
    update_statistics(*TABLES)


_AT = "%(until)s - (%(n)s - i) * %(seconds)s * interval '1 second'"

_CONTACTS = """
INSERT INTO contact (email, address, address_valid, validated, name, extra, priority, created_at, updated_at)
SELECT 'c' || i || '@past.test', 'c' || i || '@past.test', true, true, '', '{}', 0, %(until)s, %(until)s
FROM generate_series(1, %(n)s) AS i
"""

# `step` is that of the last event, so that the trigger writes none.
_DELIVERIES = f"""
INSERT INTO delivery (contact_id, template_id, recipient, address, timezone, priority, state, reason, step, source,
                      attempts, attempts_since, created_at, updated_at, sent_at, recorded_at, quotes, reply_prefix)
SELECT c.id, %(template)s, c.email, c.address, '', 0,
       CASE WHEN i %% 100 < %(bounced)s THEN 'bounced' WHEN i %% 100 < %(failed)s THEN 'failed'
            WHEN i %% 100 < %(skipped)s THEN 'skipped' ELSE 'sent' END,
       CASE WHEN i %% 100 < %(bounced)s THEN 'recipient_refused' WHEN i %% 100 < %(failed)s THEN 'content_refused'
            WHEN i %% 100 < %(skipped)s THEN 'contacted_recently' ELSE 'accepted' END,
       CASE WHEN i %% 100 >= %(failed)s AND i %% 100 < %(skipped)s THEN 2 ELSE 6 END,
       'past ' || i, 0, {_AT}, {_AT}, {_AT}, CASE WHEN i %% 100 >= %(skipped)s THEN {_AT} END, {_AT}, false, false
FROM (SELECT id, email, address, row_number() OVER (ORDER BY id) AS i FROM contact WHERE address LIKE '%%@past.test') c
"""

_ATTEMPTS = """
INSERT INTO attempt (delivery_id, account_id, token, local_on, claimed_at, finished_at, outcome, charged_to, phase,
                     text)
SELECT id, %(account)s, 'past ' || id, updated_at::date, updated_at, updated_at,
       CASE state WHEN 'sent' THEN 'accepted' ELSE 'failed' END,
       CASE state WHEN 'sent' THEN 'nobody' WHEN 'bounced' THEN 'recipient' ELSE 'content' END, 'dot', ''
FROM delivery WHERE source LIKE 'past %%' AND state <> 'skipped'
"""

_EVENTS = """
INSERT INTO event (delivery_id, step, at, origin, state, reason, cause)
SELECT d.id, s.step, d.updated_at, s.origin, CASE WHEN s.step = d.step THEN d.state ELSE s.state END,
       CASE WHEN s.step = d.step THEN d.reason END, s.cause
FROM delivery d JOIN (VALUES (1, NULL, 'selected', 'intake'), (2, 'selected', 'cleared', 'dedupe'),
                             (3, 'cleared', 'ready', 'render'), (4, 'ready', 'reserved', 'reserve'),
                             (5, 'reserved', 'sending', 'deliver'), (6, 'sending', 'sent', 'deliver'))
     AS s (step, origin, state, cause) ON s.step <= d.step
WHERE d.source LIKE 'past %%' ORDER BY d.id, s.step
"""
