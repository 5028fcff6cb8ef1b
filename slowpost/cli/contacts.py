"""`contacts import|list|find|show|forget`."""

from __future__ import annotations

import click

from pipeline.operations import forget as forgetting
from pipeline.operations import imports
from pipeline.reports import contacts as reports
from pipeline.reports.contacts import ContactDetails, ContactRow
from slowpost.cli.acting import fields_of, hand_on, report, who
from slowpost.cli.importing import import_options, run_import
from slowpost.cli.output import emit, show_fields, show_table
from slowpost.cli.shared import CONTACT, COUNT, ID, as_json, reason, with_database


@click.group()
def contacts() -> None:
    """The people you write to."""


@contacts.command("import")
@import_options
@with_database
def import_(file: str, as_json: bool, strict: bool) -> None:
    """Import contacts from a CSV file (- for stdin), as often as you like.

    Columns: email (required), name, website (a domain or URL; made if new), priority (0 to 9), timezone, validated
    (yes or no, default yes). Every other column reaches the template as contact.<column>. An address that is there is
    updated.
    """
    run_import(file, imports.contacts, as_json, strict=strict)


@contacts.command("list")
@click.option("--limit", default=50, show_default=True, type=COUNT, help="Contacts at most.")
@click.option("--after", default=0, type=click.IntRange(0, ID.max), help="Only contacts with a higher id.")
@as_json
@with_database
def list_(limit: int, after: int, as_json: bool) -> None:
    """List contacts by id."""
    rows = reports.contacts(limit, after)
    emit(rows, as_json, lambda: _table(rows, "no contacts: import some with `slowpost contacts import`"))


@contacts.command()
@click.argument("text")
@click.option("--limit", default=50, show_default=True, type=COUNT, help="Contacts at most.")
@as_json
@with_database
def find(text: str, limit: int, as_json: bool) -> None:
    """Find contacts by a part of their address, their name or their website's domain.

    A whole address finds its other spellings, too (for Gmail: dots and +tags).
    """
    rows = reports.find(text, limit)
    emit(rows, as_json, lambda: _table(rows, f"no contact has {text!r} in its address, name or website"))


def _table(rows: list[ContactRow], empty: str) -> None:
    columns = {"id": "ID", "email": "EMAIL", "name": "NAME", "website": "WEBSITE", "priority": "PRIORITY"}
    show_table(rows, columns | {"validated": "VALIDATED", "last_contacted_at": "LAST CONTACTED"}, empty)


@contacts.command()
@click.argument("contact", type=CONTACT)
@as_json
@with_database
def show(contact: str, as_json: bool) -> None:
    """Show all that is known of a contact, with its deliveries and what keeps it from being mailed.

    CONTACT is its id or its address. `slowpost why` says what it waits for.
    """
    found = reports.contact(contact)
    emit(found, as_json, lambda: _details(found))


def _details(contact: ContactDetails) -> None:
    show_fields(contact, ("id", "email", "name", "website"))
    if contact.website_details is not None and not contact.website_details.meets_requirements:
        click.echo("its website does not meet the requirements")
    show_fields(contact, ("priority", "timezone", "validated", "address_valid", "extra"))
    show_fields(contact, ("last_contacted_at", "created_at", "updated_at"))
    for row in contact.suppressions:
        click.echo(f"suppressed {row.kind}: {row.value}{f' ({row.reason})' if row.reason else ''}")
    columns = {"id": "DELIVERY", "template": "TEMPLATE", "state": "STATE", "reason": "REASON", "detail": "DETAIL"}
    show_table(contact.deliveries, columns | {"created_at": "SINCE", "sent_at": "SENT"}, "never on the route")


@contacts.command()
@click.argument("contact", type=CONTACT)
@reason
@as_json
@with_database
def forget(contact: str, reason: str, as_json: bool) -> None:
    """Erase a person everywhere; a hash stays in the suppression list, so that nobody writes to them again.

    CONTACT is its id or its address. Contacts with another spelling of the same address (for Gmail: dots and +tags)
    are the same person.
    """
    done = forgetting.forget(contact, who(), reason)
    warnings = hand_on(done.handoffs, remove_copies=True)
    report(warnings, as_json, f"contact {done.contact_id}: forgotten", fields_of(done))
