"""YAML as texts, lists and tables with their lines. Pure.

It takes the plain part of YAML: neither anchors, by which a small file can mean a huge one, nor tags, which can mean
anything, nor several documents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from pipeline.operations.file_nodes import Items, Lines, Node, SyntaxMistakeError, Table, Text, depth_of

#: What stands for nothing (YAML 1.1, null).
_NOTHING = ("", "~", "null", "Null", "NULL")
_NEVER_ENDS = "end of stream|stream end"
#: What PyYAML says → what a person may do about it.
_HINTS = {
    r"found character '\\t'": "YAML is indented with spaces, not with tabs",
    r"mapping values are not allowed": 'a text with ": " in it stands in quotes, or below a |',
    r"found character '[@`%]'": "a text that begins like that stands in quotes",
    r"but found '<scalar>'|expected <block end>": "is everything of one list or table indented alike?",
    _NEVER_ENDS: "what begins here never ends",
    r"found undefined alias|alphabetic or numeric": "a text that begins with * or & stands in quotes",
}


def read(text: str) -> Node:
    """Return what a YAML file holds. Raises SyntaxMistakeError."""
    try:
        return _Reader(text).document()
    except yaml.reader.ReaderError as error:
        line = Lines(text).at(error.position)
        raise SyntaxMistakeError(line, "there is a control character, which YAML does not take") from None
    except yaml.MarkedYAMLError as error:
        raise _mistake(text, error) from None


def _mistake(text: str, error: yaml.MarkedYAMLError) -> SyntaxMistakeError:
    problem = str(error.problem)
    mark = error.context_mark if re.search(_NEVER_ENDS, problem) else error.problem_mark
    hint = next((f" ({said})" for pattern, said in _HINTS.items() if re.search(pattern, problem)), "")
    return SyntaxMistakeError(Lines(text).at((mark or error.problem_mark).index), f"it is no YAML: {problem}{hint}")


class _Reader:
    """The events of PyYAML's parser, which never go deeper than this one does."""

    def __init__(self, text: str) -> None:
        self._lines = Lines(text)
        self._events: Iterator[Any] = yaml.parse(text, Loader=yaml.SafeLoader)

    def document(self) -> Node:
        """Return the only document."""
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return Table(1, {})
        found = self._node(next(self._events), 0)
        next(self._events)
        if not isinstance(after := next(self._events), yaml.StreamEndEvent):
            raise SyntaxMistakeError(self._line(after), "a second document begins here (---), and a file has one")
        return found

    def _node(self, event: Any, depth: int) -> Node:
        line = self._line(event)
        if event.anchor is not None:
            raise SyntaxMistakeError(line, "anchors and aliases (& and *) are not taken: write it out, or in quotes")
        if event.tag is not None:
            raise SyntaxMistakeError(line, "tags (!) are not taken: a text that begins with ! stands in quotes")
        if isinstance(event, yaml.ScalarEvent):
            # Behind a | each line of the text is one of the file; it begins on the next that is not empty.
            first = line + 1 if event.style == "|" else line if "\n" not in event.value else None
            return Text(line, event.value, event.style is None and event.value in _NOTHING, first)
        inside = depth_of(line, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return Items(line, tuple(self._node(e, inside) for e in self._until(yaml.SequenceEndEvent)))
        return Table(line, self._entries(inside))

    def _entries(self, depth: int) -> dict[str, tuple[int, Node]]:
        entries: dict[str, tuple[int, Node]] = {}
        for event in self._until(yaml.MappingEndEvent):
            line = self._line(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise SyntaxMistakeError(line, "a key is a word (a text that begins with { or [ stands in quotes)")
            key = self._node(event, depth)
            assert isinstance(key, Text)
            if key.text in entries:
                before = entries[key.text][0]
                raise SyntaxMistakeError(line, f"the key {key.text!r} is there twice, on line {before} first")
            entries[key.text] = (line, self._node(next(self._events), depth))
        return entries

    def _until(self, end: type) -> Iterator[Any]:
        while not isinstance(event := next(self._events), end):
            yield event

    def _line(self, event: Any) -> int:
        return self._lines.at(event.start_mark.index)
