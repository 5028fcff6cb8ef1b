"""What 100,000 messages cost that wait for their time: the memory of a worker, and how late others come meanwhile.

They wait in the delay ladder of RabbitMQ, for ten minutes to two days. Others wait for a few seconds, and are taken at
the ladder's end by nobody but this program: how late each comes is the ladder's doing. The first row is without any
that waits for long.

    python -m benchmarks.delay [--messages 100000] [--timed 500] [--rounds 1] [--json]
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from actors.intake import encode
from actors.rabbitmq import topology
from benchmarks import _printing
from benchmarks._contestants import Slowpost
from benchmarks._world import World, world
from pipeline.flow import Stage

MESSAGES, TIMED = 100_000, 500
#: Seconds for which they wait: those that are only there, and those whose time is taken.
LONG, SHORT = (600.0, 172_800.0), (3.0, 15.0)
#: Where those come whose time is taken.
PROBE = "probe"
#: Seconds in which all has to have come.
PATIENCE = 120
WARMUP = 50


def main() -> None:
    """Measure and print."""
    parser = _printing.arguments(__doc__, rounds=1)
    parser.add_argument("--messages", type=int, default=MESSAGES)
    parser.add_argument("--timed", type=int, default=TIMED)
    given = parser.parse_args()
    with world() as here:
        here.make("for_slowpost", WARMUP, 0, "127.0.0.1")
        setting = {**here.versions(), "timed": given.timed, "rounds": given.rounds}
        rows = _printing.in_rounds(given.rounds, lambda: _round(here, given.messages, given.timed))
    _printing.emit(rows, setting, as_json=given.json)


def _round(here: World, messages: int, timed: int) -> list[Mapping[str, Any]]:
    contestant = Slowpost(here, 1, processes=1)
    rows: list[Mapping[str, Any]] = []
    with contestant.running() as at, pika.BlockingConnection(pika.URLParameters(at.amqp)) as connection:
        contestant.put_in(at, 1, WARMUP)
        contestant.wait_for(at, WARMUP)
        channel = connection.channel()
        channel.queue_declare(PROBE, exclusive=True)
        channel.queue_bind(PROBE, topology.DUE_EXCHANGE, f"{'*.' * topology.LEVELS}{PROBE}")
        for waiting in (0, messages):
            _delay(channel, waiting)
            late = _lateness(channel, timed)
            rows.append(
                {
                    "messages that wait": waiting,
                    "MB of the worker": contestant.memory(at),
                    "late, median s": median(late),
                    "late, most s": max(late),
                }
            )
    return rows


def _delay(channel: BlockingChannel, number: int) -> None:
    """Let so many wait for long, and wait until all are in their queues. A confirm for each would take minutes."""
    body = encode(Stage.DELIVER, [1], slot_token="nobody's").encode()  # noqa: S106  (no password)
    for _ in range(number):
        _publish(channel, Stage.DELIVER, random.uniform(*LONG), body)  # noqa: S311  (no secret)
    deadline = time.monotonic() + PATIENCE
    while (found := topology.counts(channel)["delay"]) != number:
        assert time.monotonic() < deadline, f"{found} of {number} messages wait"
        channel.connection.sleep(0.2)


def _lateness(channel: BlockingChannel, number: int) -> list[float]:
    """Let so many wait for a few seconds; return how many seconds too late each came (the ladder rounds up to 1 s)."""
    for _ in range(number):
        seconds = random.uniform(*SHORT)  # noqa: S311  (no secret)
        _publish(channel, PROBE, seconds, str(time.time() + seconds).encode())
    return [time.time() - float(body) for body in _taken(channel, number)]


def _taken(channel: BlockingChannel, number: int) -> Iterable[bytes]:
    for _, (method, _, body) in zip(
        range(number), channel.consume(PROBE, auto_ack=True, inactivity_timeout=PATIENCE), strict=False
    ):
        assert method is not None, "not all have come"
        assert body is not None
        yield body
    channel.cancel()


def _publish(channel: BlockingChannel, stage: str, seconds: float, body: bytes) -> None:
    channel.basic_publish(*topology.delayed(stage, seconds), body, topology.persistent(None))


if __name__ == "__main__":
    main()
