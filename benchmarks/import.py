"""How many rows a second an import of contacts stores in PostgreSQL; raw: COPY of the same file into a bare table.

Each contact has a website of its own and one more column. Behind it: how long the batch publisher then takes to pick
100 of them, for which the database has to know that there are more than before.

    python -m benchmarks.import [--contacts 20000] [--rounds 2] [--json]
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import Any

import psycopg2

from benchmarks import _printing
from benchmarks._world import SETTINGS, World, bound, world
from pipeline.operations import imports
from pipeline.operations.csv_rows import Listener
from schedules import publish_batch

CONTACTS = 20_000
COLUMNS = ("email", "name", "website", "priority", "company")
PICKED = 100


def main() -> None:
    """Measure and print."""
    parser = _printing.arguments(__doc__, rounds=2)
    parser.add_argument("--contacts", type=int, default=CONTACTS)
    given = parser.parse_args()
    os.environ |= SETTINGS
    file = "".join([",".join(COLUMNS) + "\n", *(_line(i) for i in range(given.contacts))])
    with world() as here:
        here.make("for_slowpost", 0, 0, "127.0.0.1")
        setting = {**here.versions(), "contacts": given.contacts, "rounds": given.rounds}
        rows = _printing.in_rounds(given.rounds, lambda: _round(here, file, given.contacts))
    _printing.emit(rows, setting, as_json=given.json)


def _line(number: int) -> str:
    name = f"Person {number}"
    return f"p{number}@shop{number}.test,{name},shop{number}.test,{number % 10},Company {number}\n"


def _round(here: World, file: str, contacts: int) -> list[Mapping[str, Any]]:
    rates = {"raw: COPY into a bare table": contacts / raw_limit(here, file)}
    with here.database("for_slowpost") as url, bound(url):
        rates["`contacts import`"] = contacts / _seconds(partial(imports.contacts, io.StringIO(file), Listener()))
        picking = _seconds(partial(publish_batch.publish, limit=PICKED, min_priority=0, dry_run=True))
        rates["`contacts import` again, nothing new"] = contacts / _seconds(
            partial(imports.contacts, io.StringIO(file), Listener())
        )
    raw = next(iter(rates.values()))
    rows = [{"an import": name, "rows/s": rate, "÷ raw": rate / raw, "s": None} for name, rate in rates.items()]
    return [*rows, {"an import": f"`publish --limit {PICKED}` behind it", "rows/s": None, "÷ raw": None, "s": picking}]


def _seconds(do: Callable[[], object]) -> float:
    began = time.monotonic()
    do()
    return time.monotonic() - began


def raw_limit(here: World, file: str) -> float:
    """Return the seconds that COPY takes."""
    with here.database() as url, closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE bare ({', '.join(f'{column} text' for column in COLUMNS)})")
        connection.commit()
        began = time.monotonic()
        cursor.copy_expert("COPY bare FROM STDIN WITH (FORMAT csv, HEADER)", io.StringIO(file))
        connection.commit()
        return time.monotonic() - began


if __name__ == "__main__":
    main()
