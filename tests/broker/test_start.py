"""Long-running commands are started in any order with their servers, and say what they wait for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.broker.conftest import until
from tests.servers import PrivatePostgres, PrivateRabbitmq


def test_run_scheduler_and_worker_wait_for_both_servers_and_end_well_before_and_after(
    tmp_path: Path, empty_rabbitmq: str
) -> None:
    with PrivatePostgres() as postgres, PrivateRabbitmq(starts_at_once=False) as rabbitmq:
        environment = os.environ | {"DATABASE_URL": postgres.url, "BROKER_URL": rabbitmq.url}
        # On a RabbitMQ that runs: theirs takes long to start, and is to be found without queues.
        init = [sys.executable, "-m", "slowpost", "init"]
        subprocess.run(init, env=environment | {"BROKER_URL": empty_rabbitmq}, check=True, capture_output=True)
        postgres.stop()

        def start(words: list[str]) -> tuple[subprocess.Popen[bytes], Path]:
            log = tmp_path / f"{words[0]}-{len(list(tmp_path.iterdir()))}.log"
            with log.open("w") as output:
                command = [sys.executable, "-m", "slowpost", *words]
                return subprocess.Popen(command, env=environment, stdout=output, stderr=output), log

        started = [start(words) for words in COMMANDS]
        impatient, its_log = start(["run"])
        try:
            for log in (its_log, *(log for _, log in started)):
                until(lambda log=log: has_said(log, "waiting", "the database"), log.read_text)
            impatient.send_signal(signal.SIGTERM)
            assert impatient.wait(10) == 0
            postgres.start()
            for _, log in started:
                until(lambda log=log: has_said(log, "waiting", "RabbitMQ"), log.read_text)
            rabbitmq.start()
            for _, log in started:
                until(lambda log=log: has_said(log, "going on", "RabbitMQ"), log.read_text, patience=60)
            for (_, log), event in zip(started, ("running", "scheduling", "working"), strict=True):
                until(lambda log=log, event=event: event in {e["event"] for e in events(log)}, log.read_text)
        finally:
            for process, _ in started:
                process.send_signal(signal.SIGTERM)
            ends = [process.wait(60) for process, _ in started]
        assert ends == [0, 0, 0]
        assert "Traceback" not in "".join(log.read_text() for _, log in started)


COMMANDS = (["run"], ["scheduler"], ["worker", "--threads", "2"])


def events(log: Path) -> list[dict[str, Any]]:
    """Return what a command has logged as JSON."""
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def has_said(log: Path, event: str, what: str) -> bool:
    """Tell whether a command has logged this."""
    return any((e["event"], e.get("what")) == (event, what) for e in events(log))
