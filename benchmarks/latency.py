"""How long one contact takes on an idle system, from publishing its id to the stored acceptance of its mail.

Beside it the hand-written actor of `peers/`. Milliseconds; each contact goes alone, after the one before is sent and
all is quiet again.

    python -m benchmarks.latency [--contacts 20] [--rounds 2] [--json]
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from statistics import median, quantiles
from typing import Any

import pika

from benchmarks import _printing
from benchmarks._contestant import Contestant
from benchmarks._contestants import Actor, Slowpost
from benchmarks._world import world

CONTACTS, CAMPAIGNS = 20, 20
#: Contacts that go before, so that every thread has its connections.
WARMUP = 30
#: Seconds between two.
APART = 0.2


def main() -> None:
    """Measure and print."""
    parser = _printing.arguments(__doc__, rounds=2)
    parser.add_argument("--contacts", type=int, default=CONTACTS, help="of a round; at least 2")
    given = parser.parse_args()
    with world() as here:
        here.make("for_slowpost", WARMUP + given.contacts, CAMPAIGNS, "127.0.0.1")
        here.make_for_peers("for_peers", WARMUP + given.contacts)
        contestants = [Actor(here), Slowpost(here, 1)]
        setting = {**here.versions(), "contacts": given.contacts, "rounds": given.rounds, "campaigns": CAMPAIGNS}
        rows = _printing.in_rounds(given.rounds, lambda: _round(contestants, given.contacts))
    _printing.emit(rows, setting, as_json=given.json)


def _round(contestants: Sequence[Contestant], contacts: int) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = []
    for contestant in contestants:
        took = one_by_one(contestant, contacts)
        rows.append(
            {
                "one contact, from publishing to accepted": contestant.name,
                "ms, median": median(took) * 1000,
                "ms, 9 of 10 within": quantiles(took, n=10)[-1] * 1000,
            }
        )
    actor = rows[0]["ms, median"]
    return [{**row, "÷ actor": row["ms, median"] / actor} for row in rows]


def one_by_one(contestant: Contestant, contacts: int) -> list[float]:
    """Return the seconds that each contact took."""
    took = []
    with contestant.running() as at, pika.BlockingConnection(pika.URLParameters(at.amqp)) as connection:
        contestant.put_in(at, 1, WARMUP)
        contestant.wait_for(at, WARMUP)
        channel = connection.channel()
        for contact_id in range(WARMUP + 1, WARMUP + contacts + 1):
            connection.sleep(APART)
            queue, body = contestant.message(contact_id)
            published = time.time()
            channel.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2))
            contestant.wait_for(at, contact_id)
            took.append(contestant.accepted(at, contact_id) - published)
    return took


if __name__ == "__main__":
    main()
