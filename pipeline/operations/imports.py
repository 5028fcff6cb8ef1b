"""Imports: CSV files become contacts, websites, accounts, suppressions. Streamed, and safe to run again.

Reads: lines of text. Writes: a batch of rows in one transaction, set by set; what is there already is updated, not
doubled.
Trouble: a refused line is reported with its number and reason, and the rest goes on; a file that can't be an import
at all raises `ImportRefusedError` before anything is written.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from peewee import fn

from models import (
    Cause,
    Contact,
    Delivery,
    Enrolment,
    EnrolmentState,
    ListMember,
    SmtpAccount,
    Suppression,
    SuppressionKind,
    Website,
    address,
    database,
    json_rows,
    planner,
)
from models.account_tag import set_tags
from models.compiled import among, compiled
from models.contact_list import enlist
from models.delivery import in_states
from models.json_rows import Conflict
from models.states import NOT_CLAIMED
from models.suppression import suppress
from pipeline.capacity import slots, usage
from pipeline.flow import TRIGGER
from pipeline.operations import account_values, csv_rows, erased_websites, fields, lists, stops
from pipeline.operations.batches import Imported, Record, in_batches, lay_over
from pipeline.operations.csv_rows import Listener, Parse, Row, Summary
from pipeline.operations.mailboxes import Mailboxes
from pipeline.operations.suppression import value_of
from pipeline.rules.forgotten import forgotten_among
from pipeline.runtime import secret_key

CONTACT_COLUMNS: Mapping[str, Parse] = {
    "email": fields.email,
    "name": fields.one_line,
    "website": fields.domain,
    "priority": fields.priority,
    "timezone": fields.timezone,
    "validated": fields.yes_no,
}
WEBSITE_COLUMNS: Mapping[str, Parse] = {
    "domain": fields.domain,
    "title": fields.one_line,
    "meets_requirements": fields.yes_no,
}


def contacts(lines: Iterable[str], listener: Listener, who: str = "", onto: Sequence[str] = ()) -> Imported:
    """Import contacts; a column that Slowpost does not know is kept, and reaches the template as `contact.<column>`.

    This and the other imports take the lines of a CSV file, who is told how it goes, and who does it: that is kept
    with the first batch that changes anything ("": nobody). Raises ImportRefusedError.

    Args:
        lines: of the file.
        listener: who is told of refused lines, and how it goes.
        who: who does it.
        onto: lists, by name or id, on which each contact of the file is put, new or not; a name that no list has makes
            one. Raises FieldError or NotThereError for one that can't be.
    """
    lists.demand(onto)
    rows = csv_rows.read(lines, CONTACT_COLUMNS, required=("email",), listener=listener, keep_others=True)
    store, record = partial(_contacts, onto=onto, who=who), Record(who, "import", "contacts")
    tables = (Contact, Website, *((ListMember,) if onto else ()))
    return in_batches(rows, lambda row: address.mailbox(row["email"]), store, listener, record, tables)


def websites(lines: Iterable[str], listener: Listener, who: str = "") -> Imported:
    """Import websites; other columns are kept, and reach the template as `website.<column>`."""
    rows = csv_rows.read(lines, WEBSITE_COLUMNS, required=("domain",), listener=listener, keep_others=True)
    record = Record(who, "import", "websites")
    return in_batches(rows, lambda row: row["domain"], _websites, listener, record, (Website,))


def accounts(lines: Iterable[str], listener: Listener, who: str = "") -> Imported:
    """Import accounts, by their name (else their From address); passwords are encrypted before they are stored. One
    that has been removed comes back into use with its mailbox, and counts as updated. What stands in the column `tags`
    is all that an account has; an empty cell leaves its tags alone.
    """
    required = ("host", "from_address")
    rows = csv_rows.read(lines, account_values.IN_FILE, required=required, listener=listener, is_secret=True)
    record = Record(who, "import", "accounts")
    with secret_key.noticing_a_new_one() as new_key:
        done = in_batches(rows, account_values.name_of, _accounts, listener, record, (SmtpAccount,))
    return replace(done, new_key=new_key.path, handoffs=(TRIGGER,) if done.added or done.updated else ())


def suppressions(lines: Iterable[str], listener: Listener, who: str = "") -> Imported:
    """Import addresses and domains that must never be mailed, from the column `value`; `reason` is optional."""
    rows = csv_rows.read(lines, {"value": value_of, "reason": fields.one_line}, required=("value",), listener=listener)
    record = Record(who, "import", "suppressions")
    return in_batches(rows, lambda row: row["value"], _suppressions, listener, record, (Suppression,))


def _upsert(
    model: Any, rows: list[Row], there: Mapping[Any, Row], summary: Summary, now: dt.datetime
) -> tuple[list[int], list[int]]:
    """Insert rows that have no id, and update those that have one and differ from what is there (by id); return the
    ids of the new and of the changed ones.
    """
    new = [row for row in rows if "id" not in row]
    changed = [row for row in rows if "id" in row and row != there[row["id"]]]
    times = {"updated_at": now}
    added = json_rows.insert(model, new, times | {"created_at": now}, returning=("id",))
    json_rows.insert(model, changed, times, conflict=Conflict.UPDATES)
    summary.added += len(new)
    summary.updated += len(changed)
    summary.unchanged += len(rows) - len(new) - len(changed)
    return [number for (number,) in added], [row["id"] for row in changed]


def _there(model: Any, which: Any) -> list[Row]:
    """Return rows as plain values, by column names of the model, and lock them: they are written back as a whole, and
    nothing that others write in the meantime may be lost.
    """
    return list(database.for_update(model.select().where(which).order_by(model.id)).dicts())


def _contacts(
    rows: dict[Any, Row],
    lines: dict[Any, int],
    summary: Summary,
    listener: Listener,
    *,
    onto: Sequence[str],
    who: str,
) -> None:
    planner.prefer_indexes()
    now = database.now()
    list_ids = lists.find_or_make(onto, who)
    normalised = {key: address.normalise(row["email"]) for key, row in rows.items()}

    def of_forgotten() -> set[str]:
        known = forgotten_among(normalised.values())
        others = {row["website"] for key, row in rows.items() if "website" in row and normalised[key] not in known}
        return {row["website"] for row in rows.values() if "website" in row} - others

    websites_there = erased_websites.take_back(
        {row["website"] for row in rows.values() if "website" in row}, of_forgotten
    )
    # Not by lower(email): databases do not agree with Python, nor with each other, on what lower case is.
    there = _contacts_there().rows(addresses={form for a in normalised.values() for form in address.forms(a)})
    # Asked when the rows are locked: nobody is forgotten between here and the commit.
    forgotten = forgotten_among(normalised.values())
    for key in [key for key in rows if normalised[key] in forgotten]:
        listener.refused(lines[key], "email: this person has asked to be forgotten")
        summary.refused += 1
        del rows[key]
    website_ids = _website_ids({row["website"] for row in rows.values() if "website" in row}, websites_there, now)
    old = {address.mailbox(row["email"]): row for row in reversed(there)}
    as_written = {row["email"].lower(): row for row in there}
    defaults: Row = {"name": "", "website": None, "priority": 0, "timezone": None, "validated": True, "extra": {}}
    merged = []
    for key, row in rows.items():
        given = row | {"website": website_ids[row["website"]]} if "website" in row else row
        of_address = {"address": normalised[key], "address_valid": True}
        merged.append(lay_over(as_written.get(row["email"].lower()) or old.get(key, defaults), given) | of_address)
    added, changed = _upsert(Contact, merged, {row["id"]: row for row in there}, summary, now)
    summary.listed += enlist(list_ids, {*added, *(row["id"] for row in merged if "id" in row)})
    if changed:
        # What waits for them waits in their own zone.
        zone = Contact.select(fn.COALESCE(Contact.timezone, "")).where(Contact.id == Delivery.contact)
        waiting = Delivery.contact.in_(changed) & in_states(*NOT_CLAIMED)
        Delivery.update(timezone=zone).where(waiting).execute()
        # Who waits for a mail of a campaign waits by the contact's priority.
        priority = Contact.select(Contact.priority).where(Contact.id == Enrolment.contact)
        goes_on = Enrolment.contact.in_(changed) & (Enrolment.state == EnrolmentState.ACTIVE)
        Enrolment.update(priority=priority).where(goes_on).execute()


@compiled
def _contacts_there() -> Any:
    which = among(Contact.address, "addresses")
    return database.for_update(Contact.select().where(which).order_by(Contact.id)).dicts()


def _website_ids(domains: set[str], there: Mapping[str, int], now: dt.datetime) -> Mapping[str, int]:
    """Return the ids of websites by their domains; those that are not there are made."""
    missing = [{"domain": domain} for domain in sorted(domains - there.keys())]
    times = {"created_at": now, "updated_at": now}
    names = ("domain", "id")
    made = dict(json_rows.insert(Website, missing, times, conflict=Conflict.DOES_NOTHING, returning=names))
    if len(made) < len(missing):
        # Another import has made them in the meantime.
        query = Website.select(Website.domain, Website.id).where(Website.domain.in_([row["domain"] for row in missing]))
        made = dict(query.tuples())
    return {**there, **made}


def _websites(rows: dict[Any, Row], _lines: dict[Any, int], summary: Summary, _listener: Listener) -> None:
    planner.prefer_indexes()
    erased_websites.take_back(rows)
    there = _there(Website, Website.domain.in_(list(rows)))
    old = {row["domain"]: row for row in there}
    defaults = {"title": "", "meets_requirements": True, "extra": {}}
    merged = [lay_over(old.get(key, defaults), row) for key, row in rows.items()]
    _upsert(Website, merged, {row["id"]: row for row in there}, summary, database.now())


def _accounts(rows: dict[Any, Row], lines: dict[Any, int], summary: Summary, listener: Listener) -> None:
    database.lock_accounts()
    now = database.now()
    today = usage.date_of(now)
    mailboxes = Mailboxes()
    tags = {name: row.pop("tags") for name, row in rows.items() if "tags" in row}
    removed = {name: mailboxes.removed(account_values.defaults(now) | row) for name, row in rows.items()}
    here = SmtpAccount.name.in_(list(rows)) & SmtpAccount.removed_at.is_null()
    there = _there(SmtpAccount, here | SmtpAccount.id.in_([i for i in removed.values() if i is not None]))
    old = {row["name"]: row for row in there if row["removed_at"] is None}
    by_id = {row["id"]: row for row in there}
    merged = []
    for name, row in rows.items():
        was = old.get(name)
        # A mailbox that comes back brings its row: what it has sent today counts.
        base = was or account_values.new(by_id.get(removed[name]), now)
        account = base | _given_for_account(row | {"name": name}, base)
        problem = next(account_values.problems(account), None) or mailboxes.taken_by(account, was)
        if problem:
            listener.refused(lines[name], problem)
            summary.refused += 1
            continue
        mailboxes.note(account)
        merged.append(account | account_values.dated(account, base, now, today))
    added, changed = _upsert(SmtpAccount, merged, by_id, summary, now)
    ids = SmtpAccount.select(SmtpAccount.name, SmtpAccount.id).where(SmtpAccount.removed_at.is_null())
    id_of = dict(ids.where(SmtpAccount.name.in_([account["name"] for account in merged])).tuples())
    retagged = set_tags({id_of[name]: of_account for name, of_account in tags.items() if name in id_of})
    only_retagged = len(retagged - {*added, *changed})
    summary.updated += only_retagged
    summary.unchanged -= only_retagged
    if others := {*changed, *retagged}:
        # A lower limit, another server or another brand: what was planned for these accounts is planned anew.
        slots.give_back(Cause.ACCOUNT, account_ids=others)


def _given_for_account(row: Row, base: Row) -> Row:
    given = account_values.with_login({column: value for column, value in row.items() if column != "extra"})
    return given | account_values.encrypted(given, base)


def _suppressions(rows: dict[Any, Row], _lines: dict[Any, int], summary: Summary, _listener: Listener) -> None:
    now = database.now()
    # A forgotten person is suppressed already, by a hash: the address must not come back by this door.
    forgotten = forgotten_among(value for kind, value in rows if kind is SuppressionKind.ADDRESS)
    by_reason: dict[tuple[SuppressionKind, str], list[str]] = {}
    for (kind, value), row in rows.items():
        if value not in forgotten:
            by_reason.setdefault((kind, row.get("reason", "imported")), []).append(value)
    # The sweep triggers the stage that deals the slots of those who are skipped.
    stops.suppressed(rows, now)
    added = sum(suppress(kind, values, reason, now) for (kind, reason), values in by_reason.items())
    summary.added += added
    summary.unchanged += len(rows) - added
