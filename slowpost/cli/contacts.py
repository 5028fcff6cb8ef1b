"""`contacts import|list|forget`."""

from __future__ import annotations

from typing import Any

import click

from models import Contact, Website
from pipeline.flow import TRIGGER
from pipeline.operations import forget as forgetting
from pipeline.operations import imports
from slowpost.cli.shared import (
    COUNT,
    ID,
    as_json,
    emit,
    hand_over,
    import_options,
    reason,
    remove_copies,
    run_import,
    show_table,
    who,
    with_database,
)


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
    query = (
        Contact.select(Contact, Website)
        .left_outer_join(Website)
        .where((Contact.id > after) & Contact.forgotten_at.is_null())
        .order_by(Contact.id)
        .limit(limit)
    )
    rows = [_row(contact) for contact in query]
    columns = {"id": "ID", "email": "EMAIL", "name": "NAME", "website": "WEBSITE", "priority": "PRIORITY"}
    columns |= {"validated": "VALIDATED", "last_contacted_at": "LAST CONTACTED"}
    emit(rows, as_json, lambda: show_table(rows, columns, "no contacts: import some with `slowpost contacts import`"))


def _row(contact: Contact) -> dict[str, Any]:
    shown = ("id", "email", "name", "priority", "timezone", "validated", "address_valid", "extra", "last_contacted_at")
    website = contact.website.domain if contact.website_id else None
    return {k: getattr(contact, k) for k in shown} | {"website": website}


@contacts.command()
@click.argument("contact_id", type=ID)
@reason
@with_database
def forget(contact_id: int, reason: str) -> None:
    """Erase a person everywhere; a hash stays in the suppression list, so that nobody writes to them again.

    Contacts with another spelling of the same address (for Gmail: dots and +tags) are the same person.
    """
    forgetting.forget(contact_id, who(), reason)
    hand_over([TRIGGER])
    remove_copies()
    click.echo(f"contact {contact_id}: forgotten")
