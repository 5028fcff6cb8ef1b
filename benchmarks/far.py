"""What is sent to a mail server that is far away: 50 ms in each packet's way, in both directions, acknowledgements too.

Beside it smtplib's `send_message` on a kept connection for each account, all at the same time, and nothing else: it
asks nothing before a message, and its small packets wait for none (TCP_NODELAY). Both have 10 accounts, one connection
for each.
Needs root, for a network namespace of its own in which everything runs (`_link`).

    python -m benchmarks.far [--mails 200] [--ms 50] [--rounds 2] [--json]
"""

from __future__ import annotations

import smtplib
import socket
import threading
import time
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any

from benchmarks import _printing
from benchmarks._contestants import Slowpost
from benchmarks._link import HERE, THERE, Link, enter_namespace
from benchmarks._world import ACCOUNTS, PEERS, World, world

MAILS, DELAY_MS = 200, 50
#: Mails that go before, so that every account has its connection.
WARMUP = 40


def main() -> None:
    """Measure and print."""
    parser = _printing.arguments(__doc__, rounds=2)
    parser.add_argument("--mails", type=int, default=MAILS)
    parser.add_argument("--ms", type=int, default=DELAY_MS, help="of a packet's way")
    given = parser.parse_args()
    enter_namespace()
    with Link(given.ms), world(HERE) as here:
        here.make("for_slowpost", WARMUP + given.mails, 0, THERE)
        setting = {**here.versions(), "mails": given.mails, "ms": given.ms, "rounds": given.rounds}
        rows = _printing.in_rounds(given.rounds, lambda: _round(here, given.mails))
    _printing.emit(rows, setting, as_json=given.json)


def _round(here: World, mails: int) -> list[Mapping[str, Any]]:
    rates = {
        "smtplib's send_message": raw_limit(here, mails),
        "Slowpost": slowpost(here, mails),
    }
    raw = rates["smtplib's send_message"]
    return [
        {"a mail server far away": name, "mails/s of a connection": rate / ACCOUNTS, "÷ smtplib": rate / raw}
        for name, rate in rates.items()
    ]


def raw_limit(here: World, mails: int) -> float:
    """Return the mails a second of smtplib over all connections."""
    words = EmailMessage()
    words["From"], words["To"] = "sender@sender.test", "ada@example.test"
    words["Subject"], text = (PEERS / "template.txt").read_text().split("\n", 1)
    words.set_content(text)
    ready = threading.Barrier(ACCOUNTS + 1)
    threads = [
        threading.Thread(target=_send, args=(here.sink.port, words, mails // ACCOUNTS, ready)) for _ in range(ACCOUNTS)
    ]
    for thread in threads:
        thread.start()
    ready.wait()
    began = time.monotonic()
    for thread in threads:
        thread.join()
    return mails // ACCOUNTS * ACCOUNTS / (time.monotonic() - began)


def _send(port: int, words: EmailMessage, mails: int, ready: threading.Barrier) -> None:
    with smtplib.SMTP(THERE, port) as server:
        assert server.sock is not None
        server.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.send_message(words)
        ready.wait()
        for _ in range(mails):
            server.send_message(words)
        # Without its goodbye, which is no part of a mail.
        server.close()


def slowpost(here: World, mails: int) -> float:
    """Return the mails a second of Slowpost."""
    contestant = Slowpost(here, 100)
    with contestant.running() as at:
        contestant.put_in(at, 1, WARMUP)
        contestant.wait_for(at, WARMUP)
        times = contestant.put_in(at, WARMUP + 1, WARMUP + mails)
        contestant.wait_for(at, WARMUP + mails)
        return mails / (contestant.last(at) - times["t0"])


if __name__ == "__main__":
    main()
