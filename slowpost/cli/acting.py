"""What acting commands have in common: who acts, what is handed on afterwards, and what they print.

An action is committed before anything is handed on (see `slowpost.handing_on`).
"""

from __future__ import annotations

import dataclasses
import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.operations.done import Done
from pipeline.runtime.printable import printable
from slowpost.cli.output import emit
from slowpost.cli.saying import say
from slowpost.handing_on import hand_on

#: Fields of a result that are not shown.
_INNER = ("handoffs", "new_key")


def who() -> str:
    """Return who acts, as the operating system knows them."""
    try:
        return printable(getpass.getuser())
    except (KeyError, OSError):
        return "unknown"


def say_where_the_key_is(path: Path | None) -> None:
    """Tell a person that an action has made a key file."""
    if path is not None:
        say(f"made a key that encrypts what is secret: keep {path} safe, and back it up", err=True)


def finish(done: Done, as_json: bool, sentence: str, data: Any = None) -> None:
    """Hand on what an action has left to do, and print what it came to.

    Args:
        done: what it came to.
        as_json: as JSON: `data` and `warnings`, a list that is empty when all went well.
        sentence: for a person; warnings go to stderr.
        data: the dataclass whose fields are the JSON's keys; None: `done`.
    """
    report(hand_on(done.handoffs), as_json, sentence, done if data is None else data)


def report(warnings: Sequence[str], as_json: bool, sentence: str, data: Any) -> None:
    """Print what an action came to; see `finish`."""

    def show() -> None:
        if sentence:
            say(sentence)
        for warning in warnings:
            say(warning, err=True)

    emit({name: getattr(data, name) for name in shown(data)} | {"warnings": warnings}, as_json, show)


def shown(result: Any) -> list[str]:
    """Return the names of those fields of a result (or its type) that programs are shown."""
    return [field.name for field in dataclasses.fields(result) if field.name not in _INNER]
