"""PostgreSQL dies, its answer to a COMMIT is lost, it has no connection left, it takes no writes: the workers wait,
nothing is lost, nothing is sent twice.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from models import Delivery, State, database
from pipeline.delivery.claim import DOT_WITHIN
from tests.faults.commit_proxy import AFTER, BEFORE, KINDS, CommitProxy
from tests.faults.fleet import BY_ITSELF_WITHIN, SWEEP_EVERY
from tests.faults.on_postgres import CONNECTIONS, SmallPostgres, World, at_work, takes_no_writes


def test_the_server_dies_and_is_started_again(
    world: World, counts: Callable[[int, int], int], report: Callable[..., None]
) -> None:
    rng = random.Random(20261124)  # noqa: S311
    faults = []
    deaths = counts(1, 10)
    for number in range(deaths):
        world.fleet.publish(60)
        world.until_some_are_sent(10)
        time.sleep(rng.uniform(0, 0.3))
        end = world.server.kill if number % 2 else world.server.crash
        end()
        time.sleep(rng.uniform(0.2, 3))
        world.server.start()
        # Only now: what a killed server was doing for its clients goes on for a moment.
        faults.append(dt.datetime.now(dt.UTC))
        database.discard_connection()
        database.db.connect(reuse_if_open=True)
    seconds = world.finish(faults)
    report(deaths=deaths, contacts=world.fleet.contacts, in_doubt=world.in_doubt, settled_in_s=seconds)


def test_the_answer_to_a_commit_is_cut_off(
    world: World, proxy: CommitProxy, counts: Callable[[int, int], int], report: Callable[..., None]
) -> None:
    each = {"claim": counts(3, 20), "outcome": counts(3, 20)}
    cuts = 0
    for kind in KINDS:
        for where in (BEFORE, AFTER):
            for _ in range(each.get(kind, counts(1, 20))):
                proxy.arm(kind, where)
                world.fleet.publish(2)
                until_cut(world, proxy, kind)
                cuts += 1
    # No fault excuses a doubt: a lost claim is read back, a lost outcome is written again.
    seconds = world.finish([])
    assert set(states()) == {State.SENT}
    report(cuts=cuts, contacts=world.fleet.contacts, in_doubt=world.in_doubt, settled_in_s=seconds)


def test_the_answer_to_a_commit_is_cut_off_and_nobody_can_be_asked(
    world: World, proxy: CommitProxy, counts: Callable[[int, int], int], report: Callable[..., None]
) -> None:
    # After the shorter the dot of a claim that is read back can still be sent; after the longer it is given back.
    away_for = (DOT_WITHIN / 2, DOT_WITHIN + 1)[: counts(1, 2)]
    cuts = 0
    for away in away_for * counts(1, 5):
        for kind in ("claim", "outcome"):
            proxy.arm(kind, AFTER, away)
            world.fleet.publish(2)
            # No sweep meanwhile: on its clock, which is ahead, whoever still asks is in doubt.
            assert proxy.has_cut(BY_ITSELF_WITHIN), f"no {kind} came by: {world.fleet.log()[-2000:]}"
            cuts += 1
            world.fleet.until_all_is_sent()
    seconds = world.finish([])
    assert set(states()) == {State.SENT}
    report(cuts=cuts, away_s=away_for, contacts=world.fleet.contacts, in_doubt=world.in_doubt, settled_in_s=seconds)


def test_connections_are_used_up(world: World, counts: Callable[[int, int], int], report: Callable[..., None]) -> None:
    times = counts(1, 5)
    faults = []
    for _ in range(times):
        world.fleet.publish(60)
        world.until_some_are_sent(10)
        faults += all_connections_taken(world.server, counts(2, 4))
    seconds = world.finish(faults)
    report(times=times, contacts=world.fleet.contacts, in_doubt=world.in_doubt, settled_in_s=seconds)


def test_writes_are_refused(world: World, counts: Callable[[int, int], int], report: Callable[..., None]) -> None:
    times = counts(1, 5)
    faults = []
    for _ in range(times):
        world.fleet.publish(60)
        world.until_some_are_sent(10)
        faults.append(dt.datetime.now(dt.UTC))
        with takes_no_writes(world.server):
            time.sleep(counts(2, 4))
    seconds = world.finish(faults)
    assert world.in_doubt == 0
    report(times=times, contacts=world.fleet.contacts, in_doubt=world.in_doubt, settled_in_s=seconds)


@pytest.fixture(scope="module")
def server() -> Iterator[SmallPostgres]:
    """A server that nobody else uses."""
    with SmallPostgres() as running:
        yield running


@pytest.fixture
def proxy(server: SmallPostgres) -> Iterator[CommitProxy]:
    """What stands before it; the tests themselves go past it."""
    proxy = CommitProxy(server.port)
    with proxy:
        yield proxy


@pytest.fixture
def world(
    server: SmallPostgres,
    proxy: CommitProxy,
    rabbitmq: str,
    tmp_path: Path,
    configure: Callable[..., None],
) -> Iterator[World]:
    """A fleet at work on empty tables, through the proxy."""
    through = f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres"
    with at_work(server, through, rabbitmq, tmp_path, configure) as world:
        yield world


def until_cut(world: World, proxy: CommitProxy, kind: str, patience: float = 60) -> None:
    """Wait until an armed COMMIT has been cut; sweeps bring back slots whose message went with an earlier one."""
    deadline = time.monotonic() + patience
    while not proxy.has_cut(SWEEP_EVERY):
        assert time.monotonic() < deadline, f"no {kind} came by: {proxy.seen} {world.fleet.log()[-2000:]}"
        world.fleet.sweep_ahead()


def all_connections_taken(server: SmallPostgres, seconds: float) -> list[dt.datetime]:
    """Take every connection that is free, end those of the fleet, and take these too; give them back after a while.
    Return when that was.
    """
    faults = []
    others = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND pid <> ALL (%s)"
    )
    with contextlib.ExitStack() as taken:
        pids = [database.db.execute_sql("SELECT pg_backend_pid()").fetchone()[0]]
        began = time.monotonic()
        # On a busy machine it takes longer than that until all are taken.
        while (held := time.monotonic() - began) < seconds or len(pids) < CONNECTIONS - 2 or not faults:
            assert held < BY_ITSELF_WITHIN, f"only {len(pids)} connections could be taken"
            try:
                mine = psycopg2.connect(server.url)
            except psycopg2.OperationalError:
                database.db.execute_sql(others, (pids,))
                faults.append(dt.datetime.now(dt.UTC))
                continue
            taken.callback(mine.close)
            pids.append(mine.info.backend_pid)
    return faults


def states() -> list[str]:
    """Return the states that deliveries are in."""
    return [row[0] for row in Delivery.select(Delivery.state).distinct().tuples()]
