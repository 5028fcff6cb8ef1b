"""Prints what the experiments came to: `python -m tests.faults.report FILE`, a line of JSON for each."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table


def main(file: Path) -> None:
    """Print a table, one row for an experiment."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    table = Table(box=None, header_style="bold")
    table.add_column("experiment")
    table.add_column("figures")
    for row in rows:
        name = row.pop("experiment")
        table.add_row(
            name.removeprefix("test_").replace("_", " "),
            ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in row.items()),
        )
    Console(width=160, highlight=False).print(table)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
