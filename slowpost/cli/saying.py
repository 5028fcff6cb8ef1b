"""The one place where text goes to the terminal: whatever it quotes, the terminal obeys none of it.

`script/lint` refuses `click.echo` and rich's `Console` elsewhere.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from pipeline.runtime.printable import printable

if TYPE_CHECKING:  # rich takes as long to import as all the rest
    from rich.console import Console
    from rich.table import Table


def say(text: str = "", *, err: bool = False, nl: bool = True, label: str = "", colour: str | None = None) -> None:
    """Print a text.

    Args:
        text: what to print.
        err: on stderr, not on stdout.
        nl: with a line end.
        label: printed before it, in `colour`.
        colour: a name that click knows.
    """
    start = click.style(printable(label), fg=colour) if colour else printable(label)
    click.echo(start + printable(text), err=err, nl=nl)


def clear() -> None:
    """Begin a new screen, where somebody looks at a terminal."""
    click.clear()


def say_file(text: str) -> None:
    """Print what is to be put into a file: as it is, unless somebody looks at a terminal."""
    click.echo(printable(text) if sys.stdout.isatty() else text, nl=False)


def say_table(table: Table) -> None:
    """Print a table whose cells have been through `printable`; as wide as it needs where nobody looks at a terminal."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 200
    # A cell is text: neither [markup] nor :emoji: is anything else in it.
    Console(width=width, highlight=False, markup=False, emoji=False).print(table)


def progress_console() -> Console:
    """Return where progress is shown: on stderr."""
    from rich.console import Console

    return Console(stderr=True)
