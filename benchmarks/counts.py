"""The gate of the route's price: statements, commits and messages a mail, compared with those written in `counts.json`.

All contacts are on `intake` before the first worker starts: then one process, with as many threads and messages at hand
as stand here, sends from 10 accounts. So what is counted does not depend on the machine. Counted is all, from the first
publish and the worker's start on (`tests.wire`).

    python -m benchmarks.counts [--rounds 1] [--write] [--json] [--statements]

Ends with 1 if any is more than a tenth above the written one. `--write` writes what was counted.
`--statements` says instead how often each was sent: its verb, the table it is about, and whether it locks its rows.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import _printing
from benchmarks._contestants import Slowpost
from benchmarks._world import World, world
from tests.wire import in_short

MAILS, CAMPAIGNS = 200, 20
THREADS, PREFETCH = 8, 16
SIZES = (100, 1)
WRITTEN = Path(__file__).with_suffix(".json")
#: How many times the written figure is allowed.
ALLOWED = 1.1
COUNTED = ("statements", "commits", "messages")


def main() -> int:
    """Count, print, and compare."""
    parser = _printing.arguments(__doc__, rounds=1)
    parser.add_argument("--write", action="store_true", help=f"write them into {WRITTEN.name}")
    parser.add_argument("--statements", action="store_true", help="which they are")
    given = parser.parse_args()
    with world() as here:
        here.make("for_slowpost", MAILS, CAMPAIGNS, "127.0.0.1")
        if given.statements:
            return _say_which(here, as_json=given.json)
        setting = {**here.versions(), "mails": MAILS, "threads": THREADS, "messages at hand": PREFETCH}
        rows = _printing.in_rounds(given.rounds, lambda: [count(here, size) for size in SIZES])
    _printing.emit(rows, setting, as_json=given.json)
    if given.write:
        found = {row["a mail takes"]: {name: round(row[name], 2) for name in COUNTED} for row in rows}
        WRITTEN.write_text(json.dumps(found, indent=2) + "\n")
        return 0
    written = json.loads(WRITTEN.read_text())
    above = [line for row in rows for line in _above(row, written[row["a mail takes"]])]
    sys.stderr.write("".join(f"{line}\n" for line in above))
    return int(bool(above))


def _above(row: Mapping[str, Any], written: Mapping[str, float]) -> list[str]:
    """Return a sentence for each figure that is too high."""
    return [
        f"{row['a mail takes']}: {row[name]:.2f} {name} a mail, written are {written[name]:.2f}"
        for name in COUNTED
        if row[name] > written[name] * ALLOWED
    ]


def _say_which(here: World, *, as_json: bool) -> int:
    each: dict[int, Counter[str]] = {}
    for size in SIZES:
        count(here, size, each.setdefault(size, Counter()))
    names = sorted(set().union(*each.values()), key=lambda name: -max(of[name] for of in each.values()))
    rows = [
        {"a statement": name} | {f"a mail, lists of {size}": each[size][name] / MAILS for size in SIZES}
        for name in names
    ]
    _printing.emit(rows, {"mails": MAILS}, as_json=as_json)
    return 0


def count(here: World, size: int, which: Counter[str] | None = None) -> Mapping[str, Any]:
    """Return what a mail takes that comes in a list of `size`; the statements are added to `which`."""
    contestant = Slowpost(here, size, processes=1, threads=THREADS, prefetch=PREFETCH)
    with contestant.counted(), contestant.prepared() as at:
        before = contestant.counts()
        assert contestant.wires is not None
        seen, asked_before = contestant.wires[0].statements, len(contestant.wires[0].statements)
        contestant.put_in(at, 1, MAILS)
        with contestant.working(at):
            contestant.wait_for(at, MAILS)
            found = contestant.counts() - before
    if which is not None:
        which.update(map(in_short, seen[asked_before:]))
    each = (found.requests / MAILS, found.commits / MAILS, found.messages / MAILS)
    return {"a mail takes": contestant.name, **dict(zip(COUNTED, each, strict=True))}


if __name__ == "__main__":
    sys.exit(main())
