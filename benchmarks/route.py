"""What a mail costs on the whole route (check, render, send, log), beside the raw limit and one hand-written actor.

Raw is smtplib and nothing else: two processes, each with a kept connection, bodies ready. The actor does four plain
statements, the mail, and two more, for one contact a message. All have 10 accounts that send to a mail server in a
process of its own, as fast as they can; the interval is 0, the spread off. Workers are 2 processes of 8 threads. In the
database of Slowpost are campaigns that are not due.

    python -m benchmarks.route [--mails 2000] [--warm-up 200] [--rounds 2] [--campaigns 20]
                               [--only raw,actor,1000,100,1,embedded] [--no-counts] [--json]

Rounds: each has all runs, and its own ratios; shown are the medians. Time is
from the first publish to the last row (of Slowpost: recorded as an outcome). CPU: of the program, with what puts the
contacts in, and of the servers (database, broker, mail server). Memory: of a worker process, with those that it has
started.
Statements (requests to PostgreSQL, BEGIN and COMMIT included), commits (COMMITs, and writes outside a transaction) and
messages (publishes, also of what puts the contacts in) are counted in a run of their own, by proxies that every process
connects through, since those take time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks import _printing
from benchmarks._contestant import PROCESSES, THREADS, Contestant
from benchmarks._contestants import Actor, Embedded, Slowpost
from benchmarks._world import PEERS, World, world

MAILS, WARMUP, CAMPAIGNS = 2000, 200, 20
KINDS = ("raw", "actor", "1000", "100", "1", "embedded")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Load:
    """How many mails are sent, and how many before, which are not measured."""

    mails: int
    warm_up: int

    @property
    def last(self) -> int:
        """The id of the last contact."""
        return self.warm_up + self.mails


def main() -> None:
    """Measure and print."""
    parser = _printing.arguments(__doc__, rounds=2)
    parser.add_argument("--mails", type=int, default=MAILS)
    parser.add_argument("--warm-up", type=int, default=WARMUP, help="mails that go before")
    parser.add_argument("--campaigns", type=int, default=CAMPAIGNS)
    parser.add_argument("--only", default=",".join(KINDS), help="what is run beside raw; the actor for its ratios")
    parser.add_argument("--no-counts", action="store_true", help="leave statements, commits and messages out")
    given = parser.parse_args()
    kinds = given.only.split(",")
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"--only: {unknown.pop()!r} is none of {', '.join(KINDS)}")
    load = Load(given.mails, given.warm_up)
    with world() as here:
        here.make("for_slowpost", load.last, given.campaigns, "127.0.0.1")
        here.make_for_peers("for_peers", load.last)
        contestants = [_contestant(kind, here, load, given.campaigns) for kind in kinds if kind != "raw"]
        setting = {
            **here.versions(),
            "mails": given.mails,
            "rounds": given.rounds,
            "workers": f"{PROCESSES} processes of {THREADS} threads",
            "campaigns": given.campaigns,
        }
        rows = _printing.in_rounds(given.rounds, lambda: _round(here, contestants, load))
        counts: list[Row] = [{}] + [{} if given.no_counts else count(c, load) for c in contestants]
    names = ("statements", "commits", "messages")
    joined = [{**row, **{n: c.get(n) for n in names}} for row, c in zip(rows, counts, strict=True)]
    _printing.emit(joined, setting, as_json=given.json)


def _contestant(kind: str, here: World, load: Load, campaigns: int) -> Contestant:
    match kind:
        case "actor":
            return Actor(here)
        case "embedded":
            return Embedded(here, load.last, campaigns)
        case _:
            return Slowpost(here, int(kind))


def _round(here: World, contestants: list[Contestant], load: Load) -> list[Row]:
    raw = raw_limit(here, load.mails)
    found = [raw, *(timed(contestant, load) for contestant in contestants)]
    rates = {row["a mail's way"]: row["mails/s"] for row in found}
    actor = rates.get(Actor.name)
    return [
        {
            "a mail's way": row["a mail's way"],
            "mails/s": row["mails/s"],
            "÷ raw": row["mails/s"] / raw["mails/s"],
            "÷ actor": actor and row["mails/s"] / actor,
            **{name: row[name] for name in ("CPU ms: program", "CPU ms: servers", "MB a process")},
        }
        for row in found
    ]


def raw_limit(here: World, mails: int) -> Row:
    """Send mails with smtplib alone; MAIL, RCPT and DATA go in one write."""
    command = [sys.executable, str(PEERS / "raw.py"), str(mails), str(PROCESSES), "pipe"]
    environment = os.environ | {"PEERS_SINK_PORT": str(here.sink.port)}
    with subprocess.Popen(  # noqa: S603  (ours)
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        before = here.cpu()
        said, _ = process.communicate("go\n")
        servers = here.cpu() - before
    times = json.loads(said)
    return _row("raw: smtplib, nothing else", mails, times["end"] - times["t0"], times["cpu"], servers, None)


def timed(contestant: Contestant, load: Load) -> Row:
    """Let a contestant send mails, and measure."""
    with contestant.running() as at:
        contestant.put_in(at, 1, load.warm_up)
        contestant.wait_for(at, load.warm_up)
        program, servers = contestant.cpu(at), contestant.world.cpu()
        times = contestant.put_in(at, load.warm_up + 1, load.last)
        contestant.wait_for(at, load.last)
        program = contestant.cpu(at) - program + times["cpu"]
        servers = contestant.world.cpu() - servers
        took = contestant.last(at) - times["t0"]
        return _row(contestant.name, load.mails, took, program, servers, contestant.memory(at))


def count(contestant: Contestant, load: Load) -> Row:
    """Let a contestant send mails, and count what a mail takes; nothing without servers."""
    if isinstance(contestant, Embedded):
        return {}
    with contestant.counted(), contestant.running() as at:
        contestant.put_in(at, 1, load.warm_up)
        contestant.wait_for(at, load.warm_up)
        before = contestant.counts()
        contestant.put_in(at, load.warm_up + 1, load.last)
        contestant.wait_for(at, load.last)
        found = contestant.counts() - before
    return {
        "statements": found.requests / load.mails,
        "commits": found.commits / load.mails,
        "messages": found.messages / load.mails,
    }


def _row(name: str, mails: int, took: float, program: float, servers: float, memory: float | None) -> Row:
    return {
        "a mail's way": name,
        "mails/s": mails / took,
        "CPU ms: program": program * 1000 / mails,
        "CPU ms: servers": servers * 1000 / mails,
        "MB a process": memory,
    }


if __name__ == "__main__":
    main()
