"""One sweep on a clock that is some seconds ahead: `python -m tests.faults.sweep_ahead SECONDS`."""

from __future__ import annotations

import datetime as dt
import sys

from models import database
from pipeline.settings import settings

if __name__ == "__main__":
    ahead, real_now = dt.timedelta(seconds=float(sys.argv[1])), database.now
    database.now = lambda: real_now() + ahead
    database.connect(settings().database_url)
    # What is being sent is left alone: its timeouts are not up on the real clock.
    from pipeline import sweep

    sweep.mark_in_doubt = lambda _before: []
    from schedules import sweep as job

    with database.connection():
        job.run()
