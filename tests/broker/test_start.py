"""Long-running commands start in any order with their servers, and say what they wait for; on RabbitMQ they have a user
who may do what they need, and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import psycopg2
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from actors.intake import encode
from actors.rabbitmq import migration, permissions, topology
from actors.rabbitmq.broker import QuorumBroker
from actors.rabbitmq.confirms import Publication
from actors.rabbitmq.dead_letters import InStep
from models import database, schema
from pipeline.flow import Stage
from tests.broker.conftest import until
from tests.servers import PrivatePostgres, PrivateRabbitmq


def test_run_scheduler_and_worker_wait_for_both_servers_and_end_well_before_and_after(
    tmp_path: Path, rabbitmq: PrivateRabbitmq
) -> None:
    with PrivatePostgres() as postgres:
        environment = os.environ | {
            "DATABASE_URL": postgres.url,
            "BROKER_URL": f"amqp://slowpost@127.0.0.1:{rabbitmq.port}/slowpost_test",
            "BROKER_PASSWORD": PASSWORD,
        }
        database.connect(postgres.url)
        with database.connection():
            schema.migrate()
        database.db.obj.close_all()
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
            # Each says so in the database, as soon as that is there.
            waiting = {(kind, "RabbitMQ") for kind in ("run", "scheduler", "worker")}
            until(lambda: living(postgres.url) == waiting, lambda: str(living(postgres.url)), patience=30)
            rabbitmq.start()
            for _, log in started:
                until(lambda log=log: has_said(log, "going on", "RabbitMQ"), log.read_text, patience=60)
            for (_, log), event in zip(started, ("running", "scheduling", "working"), strict=True):
                until(lambda log=log, event=event: event in {e["event"] for e in events(log)}, log.read_text)
            at_work = {(kind, None) for kind in ("run", "scheduler", "worker")}
            until(lambda: living(postgres.url) == at_work, lambda: str(living(postgres.url)), patience=30)
        finally:
            for process, _ in started:
                process.send_signal(signal.SIGTERM)
            ends = [process.wait(60) for process, _ in started]
        assert ends == [0, 0, 0]
        assert living(postgres.url) == set()
        assert "Traceback" not in "".join(log.read_text() for _, log in started)


def test_the_user_of_compose_may_do_what_slowpost_needs_and_nothing_else(
    rabbitmq: PrivateRabbitmq, postgres: str
) -> None:
    if not rabbitmq.is_running:
        rabbitmq.start()
    rabbitmq.ctl("import_definitions", stdin=json.dumps(OTHERS))
    broker = QuorumBroker(rabbitmq.url, middleware=[])
    broker.declare_topology()
    for options in ({}, {"delay": 0.05}, {"backoff": 60}):
        broker.send(encode(Stage.RESERVE, [1]), **options)
    consumer: Any = broker.consume(Stage.RESERVE, prefetch=1, timeout=5000)
    for _ in range(2):
        consumer.ack(next(consumer))
    consumer.close()
    broker.publish([Publication(topology.DEAD_EXCHANGE, "", b"[1]", topology.persistent(None))])
    assert broker.keep_in_step() == InStep(filed=1, added=1)
    broker.channel.queue_delete(Stage.RECORD)
    broker.channel.queue_declare(Stage.RECORD, durable=True)
    broker.publish([Publication("", Stage.RECORD, encode(Stage.RECORD, [1]).encode(), topology.persistent(None))])
    with broker.own_connection() as connection:
        assert [step.moved for step in migration.migrate(connection, broker.unit_ms)] == [1]
    broker.close()

    assert refused(rabbitmq.url, lambda channel: channel.queue_declare("other"))
    assert refused(rabbitmq.url, lambda channel: channel.queue_declare("intake2"))
    assert refused(rabbitmq.url, lambda channel: channel.exchange_declare("other"))
    assert refused(rabbitmq.url, lambda channel: channel.queue_bind("intake", "amq.topic", "#"))
    assert refused(rabbitmq.url, lambda channel: channel.basic_publish("amq.fanout", "", b"1"))
    with pytest.raises(pika.exceptions.ProbableAccessDeniedError):
        pika.BlockingConnection(pika.URLParameters(rabbitmq.url_of("others")))
    assert "administrator" not in rabbitmq.ctl("list_users")

    # Another program that may publish to `intake` alone, as docs/operations.md says.
    shop = f"amqp://shop:shop@127.0.0.1:{rabbitmq.port}/slowpost_test"
    assert not refused(shop, lambda channel: channel.basic_publish("due", "intake", b"1", mandatory=True))
    assert refused(shop, lambda channel: channel.basic_publish("due", "deliver", b"1"))
    assert refused(shop, lambda channel: channel.basic_publish("", "intake", b"1"))
    assert refused(shop, lambda channel: channel.basic_get("intake"))


def test_rabbitmqs_own_configuration_and_the_pages_have_the_permissions_that_the_code_names() -> None:
    conf = (ROOT / "rabbitmq" / "rabbitmq.conf").read_text()
    given = re.findall(r"(?m)^default_permissions\.(\w+) = (.*)$", conf)
    wanted = permissions.of("slowpost", "/slowpost")
    assert given == [(kind, wanted[kind]) for kind in ("configure", "write", "read")]
    assert permissions.PATTERN in (ROOT / "docs" / "operations.md").read_text()


#: Every character with which a URL, a shell or YAML could have trouble.
PASSWORD = 'p@ss/%41 $HOME${HOME}$$ it\'s "q";#?&=+[]:\\ пароль ä€'
ROOT = Path(__file__).parents[2]
OTHERS: dict[str, Any] = {
    "vhosts": [{"name": "others"}],
    "users": [{"name": "shop", "password": "shop", "tags": ""}],
    "permissions": [{"user": "shop", "vhost": "slowpost_test", "configure": "^$", "write": "^due$", "read": "^$"}],
    "topic_permissions": [
        {"user": "shop", "vhost": "slowpost_test", "exchange": "due", "write": "^intake$", "read": "^$"}
    ],
}


@pytest.fixture(scope="module")
def rabbitmq() -> Iterator[PrivateRabbitmq]:
    """A node that is set up as compose does it, not yet started."""
    conf = (ROOT / "rabbitmq" / "rabbitmq.conf").read_text()
    with PrivateRabbitmq(starts_at_once=False, login=("slowpost", PASSWORD), conf=conf) as node:
        yield node


def refused(url: str, act: Callable[[BlockingChannel], object]) -> bool:
    """Tell whether RabbitMQ refuses what is done on a channel of its own."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        try:
            act(channel)
        except pika.exceptions.ChannelClosedByBroker as error:
            return bool(error.reply_code == 403)
    return False


#: They are no processes.
JOBS = ("sweep", "publisher")
COMMANDS = (["run"], ["scheduler"], ["worker", "--threads", "2"])


def living(url: str) -> set[tuple[str, str | None]]:
    """Return the kinds of the processes that have not stopped, and what each waits for, as the database has it."""
    with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT kind, waits_for FROM heartbeat WHERE stopped_at IS NULL AND kind NOT IN %s", (JOBS,))
        return set(cursor.fetchall())


def events(log: Path) -> list[dict[str, Any]]:
    """Return what a command has logged as JSON."""
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def has_said(log: Path, event: str, what: str) -> bool:
    """Tell whether a command has logged this."""
    return any((e["event"], e.get("what")) == (event, what) for e in events(log))
