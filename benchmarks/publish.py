"""How many contacts a second get onto the route.

Onto `intake` in lists of 100, as `send` and the program's own code put them there; raw: the same lists by pika alone.
Each list waits for its confirm. And by the command `publish`, which picks the contacts, does the first stage itself,
and hands them on; its start counts, since a person waits for it.

    python -m benchmarks.publish [--contacts 10000] [--rounds 2] [--json]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from typing import Any

import pika

from actors import entry
from actors.rabbitmq import topology
from benchmarks import _printing
from benchmarks._world import SETTINGS, World, world
from pipeline.flow import MAX_IDS, Stage, chunks

CONTACTS = 10_000


def main() -> None:
    """Measure and print."""
    parser = _printing.arguments(__doc__, rounds=2)
    parser.add_argument("--contacts", type=int, default=CONTACTS)
    given = parser.parse_args()
    with world() as here, here.vhost() as amqp:
        here.make("for_slowpost", given.contacts, 0, "127.0.0.1")
        # This process has one broker, and so one vhost for all rounds; nobody takes from its queues.
        os.environ |= SETTINGS | {"DATABASE_URL": here.postgres.url, "BROKER_URL": amqp}
        entry.declare_topology()
        setting = {**here.versions(), "contacts": given.contacts, "rounds": given.rounds}
        rows = _printing.in_rounds(given.rounds, lambda: _round(here, amqp, given.contacts))
    _printing.emit(rows, setting, as_json=given.json)


def _round(here: World, amqp: str, contacts: int) -> list[Mapping[str, Any]]:
    ids = list(range(1, contacts + 1))
    rates = {
        "raw: pika, lists of 100 onto `intake`": contacts / raw_limit(amqp, ids),
        "Slowpost, lists of 100 onto `intake`": contacts / onto_intake(amqp, ids),
        "`slowpost publish`": contacts / by_command(here, amqp, contacts),
    }
    raw = next(iter(rates.values()))
    return [{"onto the route": name, "contacts/s": rate, "÷ raw": rate / raw} for name, rate in rates.items()]


def raw_limit(amqp: str, ids: list[int]) -> float:
    """Return the seconds that pika takes."""
    with pika.BlockingConnection(pika.URLParameters(amqp)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        began = time.monotonic()
        for some in chunks(ids, MAX_IDS):
            properties = topology.persistent(str(uuid.uuid4()))
            channel.basic_publish("", Stage.INTAKE, json.dumps(some).encode(), properties, mandatory=True)
        took = time.monotonic() - began
        channel.queue_purge(Stage.INTAKE)
    return took


def onto_intake(amqp: str, ids: list[int]) -> float:
    """Return the seconds that Slowpost takes."""
    began = time.monotonic()
    entry.enter(ids)
    took = time.monotonic() - began
    with pika.BlockingConnection(pika.URLParameters(amqp)) as connection:
        connection.channel().queue_purge(Stage.INTAKE)
    return took


def by_command(here: World, amqp: str, contacts: int) -> float:
    """Return the seconds that the command takes."""
    command = [sys.executable, "-m", "slowpost", "publish", "--min-priority", "0", "--json"]
    with here.database("for_slowpost") as url:
        began = time.monotonic()
        done = subprocess.run(  # noqa: S603  (ours)
            command, env=os.environ | {"DATABASE_URL": url}, capture_output=True, text=True, check=True
        )
        took = time.monotonic() - began
    picked = len(json.loads(done.stdout)["contact_ids"])
    assert picked == contacts, f"{picked} of {contacts} contacts were picked"
    with pika.BlockingConnection(pika.URLParameters(amqp)) as connection:
        connection.channel().queue_purge(Stage.DEDUPE)
    return took


if __name__ == "__main__":
    main()
