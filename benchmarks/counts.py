"""The gate of the route's price: statements, commits and messages a mail, compared with those written in `counts.json`.

No timing enters: one process with one thread does what lies on a queue, and then what lies on the next, in route order,
until nothing lies on any. So all contacts are on `intake` before the first is taken, all mails are ready before the
first gets a slot, and all slots are dealt before the first is used; what is gathered is what `actors.gathering` makes
of all that lies there. Mails go from 10 accounts. Counted is all that passes to the servers (`tests.wire`), but for
what a process asks once: a few mails go before.

    python -m benchmarks.counts [--rounds 1] [--write] [--json] [--statements]

Ends with 1 if any is more than a tenth above the written one. `--write` writes what was counted. CPU: of that thread,
which depends on the machine, and is compared with nothing.
`--statements` says instead how often each was sent: its verb, the table it is about, and whether it locks its rows.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import dramatiq
import psycopg2
from dramatiq.worker import _WorkQueueItem

from actors import stages
from actors.gathering import PREFETCH, Ready
from actors.rabbitmq import topology
from actors.rabbitmq.broker import QuorumBroker
from actors.rabbitmq.confirms import Publication
from actors.running import WorkerState
from benchmarks import _printing
from benchmarks._sink import Sink
from benchmarks._world import SETTINGS, bound, store
from models import Delivery, State, database
from models.database import db
from pipeline.flow import Stage, chunks
from pipeline.runtime import logs
from tests import servers
from tests.broker import vhost
from tests.wire import AmqpWire, Counts, PostgresWire, in_short

MAILS, WARM_UP, CAMPAIGNS = 200, 20, 20
SIZES = (100, 1)
NAMES = {100: "Slowpost, lists of 100", 1: "Slowpost, one id a message"}
WRITTEN = Path(__file__).with_suffix(".json")
#: How many times the written figure is allowed.
ALLOWED = 1.1
COUNTED = ("statements", "commits", "messages")
#: Milliseconds of the delay ladder's step: a wake-up is counted when it is published, and comes to nobody here.
UNIT_MS = 30_000


def main() -> int:
    """Count, print, and compare."""
    parser = _printing.arguments(__doc__, rounds=1)
    parser.add_argument("--write", action="store_true", help=f"write them into {WRITTEN.name}")
    parser.add_argument("--statements", action="store_true", help="which they are")
    given = parser.parse_args()
    logs.configure(level=logging.WARNING)
    with a_route(WARM_UP + given.rounds * len(SIZES) * MAILS) as route:
        route.send(WARM_UP, WARM_UP)
        rows = _printing.in_rounds(given.rounds, lambda: [count(route, size) for size in SIZES])
    setting = {"mails": MAILS, "messages at hand": PREFETCH}
    if given.statements:
        _printing.emit(_which(rows), setting, as_json=given.json)
        return 0
    rows = [{name: value for name, value in row.items() if name != "which"} for row in rows]
    _printing.emit(rows, setting, as_json=given.json)
    if given.write:
        found = {row["a mail takes"]: {name: round(row[name], 2) for name in COUNTED} for row in rows}
        WRITTEN.write_text(json.dumps(found, indent=2) + "\n")
        return 0
    written = json.loads(WRITTEN.read_text())
    above = [line for row in rows for line in _above(row, written[row["a mail takes"]])]
    sys.stderr.write("".join(f"{line}\n" for line in above))
    return int(bool(above))


def _above(row: Mapping[str, Any], written: Mapping[str, float]) -> list[str]:
    """Return a sentence for each figure that is too high."""
    return [
        f"{row['a mail takes']}: {row[name]:.2f} {name} a mail, written are {written[name]:.2f}"
        for name in COUNTED
        if row[name] > written[name] * ALLOWED
    ]


def _which(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    each = {row["a mail takes"]: row["which"] for row in rows}
    names = sorted(set().union(*each.values()), key=lambda name: -max(of[name] for of in each.values()))
    return [{"a statement": name} | {kind: of[name] / MAILS for kind, of in each.items()} for name in names]


def count(route: Route, size: int) -> Mapping[str, Any]:
    """Return what a mail takes that comes in a list of `size`."""
    before, asked_before = route.counts, len(route.postgres.statements)
    spent = route.send(MAILS, size)
    found = route.counts - before
    each = (found.requests / MAILS, found.commits / MAILS, found.messages / MAILS)
    which = Counter(map(in_short, route.postgres.statements[asked_before:]))
    row = {"a mail takes": NAMES[size], **dict(zip(COUNTED, each, strict=True))}
    return row | {"CPU ms: program": spent * 1000 / MAILS, "which": which}


class Route:
    """The route in this thread; contacts are sent to in the order of their ids.

    Args:
        broker: notes what it puts on the queues.
        postgres, amqp: count what passes.
    """

    def __init__(self, broker: Noting, postgres: PostgresWire, amqp: AmqpWire) -> None:
        self._broker, self.postgres, self._amqp = broker, postgres, amqp
        self._sent = 0

    @property
    def counts(self) -> Counts:
        """All that has passed."""
        return self.postgres.counts + self._amqp.counts

    def send(self, number: int, size: int) -> float:
        """Send to so many contacts more, which are put in in lists of `size`; return the seconds of CPU time."""
        ids = range(self._sent + 1, self._sent + number + 1)
        self._broker.publish([_on_intake(chunk) for chunk in chunks(ids, size)])
        began = time.thread_time()
        while self._broker.lying:
            for stage in Stage:
                self._do_what_lies_on(stage)
        spent = time.thread_time() - began
        self._sent += number
        with database.connection():
            recorded = Delivery.select().where((Delivery.state == State.SENT) & Delivery.recorded_at.is_null(False))
            assert recorded.count() == self._sent, "not all mails were sent"
        return spent

    def _do_what_lies_on(self, stage: Stage) -> None:
        if not (lying := self._broker.lying.pop(stage, 0)):
            return
        consumer: Any = self._broker.consume(stage, PREFETCH, timeout=1000)
        # It has looked how much lies there.
        consumer.prefetch = PREFETCH
        ready = Ready()
        while lying:
            while ready.unfinished_tasks < min(lying, PREFETCH):
                if (message := next(consumer)) is not None:
                    ready.put(_WorkQueueItem(0, message))
            lying -= ready.unfinished_tasks
            while not ready.empty():
                taken = ready.get().message
                self._broker.get_actor(taken.actor_name)(*taken.args, **taken.kwargs)
                consumer.ack(taken)
                ready.task_done()
        consumer.close()


class Noting(QuorumBroker):
    """Notes how much lies on each queue.

    Attributes:
        lying: messages by queue, of those that have some.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, middleware=[WorkerState()], unit_ms=UNIT_MS)
        self.lying: Counter[str] = Counter()
        for actor in stages.ROUTE:
            actor.declare(self)
        dramatiq.set_broker(self)

    def publish(self, publications: Sequence[Publication]) -> None:
        """Publish, and note what."""
        super().publish(publications)
        self.lying.update(p.routing_key for p in publications if not p.exchange)


def _on_intake(ids: Sequence[int]) -> Publication:
    return Publication("", Stage.INTAKE, json.dumps(ids).encode(), topology.persistent(str(uuid.uuid4())))


@contextmanager
def a_route(contacts: int) -> Iterator[Route]:
    """Yield a route with servers, where so many contacts wait to be put in."""
    # Without encryption: what passes is read.
    os.environ.update(SETTINGS | {"PGSSLMODE": "disable", "PGGSSENCMODE": "disable"})
    with servers.postgres() as admin, servers.rabbitmq() as (amqp_url,), Sink() as sink, _a_database(admin) as url:
        vhost.wipe(amqp_url)
        with bound(url):
            store(contacts, CAMPAIGNS, sink.host, sink.port)
            db.execute_sql("ANALYZE")
        postgres, amqp = PostgresWire(_port(url, 5432)), AmqpWire(_port(amqp_url, 5672))
        with postgres, amqp:
            database.connect(_through(postgres.port, url))
            broker = Noting(_through(amqp.port, amqp_url))
            try:
                yield Route(broker, postgres, amqp)
            finally:
                broker.close()
                db.obj.close_all()
                vhost.wipe(amqp_url)


@contextmanager
def _a_database(admin: str) -> Iterator[str]:
    name = f"slowpost_counts_{os.getpid()}"
    _ask(admin, f"CREATE DATABASE {name}")
    try:
        yield urlunsplit(urlsplit(admin)._replace(path=f"/{name}"))
    finally:
        _ask(admin, f"DROP DATABASE {name} WITH (FORCE)")


def _ask(url: str, statement: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    connection.cursor().execute(statement)
    connection.close()


def _port(url: str, usual: int) -> int:
    return urlsplit(url).port or usual


def _through(port: int, url: str) -> str:
    """Return a server's URL through the proxy at `port`."""
    parts = urlsplit(url)
    login, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{port}"))


if __name__ == "__main__":
    sys.exit(main())
