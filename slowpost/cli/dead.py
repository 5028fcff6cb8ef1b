"""`dead list|show|replay|discard`."""

from __future__ import annotations

from typing import Any

import click

from models import DeadLetter, DeadLetterKind
from pipeline import decisions

from .shared import ID, Refused, as_json, emit, hand_over, reason, show_table, who, with_database


@click.group()
def dead() -> None:
    """What was given up: messages nobody could process, and deliveries that failed. They wait for you, and never
    expire.
    """


@dead.command("list")
@click.option("--all", "with_resolved", is_flag=True, help="Also those you have decided about.")
@as_json
@with_database
def list_(with_resolved: bool, as_json: bool) -> None:
    """List the dead letters, oldest first."""
    query = DeadLetter.select().order_by(DeadLetter.id)
    rows = [_row(letter) for letter in (query if with_resolved else query.where(DeadLetter.resolved_at.is_null()))]
    columns = {"id": "ID", "kind": "KIND", "delivery_id": "DELIVERY", "queue": "QUEUE", "reason": "REASON"}
    columns |= {"detail": "DETAIL", "created_at": "SINCE", "resolution": "DECIDED"}
    emit(rows, as_json, lambda: show_table(rows, columns, "no dead letters"))


def _row(letter: DeadLetter) -> dict[str, Any]:
    names = ("id", "kind", "queue", "delivery_id", "reason", "detail", "created_at", "resolved_at", "resolution")
    return {name: getattr(letter, name) for name in names}


@dead.command()
@click.argument("letter_id", type=ID)
@as_json
@with_database
def show(letter_id: int, as_json: bool) -> None:
    """Show a dead letter with its message."""
    letter = DeadLetter.get_or_none(DeadLetter.id == letter_id)
    if letter is None:
        raise Refused(f"there is no dead letter {letter_id}")
    body = None if letter.body is None else bytes(letter.body).decode("utf-8", "backslashreplace")
    data = _row(letter) | {"message_id": letter.message_id, "body": body}

    def lines() -> None:
        for name, value in data.items():
            if value not in (None, ""):
                click.echo(f"{name}: {value}")

    emit(data, as_json, lines)


@dead.command()
@click.argument("letter_id", type=ID)
@reason
@with_database
def replay(letter_id: int, reason: str) -> None:
    """Put it back: a message on its queue, a delivery to `ready` with its attempts at 0.

    Refused where the person must not be mailed now (suppressed, contacted recently, in flight).
    """
    letter = decisions.open_letter(letter_id)
    if letter.kind == DeadLetterKind.MESSAGE:
        from actors import entry
        from actors.intake import UnacceptableError

        try:
            entry.put_back(letter.queue, bytes(letter.body))
        except UnacceptableError as error:
            raise Refused(f"dead letter {letter_id}: {error}") from None
    handoffs, _ = decisions.replay(letter_id, who(), reason)
    hand_over(handoffs)
    click.echo(f"dead letter {letter_id}: replayed")


@dead.command()
@click.argument("letter_id", type=ID)
@reason
@with_database
def discard(letter_id: int, reason: str) -> None:
    """Close it; what was given up stays given up."""
    decisions.discard(letter_id, who(), reason)
    click.echo(f"dead letter {letter_id}: discarded")
