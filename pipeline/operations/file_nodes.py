"""What a YAML or TOML file holds, each part with its line: texts, lists and tables. Pure.

Everything that is no list or table is a text, as it stands in the file: what `no`, `9-17` or `2026-12-01` mean is up
to whoever reads the key, and not to the format.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

from models.errors import SlowpostError

#: Tables and lists inside each other; a file with more of them is none that a person has written.
MAX_DEPTH = 20


class SyntaxMistakeError(SlowpostError):
    """A file is not what its format allows, from `line` on."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


@dataclass(frozen=True)
class Text:
    """A text, a number, a date, yes or no.

    Attributes:
        line: where it begins.
        text: what stands there.
        is_empty: nothing stands there, as in `until:`.
        first: the line of the file on which the text's own first line stands, where each of its lines is one of the
            file's; else None.
    """

    line: int
    text: str
    is_empty: bool = False
    first: int | None = None


@dataclass(frozen=True)
class Items:
    """A list."""

    line: int
    items: tuple[Node, ...]


@dataclass(frozen=True)
class Table:
    """Keys, each with the line on which it stands, and its value."""

    line: int
    entries: Mapping[str, tuple[int, Node]]


Node = Text | Items | Table


class Lines:
    """The lines of a text, by the index of a character."""

    def __init__(self, text: str) -> None:
        self._ends = [i for i, character in enumerate(text) if character == "\n"]

    def at(self, index: int) -> int:
        """Return on which line a character stands, from 1; a line end is on the line that it ends."""
        return bisect_left(self._ends, index) + 1


def depth_of(line: int, depth: int) -> int:
    """Return the depth inside a list or table at `depth`. Raises SyntaxMistakeError."""
    if depth >= MAX_DEPTH:
        raise SyntaxMistakeError(line, f"there are more than {MAX_DEPTH} lists or tables inside each other")
    return depth + 1
