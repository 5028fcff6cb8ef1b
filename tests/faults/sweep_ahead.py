"""One sweep on a clock that is some seconds ahead: `python -m tests.faults.sweep_ahead SECONDS [DOUBT_AFTER]`.

A claim is in doubt DOUBT_AFTER seconds (15) after it on the real clock: the fleet's timeouts are far shorter than a
user's, and whoever holds it has given up by then.
"""

from __future__ import annotations

import datetime as dt
import sys

from models import database
from pipeline import sweep
from pipeline.runtime.settings import settings
from schedules import sweep as job

if __name__ == "__main__":
    ahead, doubt_after = (dt.timedelta(seconds=float(word)) for word in [*sys.argv[1:], "15"][:2])
    real_now, mark_in_doubt = database.now, sweep.mark_in_doubt
    database.now = lambda: real_now() + ahead
    sweep.mark_in_doubt = lambda _before: mark_in_doubt(real_now() - doubt_after)
    database.connect(settings().database_url)
    with database.connection():
        job.sweep()
