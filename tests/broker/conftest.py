"""A RabbitMQ broker in this run's vhost, with a delay ladder a hundred times faster, and an empty server afterwards;
and Slowpost as a user starts it there.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pika
import pytest

from actors.rabbitmq.broker import QuorumBroker
from actors.running import WorkerState
from actors.waiting import until_available
from pipeline.flow import Stage
from tests.broker import vhost
from tests.faults.starter import USUAL, Starter

#: Milliseconds of the ladder's step here.
UNIT_MS = 10


@pytest.fixture
def empty_rabbitmq(request: pytest.FixtureRequest, rabbitmq_url: str, configure: Callable[..., None]) -> str:
    """The URL of a vhost in which there is nothing, or only what `broker` declares anyhow."""
    owner = BROKER if "broker" in request.fixturenames else NOBODY
    if owner == BROKER:
        configure(mail_retry_backoff="1,2")
    vhost.empty(rabbitmq_url, owner)
    return rabbitmq_url


#: Who declares queues with a quick ladder; and who declares none.
BROKER, NOBODY = "broker", "nobody"


@pytest.fixture
def broker(empty_rabbitmq: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[QuorumBroker]:
    """A broker that knows the six queues, and retries after 1 and 2 s. If the test changes nothing of what it declares,
    that stays for the next.
    """
    changes = vhost.changes(monkeypatch)
    made = QuorumBroker(empty_rabbitmq, middleware=[WorkerState()], unit_ms=UNIT_MS)
    for stage in Stage:
        made.declare_queue(stage)
    # Patiently: a name that has just been deleted can still be refused.
    until_available(made.declare_topology)
    declared = changes.copy()
    yield made
    made.close()
    if changes == declared:
        vhost.leave(empty_rabbitmq, BROKER)


def until(holds: Callable[[], bool], what: object = "", patience: float = 60) -> None:
    """Wait until something holds; `what` is shown if it doesn't."""
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.05)


def count(url: str, queue: str) -> int:
    """Return how many messages are ready in a queue; none if it is not there."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        try:
            return int(connection.channel().queue_declare(queue, passive=True).method.message_count)
        except pika.exceptions.ChannelClosedByBroker:
            return 0


def until_counted(broker: QuorumBroker, queue: str, number: int, patience: float = 10) -> None:
    """Wait until `number` messages are ready in a queue: what a closed consumer held is there again a little later."""
    deadline = time.monotonic() + patience
    while (found := broker.channel.queue_declare(queue, passive=True).method.message_count) != number:
        assert time.monotonic() < deadline, f"{found} messages in {queue}, not {number}"
        broker.connection.sleep(0.02)


def take(broker: QuorumBroker, queue: str, patience: float = 5) -> tuple[float, pika.BasicProperties, bytes]:
    """Wait for a message on a queue and take it; return when it came (monotonic), its properties and its body."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        method, properties, body = broker.channel.basic_get(queue, auto_ack=True)
        if method is not None:
            return time.monotonic(), properties, body
        broker.connection.sleep(0.002)
    raise AssertionError(f"nothing came to {queue} within {patience} s")


#: Seconds in which workers have to stop.
STOPS_WITHIN = 60


@pytest.fixture
def environment(postgres: str, empty_rabbitmq: str) -> dict[str, str]:
    """What a user's `.env` would say: always open, as early as the limits allow."""
    return (
        os.environ
        | USUAL
        | {
            "DATABASE_URL": postgres,
            "BROKER_URL": empty_rabbitmq,
            "MAIL_WINDOW_START": "0",
            "MAIL_WINDOW_END": "0",
            "MAIL_WINDOW_TIMEZONE": "UTC",
            "MAIL_SPREAD": "off",
            "MAIL_MIN_INTERVAL": "1",
            "MAIL_DAILY_LIMIT": "3",
        }
    )


def slowpost(environment: dict[str, str], *words: str) -> str:
    """Run a command in a process of its own; return what it printed."""
    said = Path.cwd() / "said"
    said.unlink(missing_ok=True)
    assert Starter(environment).start("slowpost", *words, log=said).wait(STOPS_WITHIN) == 0, said.read_text()
    return said.read_text()


@contextmanager
def at_work(environment: dict[str, str], log: Path) -> Iterator[None]:
    """Run `slowpost run`, which has declared its queues; at the end it stops by itself when it is asked to."""
    log.touch()
    # Its batch publisher is to find nobody.
    process = Starter(environment | {"MAIL_PUBLISH_MIN_PRIORITY": "9"}).start("slowpost", "run", log=log)
    try:
        until(lambda: '"running"' in log.read_text(), log.read_text)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOPS_WITHIN)
    assert process.returncode == 0, log.read_text()


@contextmanager
def workers(environment: dict[str, str], log: Path) -> Iterator[None]:
    """Run two worker processes, as a user starts them; at the end they stop by themselves when they are asked to."""
    command = [sys.executable, "-m", "slowpost", "worker", "--processes", "2", "--threads", "4"]
    with log.open("w") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STOPS_WITHIN)
    assert process.returncode == 0, log.read_text()


def put_on_intake(url: str, ids: list[int], message_id: str) -> None:
    """Publish plain JSON, as any program may."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        properties = pika.BasicProperties(message_id=message_id)
        connection.channel().basic_publish("", "intake", json.dumps(ids).encode(), properties)


def queued(url: str) -> dict[str, int]:
    """Return the queues that hold messages which nobody has taken."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        counted = {name: channel.queue_declare(name, passive=True).method.message_count for name in vhost.all_queues()}
    return {name: number for name, number in counted.items() if number}
