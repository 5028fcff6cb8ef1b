"""`dead list|show|replay|discard`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import click

from pipeline.operations import decisions
from pipeline.operations.decisions import LetterDecided
from pipeline.reports import dead_letters as reports
from slowpost.cli.acting import report, who
from slowpost.cli.output import emit, show_fields, show_table
from slowpost.cli.saying import say
from slowpost.cli.shared import ID, Refused, as_json, problem_of, reason, with_database
from slowpost.handing_on import hand_on


@dataclass(frozen=True)
class NotDecided:
    """A dead letter for which the decision was refused.

    Attributes:
        letter_id: the dead letter.
        problem: why.
    """

    letter_id: int
    problem: str


@dataclass(frozen=True)
class Decided:
    """What was decided about dead letters.

    Attributes:
        decided: ids of those that are closed now.
        refused: those that stay open. (If only one is given and it is refused, no JSON is printed.)
    """

    decided: tuple[int, ...]
    refused: tuple[NotDecided, ...]


@click.group()
def dead() -> None:
    """What was given up: messages nobody could process, and deliveries that failed. They wait for your
    decision, and never expire.
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
@as_json
@with_database
def replay(letter_ids: tuple[int, ...], reason: str, as_json: bool) -> None:
    """Put dead letters back: a message on its queue, a delivery to `ready` with its attempts at 0.

    Refused if the person must not be mailed now (suppressed, contacted recently, in flight). A message needs RabbitMQ:
    while that is away its dead letter stays open.
    """
    from actors import entry

    def decide(letter_id: int) -> LetterDecided:
        return decisions.replay(letter_id, who(), reason, put_back=entry.put_back)

    _decide_each(letter_ids, decide, as_json)


@dead.command()
@click.argument("letter_ids", type=ID, nargs=-1, required=True, metavar="LETTER_ID...")
@reason
@as_json
@with_database
def discard(letter_ids: tuple[int, ...], reason: str, as_json: bool) -> None:
    """Close dead letters; what was given up stays given up."""
    _decide_each(letter_ids, lambda letter_id: decisions.discard(letter_id, who(), reason), as_json)


def _decide_each(letter_ids: Sequence[int], decide: Callable[[int], LetterDecided], as_json: bool) -> None:
    """Decide about each letter; if one is refused the others go on, and the exit code is 1."""
    decided, refused = [], []
    for letter_id in letter_ids:
        try:
            done = decide(letter_id)
        except Exception as error:
            problem = problem_of(error)
            if problem is None or len(letter_ids) == 1:
                raise
            say(f"dead letter {letter_id}: {problem}", err=True)
            refused.append(NotDecided(letter_id, problem))
        else:
            decided.append(done)
            if not as_json:
                say(f"dead letter {letter_id}: {done.resolution}")
    # One trigger does for all.
    warnings = hand_on(tuple(dict.fromkeys(h for done in decided for h in done.handoffs)), remove_copies=bool(decided))
    report(warnings, as_json, "", Decided(tuple(done.letter_id for done in decided), tuple(refused)))
    if refused:
        raise Refused(f"{len(refused)} of {len(letter_ids)} refused")
