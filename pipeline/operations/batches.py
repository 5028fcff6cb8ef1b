"""Rows stored batch by batch, each batch in one transaction: what imports, and whatever else takes many lines, have in
common.

Trouble: a refused line is told, and the rest goes on. What is interrupted has committed the batches before, and can be
run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import database, planner
from models.control import record_action
from pipeline.operations.csv_rows import Listener, RefusedLine, Row, Summary
from pipeline.operations.done import Done

#: Rows committed at a time; fewer where they are long, so that a batch takes little memory whatever stands in it.
BATCH = 500
#: Characters of a batch.
MAX_BATCH = 4_000_000
#: Rows that are so many news for the database that it plans better if it is told. Fewer, it notices by itself.
LARGE = 5_000

#: Stores a batch: rows by what they are told apart by, and the line on which each stands.
Store = Callable[[dict[Any, Row], dict[Any, int], Summary, Listener], None]


@dataclass(frozen=True)
class Imported(Done):
    """What an import came to.

    Attributes:
        added: rows that are new.
        updated: rows that were there, and are different now.
        unchanged: rows that were there already, with the same values.
        refused: lines that were not taken.
        refused_lines: which those are; each is on stderr, too.
        new_key: the key file, if one was made for a password.
        listed: places on lists that contacts got, and did not have.
    """

    added: int
    updated: int
    unchanged: int
    refused: int
    #: Filled in by whoever listened and has kept them.
    refused_lines: tuple[RefusedLine, ...] = ()
    new_key: Path | None = None
    listed: int = 0

    @property
    def lines(self) -> int:
        """Lines read, without the header."""
        return self.added + self.updated + self.unchanged + self.refused


@dataclass
class Record:
    """Who does what to what, and why; kept once, in the transaction of the first batch that changes anything."""

    who: str
    verb: str
    subject: str
    reason: str = ""
    kept: bool = False

    def keep(self, summary: Summary) -> None:
        """Keep it, if somebody is named and something has changed."""
        if self.who and not self.kept and (summary.added or summary.updated or summary.listed):
            record_action(self.who, self.verb, self.subject, database.now(), self.reason)
            self.kept = True


def in_batches(
    rows: Iterator[tuple[int, Row | None]],
    key: Callable[[Row], Any],
    store: Store,
    listener: Listener,
    record: Record,
    tables: Sequence[Any] = (),
) -> Imported:
    """Store rows batch by batch. Of two lines for one thing in a batch the later is laid over the earlier, as it
    would be in the next batch; the earlier counts as unchanged.

    Args:
        rows: with the number of each one's line; None for one that was refused.
        key: tells rows for different things apart.
        store: stores a batch, in a transaction.
        listener: who is told how it goes.
        record: who does it.
        tables: the models whose rows become many; the database is told if they have.
    """
    summary = Summary()
    for batch in _batches(rows):
        by_key: dict[Any, Row] = {}
        lines: dict[Any, int] = {}
        for line, row in batch:
            if row is None:
                summary.refused += 1
                continue
            of_row = key(row)
            if of_row in by_key:
                row = lay_over(by_key[of_row], row)
                summary.unchanged += 1
            by_key[of_row], lines[of_row] = row, line
        with database.transaction():
            store(by_key, lines, summary, listener)
            record.keep(summary)
        listener.progress(summary)
    if summary.added + summary.updated + summary.listed >= LARGE:
        planner.update_statistics(*tables)
    return Imported(summary.added, summary.updated, summary.unchanged, summary.refused, listed=summary.listed)


def lay_over(base: Row, row: Row) -> Row:
    """Return what a line says laid over what is there, over the defaults of a new row, or over an earlier line."""
    return base | row | ({"extra": base["extra"] | row["extra"]} if "extra" in row else {})


def _batches(rows: Iterator[tuple[int, Row | None]]) -> Iterator[list[tuple[int, Row | None]]]:
    batch: list[tuple[int, Row | None]] = []
    characters = 0
    for line, row in rows:
        batch.append((line, row))
        characters += len(str(row))
        if len(batch) == BATCH or characters > MAX_BATCH:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
