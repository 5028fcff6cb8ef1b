"""What people and scanners who open links to unsubscribe take from the route: 200 requests a second beside it.

The route sends on the same machine, with two worker processes, from 10 accounts that each wait `--interval` seconds
between two mails. Since each slot is reckoned from the mail before, whatever delays a mail lowers the rate. With an
interval of 0 the route sends as fast as it can, and so does not leave the web process (and what asks it) a core to
themselves: the worst case. Four of five requests open a page, the fifth is one click, each for another mail; each has a
connection of its own, as behind nginx. A request's time is from when it was due.

    python -m benchmarks.web [--interval 1] [--contacts 10000] [--seconds 60] [--rate 200] [--rounds 2] [--json]
"""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import quantiles

from cryptography.fernet import Fernet

from benchmarks import _printing, _spent
from benchmarks._contestant import PATIENCE, Running, StuckError
from benchmarks._contestants import Slowpost
from benchmarks._printing import Row
from benchmarks._world import World, ask, bound, world
from models import State, database
from pipeline.content.consent import PATH
from pipeline.operations import unsubscribe
from tests import builders
from tests.servers import free_port

CONTACTS, SECONDS, RATE, CAMPAIGNS = 10_000, 60, 200, 20
#: Seconds between two mails of an account. Of 10 accounts these are 36,000 mails an hour; the program's default is 60.
INTERVAL = 1.0
#: Mails that go before, so that every thread has its connections.
WARMUP = 100
#: Threads that ask; the web process has 8.
CLIENTS = 32
ONE_CLICK_EVERY = 5
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class WithLinks(Slowpost):
    """Slowpost whose mails have links, and its web process."""

    def __init__(self, world: World, key: str, interval: float) -> None:
        """Wrap its keys with the SECRET_KEY `key`, and let an account wait so many seconds between two mails."""
        super().__init__(world, 100)
        self.port, self._operator_port, self._key, self._interval = free_port(), free_port(), key, interval

    def _variables(self, at: Running) -> dict[str, str]:
        return super()._variables(at) | {
            "SECRET_KEY": self._key,
            "MAIL_MIN_INTERVAL": f"{self._interval:g}",
            "MAIL_PUBLIC_URL": "https://mail.test",
            "MAIL_WEB_LISTEN": f"127.0.0.1:{self.port}",
            "MAIL_WEB_OPERATOR_LISTEN": f"127.0.0.1:{self._operator_port}",
            # All come from one address.
            "MAIL_WEB_CLIENT_LIMIT": "1000000",
            "MAIL_WEB_LIMIT": "1000000",
        }

    @contextmanager
    def serving(self, at: Running) -> Iterator[int]:
        """Run the web process for the block; yield its id."""
        command = ["setpriv", "--pdeathsig", "SIGTERM", sys.executable, "-m", "slowpost", "web"]
        with at.log.open("a") as log:
            process = subprocess.Popen(command, env=self.environment(at), stdout=log, stderr=log)  # noqa: S603  (ours)
        try:
            deadline = time.monotonic() + PATIENCE
            while _status(self.port, "GET", "/health") != 200:
                if time.monotonic() > deadline:
                    raise StuckError(f"the web process does not answer: {at.log.read_text()[-2000:]}")
                time.sleep(0.1)
            yield process.pid
        finally:
            process.terminate()
            process.wait(PATIENCE)


@dataclass
class Asked:
    """What came of requests: how many failed, and the seconds that each took from when it was due."""

    failed: int = 0
    took: list[float] = field(default_factory=list)


def main() -> None:
    """Measure and print."""
    parser = _printing.arguments(__doc__, rounds=2)
    parser.add_argument("--interval", type=float, default=INTERVAL, help="seconds between two mails of an account")
    parser.add_argument("--contacts", type=int, default=CONTACTS, help="more than are sent in that time")
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--rate", type=int, default=RATE, help="requests a second")
    given = parser.parse_args()
    key = os.environ["SECRET_KEY"] = Fernet.generate_key().decode()
    number = given.rate * given.seconds
    with world() as here:
        here.make("for_slowpost", given.contacts, CAMPAIGNS, "127.0.0.1")
        links = _links(here, -(-number // ONE_CLICK_EVERY))
        slowpost = WithLinks(here, key, given.interval)
        setting = {**here.versions(), "seconds": given.seconds, "requests/s": given.rate, "rounds": given.rounds}
        setting["interval s"] = given.interval
        measured = [given.contacts, given.seconds]
        rows = _printing.in_rounds(given.rounds, lambda: _round(slowpost, links, number, *measured))
    _printing.emit(rows, setting, as_json=given.json)


def _links(here: World, number: int) -> list[str]:
    """Store so many mails that were sent before; return the paths of their links."""
    with bound(f"{here.postgres.url.rpartition('/')[0]}/for_slowpost"), database.transaction():
        unsubscribe.make_key()
        tokens, template, links = unsubscribe.tokens(), builders.a_template(), []
        for i in range(number):
            website = builders.a_website(domain=f"company{i}.test")
            person = builders.a_contact(email=f"ada@company{i}.test", website=website)
            sent = builders.a_delivery(State.SENT, contact=person, template=template, sent_at=database.now())
            links.append(PATH + tokens.of(sent.id))
        return links


def _round(slowpost: WithLinks, links: Sequence[str], number: int, contacts: int, seconds: int) -> list[Row]:
    alone = _route(slowpost, links, 0, contacts, seconds)
    beside = _route(slowpost, links, number, contacts, seconds)
    return [{**row, "÷ alone": row["mails/s"] / alone["mails/s"]} for row in (alone, beside)]


def _route(slowpost: WithLinks, links: Sequence[str], number: int, contacts: int, seconds: int) -> Row:
    """Let the route send for so many seconds, with so many requests beside it. Raises StuckError."""
    with slowpost.running() as at, slowpost.serving(at) as web:
        slowpost.put_in(at, 1, contacts)
        slowpost.wait_for(at, WARMUP)
        began, before, cpu = time.monotonic(), int(ask(at.database, slowpost.STORED)), _spent.cpu(web)
        asked = requests(slowpost.port, links, number, seconds)
        sent, took = int(ask(at.database, slowpost.STORED)) - before, time.monotonic() - began
        if before + sent == contacts:
            raise StuckError(f"all {contacts} mails were sent within {took:.0f} s: --contacts more")
        spent = _spent.cpu(web) - cpu
    cuts = quantiles(asked.took, n=100) if number else None
    return {
        "the route": f"with {number / seconds:.0f} requests/s beside it" if number else "alone",
        "mails/s": sent / took,
        "failed": asked.failed if number else None,
        "ms, median": cuts and cuts[49] * 1000,
        "ms, 99 of 100 within": cuts and cuts[98] * 1000,
        "CPU ms a request": spent * 1000 / number if number else None,
    }


def requests(port: int, links: Sequence[str], number: int, seconds: int) -> Asked:
    """Make so many requests, spread evenly over so many seconds, and wait until these are over."""
    asked, lock, began = Asked(), threading.Lock(), time.monotonic()
    due = iter(range(number))

    def ask_on() -> None:
        while True:
            with lock:
                turn = next(due, None)
            if turn is None:
                return
            at = began + turn * seconds / number
            time.sleep(max(0.0, at - time.monotonic()))
            # Each fifth is the first one click of its mail; the page of each mail is opened four times.
            link = links[turn // ONE_CLICK_EVERY % len(links)]
            is_one_click = turn % ONE_CLICK_EVERY == 0
            status = _status(port, "POST" if is_one_click else "GET", link)
            with lock:
                asked.failed += status != 200
                asked.took.append(time.monotonic() - at)

    threads = [threading.Thread(target=ask_on) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    return asked


def _status(port: int, method: str, path: str) -> int | None:
    """Return the status of an answer; None: there was none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        if method == "POST":
            connection.request(method, path, "List-Unsubscribe=One-Click", _FORM)
        else:
            connection.request(method, path)
        answer = connection.getresponse()
        answer.read()
    except OSError:
        return None
    finally:
        connection.close()
    return answer.status


if __name__ == "__main__":
    main()
