"""Values of a file, read with the parsers of options and columns: each mistake is kept with its line, and reading goes
on, so that a person is told all of them at once. Pure but for what a parser asks.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from models.errors import SlowpostError
from pipeline.operations.file_nodes import Items, Node, Table, Text

T = TypeVar("T")


@dataclass(frozen=True)
class Mistake:
    """A mistake in a file.

    Attributes:
        line: the line on which it stands, from 1.
        field: which value it is about, such as `steps[2].after`; empty: the whole file.
        problem: what is wrong, and what is allowed.
    """

    line: int
    field: str
    problem: str


@dataclass(frozen=True)
class Field:
    """A value of a file that is to be read.

    Attributes:
        line: where its key stands, or it itself in a list.
        name: such as `steps[2].after`; empty: the whole file.
        node: what stands there.
    """

    line: int
    name: str
    node: Node


class Reading:
    """Reads values; what is not allowed is a mistake, and None comes back for it."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []

    def wrong(self, field: Field, problem: str, line: int | None = None) -> None:
        """Keep a mistake; `line`: where it stands, if not where the field begins."""
        self.mistakes.append(Mistake(field.line if line is None else line, field.name, problem))

    def table(self, field: Field, allowed: Collection[str]) -> dict[str, Field] | None:
        """Return the values of a table by their keys; those of which nothing is given are left out. None: it is no
        table, which is a mistake.
        """
        keys = ", ".join(allowed)
        if not isinstance(field.node, Table):
            self.wrong(field, f"here {_kind(field.node)} stands, and keys with their values belong here: {keys}")
            return None
        found = {}
        for key, (line, node) in field.node.entries.items():
            inner = Field(line, f"{field.name}.{key}".lstrip("."), node)
            if key not in allowed:
                self.wrong(inner, f"there is no such key{nearest(key, allowed)}; allowed: {keys}")
            elif not (isinstance(node, Text) and node.is_empty):
                found[key] = inner
        return found

    def items(self, field: Field | None, example: str) -> Iterator[Field]:
        """Yield the values of a list, which is written like `example`; none, if the list is not given."""
        if field is None:
            return
        if not isinstance(field.node, Items):
            self.wrong(field, f"here {_kind(field.node)} stands, and a list belongs here, such as {example}")
            return
        for number, node in enumerate(field.node.items, 1):
            yield Field(node.line, f"{field.name}[{number}]", node)

    def text(self, field: Field) -> Text | None:
        """Return a text that can be stored."""
        if not isinstance(field.node, Text):
            self.wrong(field, f"here {_kind(field.node)} stands, and one value belongs here{_in_quotes(field.node)}")
            return None
        try:
            field.node.text.encode()
        except UnicodeEncodeError:
            self.wrong(field, "it has half a character, which is no text (a surrogate)")
            return None
        if "\x00" in field.node.text:
            self.wrong(field, "it has a NUL character")
            return None
        return field.node

    def value(self, field: Field | None, parse: Callable[[str], T], otherwise: T) -> T:
        """Return what a parser makes of a text; `otherwise`, where none is given or it is not allowed."""
        found = None if field is None else self.text(field)
        if field is None or found is None:
            return otherwise
        try:
            return parse(found.text)
        except SlowpostError as error:
            self.wrong(field, str(error))
            return otherwise

    def values(self, field: Field | None, parse: Callable[[str], T], example: str) -> list[tuple[Field, T]]:
        """Return what a parser makes of each text of a list. What is there twice is a mistake."""
        found: list[tuple[Field, T]] = []
        for item in self.items(field, example):
            if (value := self.value(item, parse, None)) is None:
                continue
            if value in (one for _, one in found):
                self.wrong(item, "it is there twice")
            else:
                found.append((item, value))
        return found


def nearest(word: str, known: Iterable[str]) -> str:
    """Return, in words, which known word a person may have meant; nothing if none is like it."""
    by_form = {one.casefold(): one for one in known}
    like = difflib.get_close_matches(word.casefold(), by_form, n=1)
    return f" (did you mean {by_form[like[0]]!r}?)" if like else ""


def _kind(node: Node) -> str:
    return {Text: "one value", Items: "a list", Table: "a table of keys"}[type(node)]


def _in_quotes(node: Node) -> str:
    return "" if isinstance(node, Items) else ' (a text with ": " in it, or with { at its start, stands in quotes)'
