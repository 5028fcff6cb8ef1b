"""`dead list|show|replay|discard`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import click

from models import DeadLetter, DeadLetterKind
from models.dead_letter import OPEN
from models.lookup import NotThereError
from pipeline.operations import decisions
from pipeline.operations.decisions import DecisionRefusedError
from slowpost.cli.shared import (
    ID,
    Refused,
    as_json,
    emit,
    hand_over,
    reason,
    remove_copies,
    show_table,
    who,
    with_database,
)


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
    rows = [_row(letter) for letter in (query if with_resolved else query.where(OPEN))]
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
@click.argument("letter_ids", type=ID, nargs=-1, required=True, metavar="LETTER_ID...")
@reason
@with_database
def replay(letter_ids: tuple[int, ...], reason: str) -> None:
    """Put it back: a message on its queue, a delivery to `ready` with its attempts at 0.

    Refused where the person must not be mailed now (suppressed, contacted recently, in flight).
    """
    _decide_each(letter_ids, partial(_replay, reason), "replayed")


def _replay(reason: str, letter_id: int) -> None:
    from actors import entry
    from actors.intake import UnacceptableError

    letter = decisions.open_letter(letter_id)
    if letter.kind == DeadLetterKind.MESSAGE:
        try:
            entry.put_back(letter.queue, bytes(letter.body), f"replay-{letter_id}")
        except UnacceptableError as error:
            raise DecisionRefusedError(str(error)) from None
    handoffs, _ = decisions.replay(letter_id, who(), reason)
    hand_over(handoffs)


@dead.command()
@click.argument("letter_ids", type=ID, nargs=-1, required=True, metavar="LETTER_ID...")
@reason
@with_database
def discard(letter_ids: tuple[int, ...], reason: str) -> None:
    """Close it; what was given up stays given up."""
    _decide_each(letter_ids, lambda letter_id: decisions.discard(letter_id, who(), reason), "discarded")


def _decide_each(letter_ids: Sequence[int], decide: Callable[[int], None], done: str) -> None:
    """Decide about each letter; a refusal holds up none of the others, and makes the exit code 1."""
    refused = 0
    for letter_id in letter_ids:
        try:
            decide(letter_id)
        except (DecisionRefusedError, NotThereError) as error:
            if len(letter_ids) == 1:
                raise
            click.echo(f"dead letter {letter_id}: {error}", err=True)
            refused += 1
        else:
            click.echo(f"dead letter {letter_id}: {done}")
    remove_copies()
    if refused:
        raise Refused(f"{refused} of {len(letter_ids)} refused")
