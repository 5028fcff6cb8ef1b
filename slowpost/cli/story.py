"""`contacts story`, and what came back of the mails to a contact, where a command shows that."""

from __future__ import annotations

from collections.abc import Sequence

import click

from pipeline.reports import story as reports
from pipeline.reports.inbound import InboundRow
from slowpost.cli.output import emit, show_table
from slowpost.cli.saying import say
from slowpost.cli.shared import CONTACT, COUNT, as_json, with_database


@click.command()
@click.argument("contact", type=CONTACT)
@click.option("--limit", default=250, show_default=True, type=COUNT, help="Entries at most.")
@as_json
@with_database
def story(contact: str, limit: int, as_json: bool) -> None:
    """Show all that has happened with a contact, the latest first: each step of its deliveries, what came back by mail,
    its campaigns, and what people did.

    CONTACT is its id or its address.
    """
    found = reports.story(contact, limit)

    def show() -> None:
        columns = {"at": "AT", "delivery_id": "DELIVERY", "what": "WHAT", "by": "BY", "reasons": "WHY"}
        columns |= {"account_id": "ACCOUNT", "reply_code": "CODE", "text": "SAID"}
        show_table(found.entries, columns, "nothing has happened with it")
        if found.has_more:
            say(f"before these {len(found.entries)} more has happened")

    emit(found, as_json, show)


def show_what_came_back(rows: Sequence[InboundRow]) -> None:
    """Print what came back of the mails to a contact, if anything did."""
    columns = {"delivery_id": "DELIVERY", "read_at": "CAME BACK", "kind": "KIND", "effect": "EFFECT"}
    columns |= {"named_by": "NAMED BY", "enhanced_code": "CODE", "evidence": "EVIDENCE"}
    if rows:
        show_table(rows, columns, "")
