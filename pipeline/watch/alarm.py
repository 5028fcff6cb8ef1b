"""Alerts about the running of the program. Every process that lives looks now and then, and so does the sweep: whoever
works can tell that the others don't. Where nobody lives at all, `slowpost status --check` tells, asked from elsewhere.

Writes: `open_alert`, a row for each problem that somebody has been told of, so that of all who look one tells.
Trouble: a process that dies between its row and the alert has told nobody; `slowpost status` says it still.
"""

from __future__ import annotations

import datetime as dt

from models import Heartbeat, OpenAlert, database
from models.base import insert_new
from models.heartbeat import JOBS
from pipeline.accounts.alerts import Alert, alert
from pipeline.watch.problems import lives_since, problems

#: Processes that have stopped, or been silent, are forgotten after this.
FORGOTTEN = dt.timedelta(hours=1)
#: Where everything is started, the first who looks gives the others so long to come.
STARTS = dt.timedelta(seconds=30)


def look() -> None:
    """Tell somebody of what is wrong and nobody has been told of, and of what is mended; forget processes of before."""
    now = database.now()
    found = problems(now)
    began = lives_since(list(Heartbeat.select()), now)
    for problem in found if began is None or now - began >= STARTS else ():
        since = problem.since or now
        if insert_new(OpenAlert, what=problem.problem, since=since, told_at=now) is not None:
            alert(problem.problem, problem.words, now)
    # What somebody else has seen and told meanwhile is not mended.
    gone = OpenAlert.what.not_in([problem.problem for problem in found]) & (OpenAlert.told_at < now)
    for row in list(OpenAlert.delete().where(gone).returning(OpenAlert).execute()):
        alert(Alert.MENDED, f"{row.what}: from {row.since:%Y-%m-%d %H:%M:%S} UTC on", now)
    Heartbeat.delete().where(Heartbeat.kind.not_in(JOBS) & (Heartbeat.beat_at < now - FORGOTTEN)).execute()
