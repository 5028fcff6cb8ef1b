"""What all imports have in common: a file with progress, refused lines on stderr, and what it came to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import click
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from pipeline.operations.batches import Imported
from pipeline.operations.csv_rows import ImportRefusedError, Listener, RefusedLine
from slowpost.cli.acting import report, who
from slowpost.cli.saying import progress_console, say
from slowpost.cli.shared import Refused, as_json, open_text
from slowpost.handing_on import hand_on


def import_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what every import takes."""
    strict = "Exit 1 if any line was refused (default: only if all were)."
    command = click.option("--strict", is_flag=True, help=strict)(as_json(command))
    return click.argument("file")(command)


def run_import(path: str, run: Callable[..., Imported], as_json: bool, *, strict: bool) -> Imported:
    """Import a file with progress and each refused line on stderr; exit 1 if nothing was taken, or, strict, if any
    was refused.
    """
    lines: list[RefusedLine] = []

    def on_refused(line: int, why: str) -> None:
        if as_json:
            lines.append(RefusedLine(line, why))
        say(f"line {line}: {why}", err=True)

    with progress_of_lines() as show, open_text(path) as file:
        try:
            done = run(file, Listener(on_refused, show), who())
        except ImportRefusedError as error:
            raise Refused(f"{path}: {error}") from None
    counts = {k: getattr(done, k) for k in ("added", "updated", "unchanged", "refused")}
    words = ", ".join(f"{number} {word}" for word, number in counts.items())
    if done.listed:
        words += f", {done.listed} put on lists"
    report(hand_on(done.handoffs), as_json, words, replace(done, refused_lines=tuple(lines)))
    if done.refused and (strict or done.refused == done.lines):
        raise Refused(f"{path}: {done.refused} of {done.lines} lines were refused")
    return done


@contextmanager
def progress_of_lines() -> Iterator[Callable[[Any], None]]:
    """Yield what is told after each batch of lines how many there have been."""
    if not sys.stderr.isatty():
        yield lambda summary: None if summary.lines % 10_000 else say(f"{summary.lines} lines", err=True)
        return
    columns = (SpinnerColumn(), TextColumn("{task.completed} lines"), BarColumn())
    with Progress(*columns, console=progress_console(), transient=True) as progress:
        task = progress.add_task("import", total=None)
        yield lambda summary: progress.update(task, completed=summary.lines)
