"""Contacts as they are named to a command: each an argument, or all of them by the lines of stdin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from slowpost.cli.shared import CONTACT, open_text

#: What stands for the lines of stdin.
STDIN = ("-",)
#: Characters of a line that are read at once: more than an id or an address has.
MAX_LINE = 1000


class _Named(click.ParamType[str, Any]):
    """A contact, or `-`: one in each line of stdin."""

    name = "contact"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return "-" if value == "-" else str(CONTACT.convert(value, param, ctx))


def contacts_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument `contacts`."""
    return click.argument("contacts", metavar="CONTACT...", type=_Named(), nargs=-1, required=True)(command)


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
