"""RabbitMQ is killed, short of memory, cut off or impatient: all are written once.

None of this touches a claim, so nothing may be in doubt afterwards.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pika
import psycopg2
import pytest

from models import Delivery, State
from tests.broker.conftest import until
from tests.broker.vhost import wipe
from tests.faults import fleet as fleets
from tests.faults.fleet import QUEUES_LAST_AFTER, Fleet
from tests.faults.on_rabbitmq import LONG_INTERVAL, SETTLES_WITHIN, short_of_memory
from tests.faults.oracle import accepted
from tests.faults.proxy import Fault, Plan, Proxy
from tests.servers import PrivateRabbitmq


def test_a_memory_alarm_in_the_middle(
    postgres: str, node: PrivateRabbitmq, file: Path, tmp_path: Path, counts: Counts, report: Report
) -> None:
    # The full form's lasts longer than a publisher waits (BLOCKED_TIMEOUT).
    holds = counts(2, 40)
    settings = fleets.environment(postgres, node.url, MAIL_MIN_INTERVAL=str(LONG_INTERVAL))
    with Fleet(settings, tmp_path, size=2) as fleet:
        # On a busy machine all may have been sent before the alarm is there: once more, then, and with more.
        for times_as_many in (1, 3, 9):
            fleet.publish_small(4, each=times_as_many * counts(15, 50))
            fleet.until_taken_in()
            with short_of_memory(node):
                stands_since = len(accepted(file))
                time.sleep(holds)
                meanwhile = len(accepted(file)) - stands_since
            if is_in_the_middle := stands_since + meanwhile < fleet.contacts:
                break
        assert is_in_the_middle, "all had been sent before the alarm was over"
        fleet.publish_small(5)
        seconds = fleet.until_all_is_sent()
        fleet.settle(SETTLES_WITHIN)
    assert fleet.violations(file, interval=LONG_INTERVAL) == []
    report(alarm_s=holds, contacts=fleet.contacts, sent_meanwhile=meanwhile, settled_in_s=round(seconds, 1))


def test_connections_that_are_reset_or_swallowed_at_a_random_byte(
    postgres: str, node: PrivateRabbitmq, file: Path, tmp_path: Path, counts: Counts, report: Report
) -> None:
    rng = random.Random(2)  # noqa: S311
    wanted, breaks, at_once = counts(5, 100), counts(2, 10), 0
    planned = {Fault.RESET: 0, Fault.BLACKHOLE: 0}

    def some_fault() -> Plan:
        fault = rng.choice([Fault.RESET, Fault.BLACKHOLE])
        planned[fault] += 1
        return Plan(fault, int(10 ** rng.uniform(0, 3.7)), rng.choice(["up", "down"]))

    with Proxy(node.port) as proxy:
        through = f"{node.url.replace(str(node.port), str(proxy.port))}?heartbeat={HEARTBEAT}"
        with Fleet(fleets.environment(postgres, through), tmp_path, node.url, size=2) as fleet:
            fleet.publish_small(20)
            fleet.until_taken_in()
            proxy.plan(some_fault)
            deadline = time.monotonic() + 60 + 3 * wanted
            for _ in range(breaks):
                at_once += proxy.break_all()
                already, target = len(proxy.faults), wanted // breaks
                while len(proxy.faults) < already + target:
                    assert time.monotonic() < deadline, f"only {len(proxy.faults)} were broken: {fleet.log()[-2000:]}"
                    fleet.publish_small(1)
                    time.sleep(0.2)
            proxy.plan(Plan())
            at_once += proxy.break_all(Fault.CUT)
            broken = len(proxy.faults) - at_once
            seconds = fleet.until_all_is_sent()
            fleet.settle(SETTLES_WITHIN)
    assert fleet.violations(file) == []
    assert broken >= wanted
    report(
        broken_at_random_bytes=broken,
        planned={str(fault): number for fault, number in planned.items()},
        broken_all_at_once=at_once,
        contacts=fleet.contacts,
        settled_in_s=round(seconds, 1),
    )


def test_a_slot_beyond_the_consumer_timeout_and_a_slow_database(
    postgres: str, node: PrivateRabbitmq, file: Path, tmp_path: Path, counts: Counts, report: Report
) -> None:
    timeout = counts(20, 60)
    slow, away = timeout / 3, timeout * 1.25
    settings = fleets.environment(postgres, node.url, MAIL_MIN_INTERVAL=str(away))
    with (
        impatient(node, timeout),
        Fleet(settings, tmp_path, size=2) as fleet,
        nobody_acknowledges(node.url),
    ):
        fleet.publish_small(2 * ACCOUNTS, each=1)
        until(lambda: len(accepted(file)) == ACCOUNTS, fleet.log)
        began = time.monotonic()
        with locked(postgres):
            time.sleep(slow)
        # No sweep helps: what is not lost comes by itself.
        until(lambda: len(accepted(file)) == 2 * ACCOUNTS, fleet.log, patience=away + SETTLES_WITHIN)
        waited = time.monotonic() - began
        fleet.settle(SETTLES_WITHIN)
    log = "".join(path.read_text(errors="replace") for path in (node.home / "logs").glob("*.log"))
    assert fleet.violations(file, interval=away) == []
    assert Delivery.select().where(Delivery.state == State.SENT).count() == 2 * ACCOUNTS
    timed_out = set(re.findall(r"(<[\d.]+>) Consumer .* has timed out waiting", log))
    assert len(timed_out) == 1, "only the test's own consumer"
    report(consumer_timeout_s=timeout, slot_away_s=away, database_slow_s=slow, sent_after_s=round(waited, 1))


def test_a_node_that_is_killed_and_comes_back(
    postgres: str, node: PrivateRabbitmq, file: Path, tmp_path: Path, counts: Counts, report: Report
) -> None:
    rng = random.Random(1)  # noqa: S311
    kills = counts(1, 20)
    with Fleet(fleets.environment(postgres, node.url), tmp_path, size=2) as fleet:
        fleet.publish_small(10)
        time.sleep(QUEUES_LAST_AFTER)
        for _ in range(kills):
            fleet.publish_small(10)
            time.sleep(rng.uniform(0, 1.5))
            node.kill()
            time.sleep(rng.uniform(0, 2))
            node.start()
        fleet.publish_small(5)
        seconds = fleet.until_all_is_sent()
        fleet.settle(SETTLES_WITHIN)
    assert fleet.violations(file) == []
    report(kills=kills, contacts=fleet.contacts, settled_in_s=round(seconds, 1))


ACCOUNTS = 20
#: Seconds after which a peer that is silent counts as gone, where connections are swallowed.
HEARTBEAT = 4
Counts = Callable[[int, int], int]
Report = Callable[..., None]


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateRabbitmq]:
    """A node that nobody else uses."""
    with PrivateRabbitmq() as running:
        yield running


@pytest.fixture
def node(server: PrivateRabbitmq) -> PrivateRabbitmq:
    """A node without queues that may be broken."""
    wipe(server.url)
    return server


@contextmanager
def impatient(node: PrivateRabbitmq, timeout: int) -> Iterator[None]:
    """Let a node wait so many seconds for an acknowledgement on channels that are opened in the block, and look at each
    of them once a second; otherwise it is half an hour, and once a minute.
    """
    set_both = "[application:set_env(rabbit, K, V) || {K, V} <- [{consumer_timeout, %d}, {channel_tick_interval, %d}]]."
    node.evaluate(set_both % (timeout * 1000, 1000))
    try:
        yield
    finally:
        node.evaluate(set_both % (1_800_000, 60_000))


@contextmanager
def nobody_acknowledges(url: str) -> Iterator[None]:
    """Hold a message without an acknowledgement for the block; at its end RabbitMQ must have lost patience with it
    (which it says each second until it is heard).
    """
    with pika.BlockingConnection(pika.URLParameters(f"{url}?heartbeat=0")) as connection:
        channel = connection.channel()
        channel.queue_declare("held", durable=True, arguments={"x-queue-type": "quorum"})
        channel.basic_publish("", "held", b"")
        channel.basic_consume("held", lambda *_: None)
        connection.process_data_events(1)
        yield
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="timeout"):
            channel.queue_declare("held", passive=True)


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Let nobody read or write a delivery for the block, as a database does that is slow."""
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("LOCK TABLE delivery IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        connection.close()
