"""The whole route as a user starts it: `slowpost init`, two worker processes, both servers, and a mail server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pika
import pytest

from models import Attempt, Delivery, SmtpAccount
from slowpost.catcher import Catcher
from tests.builders import a_contact, a_template, a_website, an_account

#: Seconds for what takes a few.
PATIENCE = 60


@pytest.fixture
def environment(postgres: str, empty_rabbitmq: str) -> dict[str, str]:
    """What a user's `.env` would say: always open, as early as the limits allow."""
    return os.environ | {
        "DATABASE_URL": postgres,
        "BROKER_URL": empty_rabbitmq,
        "MAIL_WINDOW_START": "0",
        "MAIL_WINDOW_END": "0",
        "MAIL_WINDOW_TIMEZONE": "UTC",
        "MAIL_SPREAD": "off",
        "MAIL_MIN_INTERVAL": "1",
        "MAIL_DAILY_LIMIT": "3",
    }


def slowpost(environment: dict[str, str], *words: str) -> str:
    """Run a command as a user would."""
    done = subprocess.run(
        [sys.executable, "-m", "slowpost", *words], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


@contextmanager
def workers(environment: dict[str, str], log: Path) -> Iterator[None]:
    """Run two worker processes; at the end they stop by themselves when they are asked to."""
    command = [sys.executable, "-m", "slowpost", "worker", "--processes", "2", "--threads", "4"]
    with log.open("w") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
    assert process.returncode == 0, log.read_text()


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, [(d.state, d.reason) for d in Delivery.select()]
        time.sleep(0.1)


def put_on_intake(url: str, ids: list[int], message_id: str) -> None:
    """Publish plain JSON, as any program may."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        properties = pika.BasicProperties(message_id=message_id)
        connection.channel().basic_publish("", "intake", json.dumps(ids).encode(), properties)


def queued(environment: dict[str, str]) -> dict[str, int]:
    """Return the queues that hold messages."""
    queues = json.loads(slowpost(environment, "status", "--json"))["queues"]
    return {q["queue"]: q["messages"] for q in queues if q["messages"]}


def test_every_contact_becomes_one_mail_and_no_account_goes_over_its_limit(
    environment: dict[str, str], empty_rabbitmq: str, tmp_path: Path
) -> None:
    slowpost(environment, "init")
    a_template()
    ids = [a_contact(website=a_website()).id for _ in range(35)]
    with Catcher(tmp_path / "mails") as catcher, workers(environment, tmp_path / "log"):
        for _ in range(10):
            an_account(port=catcher.port)
        put_on_intake(empty_rabbitmq, ids[:30], "first")
        until(lambda: Delivery.select().where(Delivery.recorded_at.is_null(False)).count() == 30)

        assert Counter(m.recipient for m in catcher.mails) == Counter(d.recipient for d in Delivery.select())
        assert [a.outcome for a in Attempt.select()] == ["accepted"] * 30
        assert {Attempt.select().where(Attempt.account == a.id).count() for a in SmtpAccount.select()} == {3}
        until(lambda: queued(environment) == {})

        put_on_intake(empty_rabbitmq, ids[:30], "second")
        put_on_intake(empty_rabbitmq, ids[:30], "second")
        put_on_intake(empty_rabbitmq, ids[30:], "third")
        until(lambda: Delivery.select().where(Delivery.state.in_(["skipped", "ready"])).count() == 35)

    assert Counter((d.state, d.reason) for d in Delivery.select()) == {
        ("sent", "accepted"): 30,
        ("skipped", "contacted_recently,website_contacted_recently"): 30,
        ("ready", None): 5,
    }
    assert len(catcher.mails) == 30
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert "@example.test" not in log


def test_a_dead_letter_is_shown_on_its_queue_until_a_person_decides(
    environment: dict[str, str], empty_rabbitmq: str, tmp_path: Path
) -> None:
    slowpost(environment, "init")
    a_template(text="Dear {{ contact.nickname }}")
    contact = a_contact()
    with workers(environment, tmp_path / "log"):
        put_on_intake(empty_rabbitmq, [contact.id, 999_999, -1], "first")
        until(lambda: Delivery.select().where(Delivery.recorded_at.is_null(False)).count() == 1)
    # The workers have done what they had to: there is one copy of each, and none comes later.
    assert queued(environment) == {"dead-letter": 3}
    letters = json.loads(slowpost(environment, "dead", "list", "--json"))
    assert {(d["kind"], d["queue"], d["reason"]) for d in letters} == {
        ("message", "intake", "-1 is no id (a whole number from 1 to 2147483647)"),
        ("message", "intake", "contact 999999 does not exist"),
        ("delivery", None, "template_error"),
    }
    first, second, third = (str(d["id"]) for d in letters)
    slowpost(environment, "dead", "discard", first)
    # What has been looked at is ready again when its connection has gone.
    until(lambda: queued(environment) == {"dead-letter": 2})
    slowpost(environment, "dead", "discard", second, third)
    until(lambda: queued(environment) == {})
