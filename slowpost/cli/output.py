"""What the commands print: tables for people, JSON for programs, progress on stderr."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.progress import Progress
from rich.table import Table

from pipeline.reports import reasons
from pipeline.runtime.printable import json_safe, printable
from pipeline.runtime.settings import settings
from slowpost.cli.saying import progress_console, say, say_table


def emit(report: Any, as_json: bool, show: Callable[[], None]) -> None:
    """Print a report (a dataclass, or a list of them) as JSON, or let `show` print it for a person."""
    if as_json:
        say(to_json(report))
    else:
        show()


def to_json(report: Any) -> str:
    """Return a report as JSON, field for field: times in UTC (ISO 8601), numbers as numbers, lists as lists."""
    return json_safe(json.dumps(report, default=_plain, indent=2, ensure_ascii=False))


def _plain(value: Any) -> Any:
    """Return what stands in JSON for a value that `json` does not know; it goes on with what is inside."""
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, dt.datetime):
        return utc(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def utc(at: dt.datetime | None) -> str | None:
    """Return a time as it stands in JSON."""
    return None if at is None else at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def show_table(rows: Iterable[Any], columns: Mapping[str, str], empty: str) -> None:
    """Print a table of dataclasses or mappings: their field or key → heading; `empty` where there are no rows."""
    rows = list(rows)
    if not rows:
        say(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in columns.values():
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(
            *(printable(cell(row[name] if isinstance(row, Mapping) else getattr(row, name))) for name in columns)
        )
    say_table(table)


def show_csv(rows: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> None:
    """Print CSV for a spreadsheet, in which no text is a formula; times in UTC (ISO 8601)."""
    writer = csv.DictWriter(sys.stdout, list(columns))
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _csv_cell(value) for name, value in row.items()})


#: What a spreadsheet takes for a formula, at the start of a cell or of what it may take for one (OWASP, CSV Injection;
#: some split at semicolons, and pass over white space).
_FORMULA = re.compile(r"^(?=[\t\r\n])|(?:^|[;\t\r\n])\s*(?=[=+\-@＝＋－＠])")
_NUMBER = re.compile(r"\s*[+-]?[\d.,]+%?\s*")


def _csv_cell(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return utc(value)
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        return value
    return printable(_FORMULA.sub(lambda found: f"{found[0]}'", value))


def show_fields(report: Any, names: Iterable[str]) -> None:
    """Print the named fields of a dataclass, one in a line; those that are empty are left out."""
    for name in names:
        value = getattr(report, name)
        if value is not None and value not in ("", {}, ()):
            # A line of a value is no field of its own.
            say(f"{name.replace('_', ' ')}: {cell(value)}".replace("\n", "\n  "))


def cell(value: Any) -> str:
    """Return a value as people read it; a time on the clocks of the window's zone."""
    if value is None or value == ():
        return "–"
    if isinstance(value, tuple):
        return ", ".join(map(cell, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dt.datetime):
        return f"{value.astimezone(settings().mail_window_timezone):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {cell(inner)}" for name, inner in value.items())
    return str(value)


def local(at: dt.datetime) -> str:
    """Return a time on the clocks of the window's zone, with the day of the week and the zone's name."""
    return reasons.local(at, settings().mail_window_timezone)


@contextmanager
def progress(title: str, total: float | None = None) -> Iterator[Callable[..., None]]:
    """Yield what is told how far long work has come, and of how much where `total` is not known from the start; shown
    where somebody looks at a terminal.
    """
    with Progress(console=progress_console(), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(title, total=total)
        yield lambda completed, of=total: bar.update(task, completed=completed, total=of)
