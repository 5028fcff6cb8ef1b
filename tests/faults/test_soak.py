"""A soak: everything that can break, broken at random, all in one run; the seed is printed, and makes the same run.

Short, it lasts seconds, with every test run; with `script/faults` twenty minutes.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actors.rabbitmq import topology
from models import database, schema
from pipeline.flow import Stage
from pipeline.runtime.failpoints import NAMES, OF_GROUPS
from tests.broker.vhost import all_queues
from tests.builders import a_template, an_account
from tests.faults import fleet as fleets
from tests.faults.commit_proxy import AFTER, BEFORE, KINDS, CommitProxy
from tests.faults.fleet import QUEUES_LAST_AFTER, Fleet
from tests.faults.on_postgres import takes_no_writes
from tests.faults.on_rabbitmq import purge, short_of_memory
from tests.faults.oracle import oracle
from tests.faults.proxy import Fault, Proxy
from tests.servers import PrivatePostgres, PrivateRabbitmq


def test_a_soak_of_everything_at_random(
    soak: tuple[Soak, Path], tmp_path: Path, counts: Callable[[int, int], int], report: Callable[..., None]
) -> None:
    world, file = soak
    seconds = counts(10, 1200)
    postgres = world.postgres.url.replace(str(world.postgres.port), str(world.commits.port))
    rabbitmq = world.rabbitmq.url.replace(str(world.rabbitmq.port), str(world.amqp.port))
    with Fleet(fleets.environment(postgres, rabbitmq), tmp_path, world.rabbitmq.url) as fleet:
        world.fleet = fleet
        fleet.publish(1)
        time.sleep(QUEUES_LAST_AFTER)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            fleet.publish(world.rng.randint(1, 20))
            world.break_something()
            time.sleep(world.rng.uniform(0, 1.5))
        settled = fleet.settle(SETTLES_WITHIN)
    assert fleet.violations(file, world.smtp.faults) == []
    doubtful = database.db.execute_sql("SELECT count(*) FROM delivery WHERE state = 'in_doubt'").fetchone()[0]
    report(seconds=seconds, contacts=fleet.contacts, in_doubt=doubtful, settled_in_s=round(settled, 1), **world.done)


#: Set it to repeat a run.
SEED = "SLOWPOST_TEST_SEED"
ACCOUNTS = 60
#: Everything has to have ended in this many seconds after the last fault.
SETTLES_WITHIN = 300


class Soak:
    """A fleet between a PostgreSQL, a RabbitMQ and a mail server, and the ways in which they are broken."""

    def __init__(
        self,
        rng: random.Random,
        postgres: PrivatePostgres,
        rabbitmq: PrivateRabbitmq,
        commits: CommitProxy,
        amqp: Proxy,
        smtp: Proxy,
    ) -> None:
        self.rng, self.postgres, self.rabbitmq = rng, postgres, rabbitmq
        self.commits, self.amqp, self.smtp = commits, amqp, smtp
        self.done: Counter[str] = Counter()
        self.fleet: Fleet

    def break_something(self) -> None:
        """Do one of the faults."""
        faults: dict[Callable[[], None], int] = {
            self._kill: 6,
            self._kill_at_a_failpoint: 6,
            self._freeze: 3,
            self._cut_a_commit: 3,
            self._reset_smtp: 3,
            self._reset_rabbitmq: 3,
            self._refuse_writes: 1,
            self._run_short_of_memory: 1,
            self._restart_postgres: 1,
            self._kill_rabbitmq: 1,
            self._purge: 1,
        }
        fault = self.rng.choices(list(faults), list(faults.values()))[0]
        self.done[fault.__name__.strip("_").replace("_", " ")] += 1
        fault()

    def _kill(self) -> None:
        self.fleet.kill_one(self.rng)

    def _kill_at_a_failpoint(self) -> None:
        failpoint = self.rng.choice((*NAMES, *OF_GROUPS))
        self.fleet.arm(failpoint)
        if not self.fleet.fires(failpoint, patience=5):
            self.fleet.disarm(failpoint)

    def _freeze(self) -> None:
        self.fleet.freeze_one(self.rng, self.rng.uniform(1, 8))

    def _reset_smtp(self) -> None:
        self.smtp.break_all(Fault.RESET)

    def _reset_rabbitmq(self) -> None:
        self.amqp.break_all(Fault.RESET)

    def _cut_a_commit(self) -> None:
        self.commits.arm(self.rng.choice(list(KINDS)), self.rng.choice([BEFORE, AFTER]))
        if not self.commits.has_cut(5):
            self.commits.disarm()

    def _refuse_writes(self) -> None:
        with takes_no_writes(self.postgres):
            time.sleep(self.rng.uniform(1, 4))

    def _run_short_of_memory(self) -> None:
        with short_of_memory(self.rabbitmq):
            time.sleep(self.rng.uniform(1, 4))

    def _restart_postgres(self) -> None:
        database.db.obj.close_all()
        self.postgres.kill()
        time.sleep(self.rng.uniform(0, 3))
        self.postgres.start()
        database.db.connect(reuse_if_open=True)

    def _kill_rabbitmq(self) -> None:
        self.rabbitmq.kill()
        time.sleep(self.rng.uniform(0, 3))
        self.rabbitmq.start()

    def _purge(self) -> None:
        # What came in and has not been read yet exists nowhere else: a purge of `intake` is a loss by hand.
        purge(self.rabbitmq.url, all_queues() - {Stage.INTAKE, topology.DEAD_LETTER_QUEUE})


@pytest.fixture
def soak(tmp_path: Path, configure: Callable[..., None]) -> Iterator[tuple[Soak, Path]]:
    """Servers of its own, with tables and queues; and the oracle's file."""
    seed = int(os.environ.get(SEED, "20261124"))
    with (
        PrivatePostgres() as postgres,
        PrivateRabbitmq() as rabbitmq,
        oracle(tmp_path) as (port, file),
        CommitProxy(postgres.port) as commits,
        Proxy(rabbitmq.port) as amqp,
        Proxy(port) as smtp,
    ):
        configure(database_url=postgres.url)
        database.connect(postgres.url)
        with database.connection():
            schema.migrate()
            a_template()
            for _ in range(ACCOUNTS):
                an_account(port=smtp.port)
            rng = random.Random(seed)  # noqa: S311
            yield Soak(rng, postgres, rabbitmq, commits, amqp, smtp), file
        database.db.obj.close_all()
