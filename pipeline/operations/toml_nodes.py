"""TOML as texts, lists and tables with their lines. Pure.

`tomllib` judges the file and reads its strings, but says no lines of what is right. So what it has taken is gone
through once more, only to find where everything stands, by the few kinds of tokens that valid TOML has.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence

from pipeline.operations.file_nodes import MAX_DEPTH, Items, Lines, Node, SyntaxMistakeError, Table, Text, depth_of

_TOKEN = re.compile(
    r"""
    (?P<blank>  [ \t]+ | \#[^\n]* )
  | (?P<end>    \n )
  | (?P<string> "{3} (?: [^"\\]++ | \\. | "{1,2}(?!") )*+ "{3,5} | " (?: [^"\\]++ | \\. )*+ "
              | '{3} (?: [^']++ | '{1,2}(?!') )*+ '{3,5}         | ' [^']*+ ' )
  | (?P<mark>   [][{}=,.] )
  | (?P<bare>   [^][{}=,.\s\#"']+ )
    """,
    re.VERBOSE | re.DOTALL,
)
#: Where tomllib has found a mistake.
_POSITION = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
#: What tomllib says → what a person may do about it.
_HINTS = {
    "Cannot overwrite": "a key is there twice",
    "Cannot declare": "a table is there twice",
    "Invalid value": "a text stands in quotes",
    "Expected newline": "a text stands in quotes, and each key on a line of its own",
}


def read(text: str) -> Table:
    """Return what a TOML file holds. Raises SyntaxMistakeError."""
    text = text.replace("\r\n", "\n")
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said, last = str(error), text.rstrip("\n").count("\n") + 1
        found = _POSITION.search(said)
        hint = next((f" ({hint})" for start, hint in _HINTS.items() if said.startswith(start)), "")
        line = min(int(found[1]), last) if found and found[1] else last
        raise SyntaxMistakeError(line, f"it is no TOML: {_POSITION.sub('', said)}{hint}") from None
    except RecursionError:
        raise SyntaxMistakeError(1, f"there are more than {MAX_DEPTH} lists or tables inside each other") from None
    return _Scan(text).document()


class _Open:
    """A table that may get further keys."""

    def __init__(self, line: int) -> None:
        self.line = line
        self.entries: dict[str, tuple[int, Node | _Open | list[_Open]]] = {}

    def inner(self, keys: Sequence[str], line: int) -> _Open:
        """Return the table below these keys, of several with one name the last; made where it is not there."""
        here = self
        for key in keys:
            found = here.entries.setdefault(key, (line, _Open(line)))[1]
            if isinstance(found, list):
                found = found[-1]
            assert isinstance(found, _Open)
            here = found
        return here

    def closed(self) -> Table:
        """Return it as it is now."""
        return Table(self.line, {key: (line, _closed(value)) for key, (line, value) in self.entries.items()})


def _closed(value: Node | _Open | list[_Open]) -> Node:
    if isinstance(value, list):
        return Items(value[0].line, tuple(one.closed() for one in value))
    return value.closed() if isinstance(value, _Open) else value


class _Scan:
    """Goes through the tokens of valid TOML."""

    def __init__(self, text: str) -> None:
        self._text, self._lines = text, Lines(text)
        self._tokens = [token for token in _TOKEN.finditer(text) if token.lastgroup != "blank"]
        self._place = 0

    def document(self) -> Table:
        """Return all of it."""
        root = here = _Open(1)
        while self._place < len(self._tokens):
            if self._takes("\n"):
                continue
            if self._takes("["):
                here = self._header(root)
            else:
                self._pair(here, 0)
        return root.closed()

    def _header(self, root: _Open) -> _Open:
        several = self._takes("[")
        line, keys = self._keys("]")
        if several:
            self._takes("]")
            _, tables = root.inner(keys[:-1], line).entries.setdefault(keys[-1], (line, list[_Open]()))
            assert isinstance(tables, list)
            tables.append(_Open(line))
        return root.inner(keys, line)

    def _pair(self, table: _Open, depth: int) -> None:
        line, keys = self._keys("=")
        table.inner(keys[:-1], line).entries[keys[-1]] = (line, self._value(depth))

    def _keys(self, end: str) -> tuple[int, list[str]]:
        line, keys = self._line(), list[str]()
        while not self._takes(end):
            token = self._next()
            if token.lastgroup != "mark":
                keys.append(_unquoted(token[0]) if token.lastgroup == "string" else token[0])
        if len(keys) > MAX_DEPTH:
            raise SyntaxMistakeError(line, f"a key has more than {MAX_DEPTH} parts")
        return line, keys

    def _value(self, depth: int) -> Node:
        line = self._line()
        if self._takes("["):
            inside, items = depth_of(line, depth), list[Node]()
            while not self._takes("]"):
                if not self._takes("\n") and not self._takes(","):
                    items.append(self._value(inside))
            return Items(line, tuple(items))
        if self._takes("{"):
            inside, table = depth_of(line, depth), _Open(line)
            while not self._takes("}"):
                if not self._takes(","):
                    self._pair(table, inside)
            return table.closed()
        token = self._next()
        if token.lastgroup == "string":
            return Text(line, _unquoted(token[0]), first=_first_line(token[0], line))
        return Text(line, self._rest_of(token), first=line)

    def _rest_of(self, token: re.Match[str]) -> str:
        """Return a number, a date or a time that begins with a token: there can be blanks and dots in it."""
        last = token
        while self._place < len(self._tokens) and self._tokens[self._place][0] not in (",", "]", "}", "\n"):
            last = self._next()
        return self._text[token.start() : last.end()]

    def _line(self) -> int:
        return self._lines.at(self._tokens[self._place].start())

    def _next(self) -> re.Match[str]:
        self._place += 1
        return self._tokens[self._place - 1]

    def _takes(self, mark: str) -> bool:
        """Pass this mark or line end, if it is next; tell whether it was."""
        is_next = self._place < len(self._tokens) and self._tokens[self._place][0] == mark
        self._place += is_next
        return is_next


def _unquoted(string: str) -> str:
    return str(tomllib.loads(f"it = {string}")["it"])


def _first_line(string: str, line: int) -> int | None:
    """Return where a string's first line stands; None where a \\ joins lines."""
    if string.startswith('"') and re.search(r"\\[ \t]*\n|\\n", string):
        return None
    return line + 1 if string[:4] in ('"""\n', "'''\n") else line
