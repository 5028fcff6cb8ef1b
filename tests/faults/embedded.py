"""The embedded default: one `slowpost run` on an SQLite file, started and killed by the test."""

from __future__ import annotations

import datetime as dt
import signal
import time
from pathlib import Path

from models import Campaign, Delivery, Enrolment, EnrolmentState, State, database
from models.control import wake_by
from models.states import UNFINISHED
from pipeline import select_contacts
from pipeline.runtime.failpoints import VARIABLE
from tests.faults.fleet import new_contacts
from tests.faults.starter import Process, Starter

#: Seconds in which it has to be gone when it is told to stop.
STOPS_WITHIN = 60


class Embedded:
    """One `slowpost run` at a time.

    Attributes:
        faults: when it was killed (UTC).
        failpoints: the directory in which failpoints are armed.
        sources: contact ids by the message that they came in.
        enrolled: contact ids by what enrolled them in a campaign.
        process: the one that was started last.
    """

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        """Start nothing yet; at the end of `with` nothing is left that runs."""
        self.failpoints = folder / "failpoints"
        self.failpoints.mkdir()
        self.environment = environment | {VARIABLE: str(self.failpoints)}
        self.faults: list[dt.datetime] = []
        self.sources: dict[str, list[int]] = {}
        self.enrolled: dict[str, list[int]] = {}
        self.process: Process | None = None
        self._starter = Starter(self.environment)
        self._log = folder / "log"
        self._log.touch()

    def __enter__(self) -> Embedded:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind that runs."""
        self._starter.close()

    def start(self) -> Process:
        """Start it."""
        self.process = self._starter.start("slowpost", "run", log=self._log)
        return self.process

    def arm(self, failpoint: str) -> None:
        """Let it die when it comes to `failpoint`."""
        (self.failpoints / failpoint).write_text("kill")

    def dies(self, patience: float = 30) -> None:
        """Wait until it has died at a failpoint."""
        assert self.process is not None
        assert self.process.wait(patience) == -signal.SIGKILL, self.log()[-3000:]
        self.faults.append(dt.datetime.now(dt.UTC))

    def kill(self) -> None:
        """Kill it, whatever it is doing."""
        assert self.process is not None
        self.faults.append(dt.datetime.now(dt.UTC))
        self.process.kill()
        assert self.process.wait() == -signal.SIGKILL, self.log()[-3000:]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop it as an operator would; return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(STOPS_WITHIN)

    def select(self, number: int) -> list[int]:
        """Put new contacts onto the route as `slowpost send` does beside it; return their ids."""
        source = f"source-{len(self.sources)}"
        ids = new_contacts(source, number)
        self.sources[source] = ids
        select_contacts.select(select_contacts.asked(source, ids))
        wake_by(database.now())
        return ids

    def enrol(self, number: int, campaign: Campaign) -> None:
        """Put new contacts into a campaign, as `slowpost campaigns enrol` does beside it."""
        source = f"enrolled-{len(self.enrolled)}"
        self.enrolled[source] = new_contacts(source, number)
        select_contacts.select(select_contacts.asked(source, self.enrolled[source]), campaign_id=campaign.id)

    def publish(self) -> None:
        """Run the batch publisher beside it, as a person does."""
        assert self._starter.start("slowpost", "publish", log=self._log).wait(STOPS_WITHIN) == 0, self.log()[-3000:]

    def settle(self, patience: float = 60) -> float:
        """Wait until nothing waits any more but for a person; return the seconds that took."""
        started = time.monotonic()
        waiting = Delivery.state.in_(UNFINISHED) & (Delivery.state != State.IN_DOUBT)
        to_pick = (Enrolment.state == EnrolmentState.ACTIVE) & Enrolment.delivery_id.is_null()
        while (steps := Enrolment.select().where(to_pick).exists()) or Delivery.select().where(waiting).exists():
            assert time.monotonic() - started < patience, f"it does not settle: {self.log()[-3000:]}"
            if steps:
                self.publish()
            time.sleep(0.05)
        return time.monotonic() - started

    def log(self) -> str:
        """Return what it has said."""
        return self._log.read_text()
