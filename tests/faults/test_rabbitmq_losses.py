"""RabbitMQ is emptied, or loses a node of three: all are written once.

Neither touches a claim, so nothing may be in doubt afterwards.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.flow import Stage
from tests.broker.vhost import all_queues
from tests.faults import fleet as fleets
from tests.faults.fleet import Fleet
from tests.faults.on_rabbitmq import LADDER, LONG_INTERVAL, SETTLES_WITHIN, purge
from tests.servers import PrivateRabbitmq


@pytest.mark.parametrize("only_ladder", [False, True], ids=["all-queues", "the-ladder"])
def test_what_is_purged_comes_back_from_the_database(
    only_ladder: bool,
    postgres: str,
    rabbitmq: str,
    file: Path,
    tmp_path: Path,
    counts: Callable[[int, int], int],
    report: Callable[..., None],
) -> None:
    purges, lost, seconds = counts(1, 5), 0, 0.0
    settings = fleets.environment(postgres, rabbitmq, MAIL_MIN_INTERVAL=str(LONG_INTERVAL))
    with Fleet(settings, tmp_path, size=2) as fleet:
        for _ in range(purges):
            fleet.publish_small(4, each=counts(15, 25))
            fleet.until_taken_in()
            before = lost
            deadline = time.monotonic() + 20
            while lost == before:
                assert time.monotonic() < deadline, "nothing was in the queues"
                lost += purge(rabbitmq, LADDER if only_ladder else all_queues())
            # Until a sweep finds them, the accounts keep the slots whose messages are lost, and take no others.
            seconds = max(seconds, fleet.settle(SETTLES_WITHIN))
    assert fleet.violations(file, interval=LONG_INTERVAL) == []
    report(purges=purges, messages_lost=lost, contacts=fleet.contacts, settled_in_s=round(seconds, 1))


def test_the_node_that_leads_a_queue_is_killed(
    postgres: str,
    file: Path,
    tmp_path: Path,
    counts: Callable[[int, int], int],
    report: Callable[..., None],
) -> None:
    kills, leaders = counts(1, 5), list[Any]()
    with three_nodes() as nodes:
        urls = [node.url for node in nodes]
        with Fleet(fleets.environment(postgres, ";".join(urls)), tmp_path, *urls, size=2) as fleet:
            fleet.publish_small(20)
            for number in range(kills):
                name, members = members_of(Stage.DELIVER, nodes[0])
                assert sorted(members) == sorted(node.name for node in nodes)
                leader = next(node for node in nodes if node.name == name)
                leaders.append(nodes.index(leader))
                fleet.publish_small(10)
                leader.kill()
                fleet.publish_small(10)
                if number + 1 < kills:
                    time.sleep(2)
                    leader.start()
            seconds = fleet.until_all_is_sent()
            fleet.settle(SETTLES_WITHIN)
    assert fleet.violations(file) == []
    report(kills=kills, leaders=leaders, contacts=fleet.contacts, settled_in_s=round(seconds, 1))


ACCOUNTS = 20


@contextmanager
def three_nodes() -> Iterator[list[PrivateRabbitmq]]:
    """A cluster; one after the other, since a node whose cluster is just changing refuses."""
    with ExitStack() as stack:
        first = stack.enter_context(PrivateRabbitmq())
        yield [first, *(stack.enter_context(PrivateRabbitmq(joins=first)) for _ in range(2))]


def members_of(queue: str, node: PrivateRabbitmq) -> tuple[str, list[str]]:
    """Return the names of the nodes that lead a queue, and that have a copy."""
    listed = node.ctl(
        "--quiet", "list_queues", "-p", "slowpost_test", "--formatter", "json", "name", "leader", "members"
    )
    (row,) = (row for row in json.loads(listed) if row["name"] == queue)
    return row["leader"], row["members"]
