"""`kill -9` of an embedded `slowpost run`, again and again: everybody is written once, or is in doubt and says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from models import Delivery, State
from models.delivery import UNFINISHED
from slowpost.catcher import Catcher
from tests.builders import a_contact, a_template, a_website, an_account

ACCOUNTS, CONTACTS, KILLS = 4, 120, 3
#: Seconds for all of it.
PATIENCE = 90


def run(environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start `slowpost run`."""
    with log.open("a") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "slowpost", "run"], env=environment, stdout=output, stderr=output
        )


def test_everybody_is_written_once_or_is_in_doubt(sqlite: str, tmp_path: Path) -> None:
    environment = os.environ | {
        "DATABASE_URL": sqlite,
        "MAIL_WINDOW_START": "0",
        "MAIL_WINDOW_END": "0",
        "MAIL_SPREAD": "off",
        "MAIL_MIN_INTERVAL": "0.1",
        "MAIL_DAILY_LIMIT": "1000",
    }
    a_template()
    for _ in range(CONTACTS):
        a_contact(website=a_website())
    deadline = time.monotonic() + PATIENCE
    with Catcher(tmp_path / "mails") as catcher:
        for _ in range(ACCOUNTS):
            an_account(port=catcher.port)
        process = run(environment, tmp_path / "log")
        publish = subprocess.run([sys.executable, "-m", "slowpost", "publish"], env=environment, check=False)
        assert publish.returncode == 0
        second = subprocess.run(
            [sys.executable, "-m", "slowpost", "run"],
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert second.returncode == 1
        assert second.stderr.startswith("slowpost: another `slowpost run` works on ")
        for kill in range(1, KILLS + 1):
            while len(catcher.mails) < kill * CONTACTS // (KILLS + 1):
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.01)
            process.kill()
            process.wait()
            process = run(environment, tmp_path / "log")
        waiting = Delivery.state.in_(UNFINISHED) & (Delivery.state != State.IN_DOUBT)
        while Delivery.select().where(waiting).exists():
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0

    mails = Counter(m.recipient for m in catcher.mails)
    states = {d.recipient: d.state for d in Delivery.select()}
    assert len(states) == CONTACTS
    assert set(mails.values()) == {1}
    assert {recipient for recipient, state in states.items() if state == State.SENT} <= set(mails)
    doubtful = [recipient for recipient, state in states.items() if state == State.IN_DOUBT]
    assert set(states) - set(mails) <= set(doubtful)
    assert len(doubtful) <= ACCOUNTS * KILLS
    assert "Traceback" not in (tmp_path / "log").read_text()
