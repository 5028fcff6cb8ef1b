"""Thousands of enrolments that wait in campaigns whose accounts have nothing in common; PostgreSQL only."""

from __future__ import annotations

import datetime as dt

from models import AccountTag, database
from models.database import db
from tests.builders import a_campaign, a_list, a_template, an_account

CAMPAIGNS = 20
#: Of each campaign.
ACCOUNTS = 2

#: Every contact is on the list of one campaign, and enrolled there. Half wait for the first mail, a hundred have
#: it on the route. The others have got it: for three of five the next is due, two have to wait for some days.
_STATEMENTS = """
INSERT INTO website (id, domain, title, meets_requirements, extra, created_at, updated_at)
SELECT i, 'site' || i || '.test', '', true, '{{}}', {now}, {now} FROM generate_series(1, {number}) i;

INSERT INTO contact (id, email, address, address_valid, name, website_id, priority, validated, extra, created_at,
                     updated_at)
SELECT id, 'p@' || domain, 'p@' || domain, true, '', id, id % 3, true, '{{}}', {now}, {now} FROM website;

INSERT INTO list_member (list_id, contact_id)
SELECT (SELECT list_id FROM campaign_list WHERE campaign_id = 1 + id % {campaigns}), id FROM contact;

INSERT INTO enrolment (id, campaign_id, contact_id, state, position, due_at, priority, account_id, sent_at, created_at,
                       updated_at)
SELECT id, 1 + id % {campaigns}, id, 'active', 1 + tenth / 5,
       CASE WHEN tenth >= 5 THEN {now} + (tenth - 8) * interval '1 day' + interval '1 hour' END, priority,
       CASE WHEN tenth >= 5 THEN 1 + {accounts} * (id % {campaigns}) + id / {campaigns} % {accounts} END,
       CASE WHEN tenth >= 5 THEN {now} - interval '5 days' END, {now}, {now}
FROM (SELECT *, id / {campaigns} % 10 AS tenth FROM contact) c;

INSERT INTO delivery (id, contact_id, website_id, template_id, recipient, address, timezone, priority, state, subject,
                      text, campaign_id, enrolment_id, position, attempts, attempts_since, source, created_at,
                      updated_at, sent_at, recorded_at)
SELECT e.id, c.id, c.website_id, 2 * e.campaign_id - 1, c.email, c.address, '', c.priority,
       CASE WHEN e.position = 1 THEN 'ready' ELSE 'sent' END, 'Hello', 'Dear reader', e.campaign_id, e.id, 1, 0, {now},
       'many', {now}, {now}, e.sent_at, e.sent_at
FROM enrolment e JOIN contact c ON c.id = e.contact_id WHERE e.position > 1 OR e.id <= 100;

UPDATE enrolment e SET delivery_id = d.id FROM delivery d WHERE d.enrolment_id = e.id AND d.state = 'ready';
UPDATE enrolment e SET last_id = d.id FROM delivery d WHERE d.enrolment_id = e.id AND d.state = 'sent';

SELECT setval(pg_get_serial_sequence(name, 'id'), {number})
FROM unnest(ARRAY['website', 'contact', 'enrolment', 'delivery']) name;
"""


def fill(number: int, at: dt.datetime) -> None:
    """Store so many contacts and enrolments as they stand at `at` (UTC), in empty tables."""
    for i in range(CAMPAIGNS):
        for _ in range(ACCOUNTS):
            AccountTag.create(account=an_account(), tag=f"brand-{i}")
        a_campaign((0, [a_template()]), (3, [a_template(subject="")]), tags=[f"brand-{i}"], lists=[a_list()])
    now = f"TIMESTAMPTZ '{at.isoformat()}'"
    statements = _STATEMENTS.format(number=number, now=now, campaigns=CAMPAIGNS, accounts=ACCOUNTS)
    db.execute_sql(statements.replace("%", "%%"))
    db.execute_sql("ANALYZE")
    assert database.is_postgres()
