"""`in-doubt list|resolve`."""

from __future__ import annotations

import click

from pipeline.operations import decisions
from pipeline.reports import doubt as reports
from slowpost.cli.acting import finish, who
from slowpost.cli.output import emit, show_table
from slowpost.cli.shared import ID, as_json, reason, with_database


@click.group()
def in_doubt() -> None:
    """Mails whose final dot may have been sent, but whose reply nobody saw. Only you can have them sent again."""


@in_doubt.command("list")
@as_json
@with_database
def list_(as_json: bool) -> None:
    """List them, each with its Message-ID, to look for in the recipient's mailbox, and whether it was found in Sent."""
    rows = reports.in_doubt()
    columns = {"delivery_id": "DELIVERY", "contact_id": "CONTACT", "account_id": "ACCOUNT", "claimed_at": "CLAIMED"}
    columns |= {"message_id": "MESSAGE-ID", "detail": "DETAIL", "in_sent": "SENT FOLDER"}
    emit(rows, as_json, lambda: show_table(rows, columns, "nothing is in doubt"))


@in_doubt.command()
@click.argument("delivery_id", type=ID)
@click.option("--sent", is_flag=True, help="It was sent.")
@click.option("--resend", is_flag=True, help="It was not: send it again (30 minutes after its claim at the earliest).")
@click.option("--without-looking", is_flag=True, help="With --resend: even if its account's folder Sent can't be read.")
@reason
@as_json
@with_database
def resolve(delivery_id: int, sent: bool, resend: bool, without_looking: bool, reason: str, as_json: bool) -> None:
    """Decide about a mail in doubt.

    --resend looks at its account's folder Sent first, if the account has a mailbox, and is refused where it lies there.
    """
    if sent == resend:
        raise click.UsageError("either --sent or --resend is needed")
    if sent:
        done = decisions.resolve_sent(delivery_id, who(), reason)
    else:
        done = decisions.resolve_resend(delivery_id, who(), reason, looks=not without_looking)
    finish(done, as_json, f"delivery {delivery_id}: {'sent' if sent else 'ready again'}")
