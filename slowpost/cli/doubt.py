"""`in-doubt list|resolve`."""

from __future__ import annotations

import click
from peewee import fn

from models import Attempt, Delivery, State
from pipeline.operations import decisions
from slowpost.cli.shared import ID, as_json, emit, hand_over, reason, show_table, who, with_database


@click.group()
def in_doubt() -> None:
    """Mails whose final dot may have been sent, and whose reply nobody saw. They are never sent again by themselves."""


@in_doubt.command("list")
@as_json
@with_database
def list_(as_json: bool) -> None:
    """List them, with what to look for in the sender's and the recipient's mailbox: the Message-ID."""
    claimed = Attempt.select(fn.MAX(Attempt.claimed_at)).where(Attempt.delivery == Delivery.id)
    query = Delivery.select(Delivery, claimed.alias("claimed")).where(Delivery.state == State.IN_DOUBT)
    rows = [
        {
            "delivery_id": d.id,
            "contact_id": d.contact_id,
            "account_id": d.account_id,
            "message_id": d.message_id,
            "claimed_at": Attempt.claimed_at.python_value(d.claimed),
            "detail": d.detail,
        }
        for d in query.order_by(Delivery.id).objects()
    ]
    columns = {"delivery_id": "DELIVERY", "contact_id": "CONTACT", "account_id": "ACCOUNT", "claimed_at": "CLAIMED"}
    columns |= {"message_id": "MESSAGE-ID", "detail": "DETAIL"}
    emit(rows, as_json, lambda: show_table(rows, columns, "nothing is in doubt"))


@in_doubt.command()
@click.argument("delivery_id", type=ID)
@click.option("--sent", is_flag=True, help="It went out.")
@click.option("--resend", is_flag=True, help="It did not: send it again (from 30 minutes after its claim on).")
@reason
@with_database
def resolve(delivery_id: int, sent: bool, resend: bool, reason: str) -> None:
    """Decide about one."""
    if sent == resend:
        raise click.UsageError("either --sent or --resend is needed")
    decide = decisions.resolve_sent if sent else decisions.resolve_resend
    hand_over(decide(delivery_id, who(), reason))
    click.echo(f"delivery {delivery_id}: {'sent' if sent else 'ready again'}")
