"""Contacts that a command is given, one by one or by the lines of stdin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from pipeline.operations.csv_rows import Listener, RefusedLine
from slowpost.cli.importing import progress_of_lines
from slowpost.cli.saying import say
from slowpost.cli.shared import CONTACT, Refused, open_text

#: What stands for the lines of stdin.
STDIN = ("-",)
#: Characters of a line that are read at once: more than an id or an address has.
MAX_LINE = 1000


class _Member(click.ParamType[str, Any]):
    """A contact, or `-`: one in each line of stdin."""

    name = "contact"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return "-" if value == "-" else str(CONTACT.convert(value, param, ctx))


#: The argument CONTACT... of a command.
contacts_argument = click.argument("contacts", metavar="CONTACT...", type=_Member(), nargs=-1, required=True)


def with_each(contacts: tuple[str, ...], do: Callable[[Iterable[str], Listener], Any]) -> tuple[Any, list[RefusedLine]]:
    """Do something with each contact; return what `do` returns, and which contacts it refused, each told on stderr.

    Raises:
        Refused: the only one that was named was refused.
    """
    refused: list[RefusedLine] = []

    def on_refused(line: int, why: str) -> None:
        refused.append(RefusedLine(line, why))
        if len(contacts) > 1 or contacts == STDIN:
            say(f"line {line}: {why}" if contacts == STDIN else why, err=True)

    with progress_of_lines() as at, each_named(contacts) as each:
        done = do(each, Listener(on_refused, at))
    if refused and len(contacts) == 1 and contacts != STDIN:
        raise Refused(refused[0].reason)
    return done, refused


@contextmanager
def each_named(contacts: tuple[str, ...]) -> Iterator[Iterable[str]]:
    """Yield the contacts that are named, or those that the lines of stdin name."""
    if "-" not in contacts:
        yield contacts
    elif contacts != STDIN:
        raise click.UsageError("- stands for the lines of stdin, and beside no other contact")
    else:
        with open_text("-") as file:
            yield iter(lambda: file.readline(MAX_LINE), "")
