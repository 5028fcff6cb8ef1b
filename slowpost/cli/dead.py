"""`dead list|show|replay|discard`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial

import click

from models import DeadLetterKind
from models.lookup import NotThereError
from pipeline.operations import decisions
from pipeline.operations.decisions import DecisionRefusedError
from pipeline.reports import dead_letters as reports
from slowpost.cli.output import emit, show_fields, show_table
from slowpost.cli.shared import ID, Refused, as_json, hand_over, reason, remove_copies, who, with_database


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
    rows = reports.dead_letters(with_resolved=with_resolved)
    columns = {"id": "ID", "kind": "KIND", "delivery_id": "DELIVERY", "queue": "QUEUE", "reason": "REASON"}
    columns |= {"detail": "DETAIL", "created_at": "SINCE", "resolution": "DECIDED"}
    emit(rows, as_json, lambda: show_table(rows, columns, "no dead letters"))


@dead.command()
@click.argument("letter_id", type=ID)
@as_json
@with_database
def show(letter_id: int, as_json: bool) -> None:
    """Show a dead letter with its message."""
    letter = reports.dead_letter(letter_id)
    emit(letter, as_json, lambda: show_fields(letter, (field.name for field in fields(letter))))


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
