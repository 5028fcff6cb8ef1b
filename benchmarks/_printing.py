"""What the benchmarks of the route print: a table in Markdown, as docs/performance.md has it, or JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

Row = Mapping[str, Any]


def arguments(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    """Return a parser with what each of them takes; `rounds` unless another number is given."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n\n")[0])
    parser.add_argument("--rounds", type=_at_least_one, default=rounds, help=f"medians of so many (default: {rounds})")
    parser.add_argument("--json", action="store_true")
    return parser


def _at_least_one(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def in_rounds(rounds: int, measure: Callable[[], Sequence[Row]]) -> list[Row]:
    """Return the rows of `measure`, with the median over all rounds of each number in them."""
    found = [measure() for _ in range(rounds)]
    return [{name: _median([row[name] for row in rows]) for name in rows[0]} for rows in zip(*found, strict=True)]


def _median(values: Sequence[Any]) -> Any:
    return median(values) if isinstance(values[0], int | float) else values[0]


def emit(rows: Sequence[Row], setting: Mapping[str, object], *, as_json: bool) -> None:
    """Print rows, and below them where and how they were measured.

    Args:
        rows: all with the same names; a None is not shown.
        setting: what was chosen, and the servers' versions; the machine is added.
        as_json: with all digits.
    """
    setting = {**machine(), **setting}
    if as_json:
        sys.stdout.write(json.dumps({"setting": setting, "rows": list(rows)}, indent=2) + "\n")
        return
    names = list(rows[0])
    lines = [names, ["---" if i == 0 else "---:" for i in range(len(names))]]
    lines += [[_shown(row[name]) for name in names] for row in rows]
    sys.stdout.write("".join(f"| {' | '.join(line)} |\n" for line in lines))
    sys.stdout.write("\n" + "; ".join(f"{name}: {value}" for name, value in setting.items()) + "\n")


def machine() -> dict[str, object]:
    """Return what is the same for all benchmarks. A load far above 0 says that others were at work."""
    root = Path(__file__).parents[1]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    commit = subprocess.run(command, capture_output=True, text=True)  # noqa: S603  (a fixed command)
    return {
        "commit": commit.stdout.strip() or "unknown",
        "cores": len(os.sched_getaffinity(0)),
        "Python": platform.python_version(),
        "load of the machine before": round(_LOAD, 1),
    }


#: Of the last minute, when this was started.
_LOAD = os.getloadavg()[0]


def _shown(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.1 else f"{value:.2g}"
