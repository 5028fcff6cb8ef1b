"""What the batch publisher and the throttle cost with a thousand and with a hundred thousand enrolments that wait in 20
campaigns, of which no two have an account in common; on PostgreSQL.

Medians of one run, each in milliseconds and as a ratio. Exit 1 if picking or a reservation takes more than twice as
long with the many as with the few.

    python -m benchmarks.campaigns [--enrolments 100000] [--json]
"""

from __future__ import annotations

import argparse
import datetime as dt
import logging
import sys

from benchmarks.backlog import NOW, SMALL, a_database, free_one, median, tell
from models import Control, database
from models.database import db
from pipeline import reserve_slot
from pipeline.campaigns import picking
from pipeline.capacity.room import room
from pipeline.runtime import logs
from tests.waiting_campaigns import fill

#: What may take twice as long at most, and what is said beside it.
PROMISED = ("picking what is due", "a trigger that gives a slot")
MOST = 2.0


def measure(enrolments: int) -> dict[str, float]:
    """Return seconds of each operation with so many enrolments."""
    fill(enrolments, NOW)
    picking.prepare(NOW)
    reserve_slot.reserve()
    Control.update(advanced_at=NOW + dt.timedelta(days=1)).execute()
    return {
        "round trip": median(lambda: db.execute_sql("SELECT 1").fetchone()),
        "bringing enrolments up to date": median(lambda: picking.prepare(NOW)),
        PROMISED[0]: median(lambda: picking.pick(room(NOW), NOW)),
        PROMISED[1]: median(reserve_slot.reserve, free_one),
    }


def main() -> int:
    """Measure few and many, and print a table; exit 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--enrolments", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    logs.configure(level=logging.WARNING)
    database.now = lambda: NOW
    seconds = {}
    for size in (SMALL, given.enrolments):
        with a_database("postgresql"):
            seconds[size] = measure(size)
    small, large = seconds.values()
    rows = [
        {
            "operation": name,
            f"ms_{SMALL}": round(small[name] * 1000, 2),
            f"ms_{given.enrolments}": round(large[name] * 1000, 2),
            "growth": round(large[name] / small[name], 2),
        }
        for name in small
    ]
    tell(rows, as_json=given.json)
    return int(any(large[name] > MOST * small[name] for name in PROMISED))


if __name__ == "__main__":
    sys.exit(main())
