"""`docs/json.md`, written from the reports' types and docstrings: `python -m tests.cli.json_page` writes it anew."""

from __future__ import annotations

import dataclasses
import datetime as dt
import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from models import State
from pipeline.reports.accounts import AccountRow
from pipeline.reports.contacts import ContactDetails, ContactRow
from pipeline.reports.dead_letters import DeadLetterDetails, DeadLetterRow
from pipeline.reports.doubt import DoubtRow
from pipeline.reports.log import AttemptRow
from pipeline.reports.plan import Plan
from pipeline.reports.reasons import WORDS
from pipeline.reports.status import Status
from pipeline.reports.suppressions import SuppressionRow
from pipeline.reports.templates import TemplateDetails, TemplateRow
from pipeline.reports.why import Why

PAGE = Path(__file__).parents[2] / "docs" / "json.md"

#: A command as it is called → the type of what it prints with `--json`: a dataclass, or a list of one.
REPORTS: Mapping[str, Any] = {
    "status": Status,
    "plan": Plan,
    "why CONTACT": Why,
    "log": list[AttemptRow],
    "accounts list": list[AccountRow],
    "contacts list": list[ContactRow],
    "contacts find TEXT": list[ContactRow],
    "contacts show CONTACT": ContactDetails,
    "templates list": list[TemplateRow],
    "templates show TEMPLATE_ID": TemplateDetails,
    "dead list": list[DeadLetterRow],
    "dead show LETTER_ID": DeadLetterDetails,
    "in-doubt list": list[DoubtRow],
    "suppress list": list[SuppressionRow],
}

#: The parts of the page: heading → commands. What people do gets a part of its own.
PARTS: Mapping[str, Mapping[str, Any]] = {"Reports": REPORTS}

HEAD = """\
# What `--json` prints

Each command below prints its report, field for field: an object, or a list of objects. The same keys are there always,
null where there is nothing to say; new keys can come.

| type | is |
|---|---|
| number | a JSON number |
| text | a string |
| time | a string, UTC, ISO 8601 to the second: `2026-06-02T14:00:00Z` |
| date | a string, `2026-06-02` |
| state | a string, [one of these](#words) |
| object | an object whose keys are yours |

`list[].key` is a key of each object in a list. CONTACT is a contact's id or its address. A refusal is one line
on stderr with nothing on stdout, and exit code 1 (2: the command was called in a wrong way).

This page is written from the program (`python -m tests.cli.json_page`), and a test compares the two.
"""


def page() -> str:
    """Return the page as it has to be."""
    return "\n".join([HEAD, *_commands(), *_words()])


def _commands() -> Iterator[str]:
    for heading, commands in PARTS.items():
        yield f"## {heading}\n"
        for command, kind in commands.items():
            report = item_of(kind)
            each = "A list, an object for each. " if report is not kind else ""
            yield f"### `slowpost {command}`\n\n{each}{_summary(report)}\n\n| key | type | meaning |\n|---|---|---|"
            yield from (f"| `{key}` | {shown} | {meaning} |" for key, shown, meaning in rows(report))
            yield ""


def item_of(kind: Any) -> Any:
    """Return the dataclass behind a report's type: itself, or what it is a list of."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) in (list, tuple) else kind


def rows(report: Any, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield key, type and meaning of each field of a report, and of what is inside."""
    kinds, meanings = typing.get_type_hints(report), _meanings(report)
    for field in dataclasses.fields(report):
        kind = kinds[field.name]
        yield prefix + field.name, _type(kind), meanings[field.name]
        inner = item_of(_without_none(kind))
        if dataclasses.is_dataclass(inner):
            yield from rows(inner, f"{prefix}{field.name}{'[]' if inner is not _without_none(kind) else ''}.")


def _type(kind: Any) -> str:
    plain = _without_none(kind)
    null = "" if plain is kind else " or null"
    if typing.get_origin(plain) in (list, tuple):
        inner = item_of(plain)
        return ("list of objects" if dataclasses.is_dataclass(inner) else f"list of {_type(inner)}s") + null
    if dataclasses.is_dataclass(plain) or typing.get_origin(plain) is not None:
        return "object" + null
    if plain is State:
        return "state" + null
    if issubclass(plain, StrEnum):
        return ", ".join(f"`{word}`" for word in plain) + null
    return _PLAIN[plain] + null


_PLAIN = {int: "number", float: "number", bool: "true or false", str: "text", dt.datetime: "time", dt.date: "date"}


def _without_none(kind: Any) -> Any:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        (kind,) = (part for part in typing.get_args(kind) if part is not type(None))
    return kind


def _meanings(report: Any) -> dict[str, str]:
    """Return what the docstrings of a report, and of what it extends, say of its fields."""
    found: dict[str, str] = {}
    for base in reversed(report.__mro__[:-1]):
        _, _, attributes = (inspect.getdoc(base) or "").partition("Attributes:\n")
        for name, meaning in re.findall(r"^    (\w+): ((?:.|\n {8})+)", attributes, re.MULTILINE):
            found[name] = " ".join(meaning.split()).replace("|", "\\|")
    assert set(found) == {field.name for field in dataclasses.fields(report)}, report
    return found


def _summary(report: Any) -> str:
    return " ".join((inspect.getdoc(report) or "").partition("Attributes:")[0].split())


def _words() -> Iterator[str]:
    yield "## Words\n"
    yield f"States of a delivery, in the order of the route: {', '.join(f'`{state}`' for state in State)}.\n"
    yield "Reasons:\n\n| word | in a sentence |\n|---|---|"
    sentences = {word: sentence.format(until="a time", number="so many") for word, sentence in WORDS.items()}
    yield from (f"| `{word}` | {sentence} |" for word, sentence in sentences.items())
    yield ""


if __name__ == "__main__":
    PAGE.write_text(page())
