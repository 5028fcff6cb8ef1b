"""CSV read line by line: each becomes checked values, or is refused with its number and the reason. Writes nothing."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from models.errors import SlowpostError
from pipeline.operations.fields import FieldError

Parse = Callable[[str], Any]
Row = dict[str, Any]

#: Characters of one line of a table; with quotes it can go over several lines of the file. What is longer is read past
#: and refused, so that no file takes more memory than its rows are worth.
MAX_LINE = 262_144


@dataclass
class Summary:
    """What an import did, in rows."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: int = 0
    listed: int = 0

    @property
    def lines(self) -> int:
        """Lines read, without the header."""
        return self.added + self.updated + self.unchanged + self.refused


@dataclass(frozen=True)
class Listener:
    """Who is told of refused lines (number, reason) and, after each batch, of the state of things."""

    refused: Callable[[int, str], None] = field(default=lambda _line, _reason: None)
    progress: Callable[[Summary], None] = field(default=lambda _summary: None)


@dataclass(frozen=True)
class RefusedLine:
    """A line that was not taken.

    Attributes:
        line: its number; 1 is the first, in CSV the header.
        reason: why.
    """

    line: int
    reason: str


class ImportRefusedError(SlowpostError):
    """The file can't be imported; the message says why."""


def read(
    lines: Iterable[str],
    columns: Mapping[str, Parse],
    *,
    required: tuple[str, ...],
    listener: Listener,
    keep_others: bool = False,
    is_secret: bool = False,
) -> Iterator[tuple[int, Row | None]]:
    """Yield line number and values of each line, None for a refused one. An empty cell counts as not given.

    Args:
        lines: of the file.
        columns: how each column is read.
        required: columns that must not be empty.
        listener: who is told of refused lines.
        keep_others: whether other columns are kept, as `extra`.
        is_secret: whether passwords may stand in it: then no error quotes the first line, which may be no header.

    Raises:
        ImportRefusedError: its first line names no columns.
    """
    bounded = _Bounded(lines)
    reader = csv.reader(bounded, strict=True)
    header = _header(reader, columns, required, keep_others=keep_others, is_secret=is_secret)
    while True:
        first = bounded.begin()
        try:
            cells = next(reader)
            row = _values(header, cells, columns, required) if any(cell.strip() for cell in cells) else None
        except StopIteration:
            return
        except csv.Error as error:
            # A quote that is never closed takes the lines after it along.
            upto = f", up to line {bounded.number}" if bounded.number > first else ""
            listener.refused(first, f"not CSV{upto}: {error}")
            yield first, None
        except FieldError as error:
            listener.refused(first, str(error))
            yield first, None
        else:
            if row is not None:
                yield first, row


class _Bounded:
    """The lines of a file, numbered; too many characters of one row are a csv.Error, and the next line is the next."""

    def __init__(self, lines: Iterable[str]) -> None:
        # A file gives a piece of a line at a time; what is not one has its lines in memory anyway.
        self._read = lines.readline if isinstance(lines, io.TextIOBase) else _pieces(lines)
        self._left = MAX_LINE
        self.number = 0

    def begin(self) -> int:
        """Begin a row; return the number of its first line."""
        self._left = MAX_LINE
        return self.number + 1

    def __iter__(self) -> _Bounded:
        return self

    def __next__(self) -> str:
        line = self._read(MAX_LINE + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self._left -= len(line)
        if self._left >= 0:
            return line
        while line and not line.endswith(("\n", "\r")):
            line = self._read(MAX_LINE + 1)
        raise csv.Error(f"it has more than {MAX_LINE} characters")


def _pieces(lines: Iterable[str]) -> Callable[[int], str]:
    found = iter(lines)
    return lambda _size: next(found, "")


def _header(
    reader: Any, columns: Mapping[str, Parse], required: tuple[str, ...], *, keep_others: bool, is_secret: bool
) -> list[str]:
    try:
        header = [cell.strip().lower() for cell in next(reader)]
    except StopIteration:
        raise ImportRefusedError("it is empty; its first line must name the columns") from None
    except csv.Error as error:
        raise ImportRefusedError(f"it is not CSV: {error}") from None
    missing = [name for name in required if name not in header]
    if missing:
        has = "" if is_secret else f" (it has {', '.join(header)[:200]})"
        raise ImportRefusedError(f"its first line has no column {missing[0]!r}{has}")
    named = [name for name in header if name]
    if len(set(named)) < len(named):
        raise ImportRefusedError("its first line names a column twice")
    if any("\x00" in name for name in named):
        raise ImportRefusedError("its first line has a NUL character")
    unknown = [name for name in named if name not in columns]
    if unknown and not keep_others:
        which = (
            f"its column {header.index(unknown[0]) + 1} is unknown" if is_secret else f"unknown column {unknown[0]!r}"
        )
        raise ImportRefusedError(f"{which}; allowed: {', '.join(columns)}")
    return header


def _values(header: list[str], cells: list[str], columns: Mapping[str, Parse], required: tuple[str, ...]) -> Row:
    if len(cells) > len(header):
        raise FieldError(f"it has {len(cells)} fields, the first line has {len(header)}")
    # Spreadsheets write columns without a name at the end.
    given = {name: cell for name, cell in zip(header, cells, strict=False) if name and cell.strip()}
    if "\x00" in "".join(given.values()):
        raise FieldError("it has a NUL character")
    for name in required:
        if name not in given:
            raise FieldError(f"{name} is empty")
    row: Row = {"extra": {}}
    for name, cell in given.items():
        if name not in columns:
            row["extra"][name] = cell.strip()
            continue
        try:
            row[name] = columns[name](cell)
        except FieldError as error:
            raise FieldError(f"{name}: {error}") from None
    return row
