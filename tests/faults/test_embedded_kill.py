"""`kill -9` of an embedded `slowpost run` between any two steps, and at random instants: what is unfinished is taken up
from the database by the next one, nothing is lost, nothing is sent twice.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models import Contact, Delivery, SmtpAccount, State
from pipeline.runtime.failpoints import NAMES
from slowpost.service import THREADS
from tests.broker.conftest import until
from tests.builders import a_campaign, a_contact, a_template, a_website, an_account
from tests.faults import fleet as fleets
from tests.faults.embedded import Embedded
from tests.faults.invariants import Run, check
from tests.faults.oracle import accepted


def test_a_second_run_on_the_same_file_is_refused(embedded: Embedded, mail_server: tuple[int, Path]) -> None:
    embedded.start()
    embedded.select(2)
    embedded.settle()
    second = slowpost(embedded, "run")
    assert second.returncode == 1
    assert second.stderr.startswith("slowpost: another `slowpost run` works on ")
    finish(embedded, mail_server[1])


def test_kills_of_the_embedded_process_at_random_instants(
    embedded: Embedded,
    mail_server: tuple[int, Path],
    counts: Callable[[int, int], int],
    report: Callable[..., None],
) -> None:
    _, file = mail_server
    rng = random.Random(20261124)  # noqa: S311
    for _ in range(CONTACTS_EACH):
        a_contact(website=a_website())
    assert slowpost(embedded, "publish").returncode == 0
    (source,) = {delivery.source for delivery in Delivery.select()}
    embedded.sources[source] = [contact.id for contact in Contact.select()]
    for _ in range(counts(4, 100)):
        before = len(accepted(file))
        embedded.start()
        embedded.select(CONTACTS_EACH)
        if rng.random() < 0.8:
            wanted = before + rng.randrange(CONTACTS_EACH // 2)
            until(lambda n=wanted: len(accepted(file)) > n, embedded.log, patience=30)  # type: ignore[misc]
        time.sleep(rng.uniform(0, 0.4))
        embedded.kill()
    embedded.start()
    report(**finish(embedded, file))


def test_a_kill_of_the_embedded_process_at_every_failpoint(
    embedded: Embedded,
    mail_server: tuple[int, Path],
    counts: Callable[[int, int], int],
    report: Callable[..., None],
) -> None:
    steps = [(0, [a_template()]) for _ in range(2)]
    campaign = a_campaign(*steps, accounts=list(SmtpAccount.select()))
    published_every = counts(6, 1)
    for _ in range(counts(1, 3)):
        for number, failpoint in enumerate(PASSED):
            embedded.arm(failpoint)
            embedded.select(2)
            if number % published_every == 0:
                embedded.enrol(3, campaign)
                embedded.publish()
            embedded.start()
            embedded.dies()
    embedded.start()
    report(**finish(embedded, mail_server[1]))


ACCOUNTS = 20
#: Its queue `intake` stays empty: what others have selected it finds in the database.
PASSED = [name for name in NAMES if not name.startswith("intake:")]
#: Contacts that come in before each random kill.
CONTACTS_EACH = 15


@pytest.fixture
def embedded(sqlite: str, mail_server: tuple[int, Path], tmp_path: Path) -> Iterator[Embedded]:
    """A `slowpost run` that is not started yet, a template and accounts."""
    a_template()
    for _ in range(ACCOUNTS):
        an_account(port=mail_server[0])
    with Embedded(fleets.environment(sqlite, "memory://"), tmp_path) as made:
        yield made


def slowpost(embedded: Embedded, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command beside it."""
    environment = embedded.environment | {"MAIL_PUBLISH_MIN_PRIORITY": "0"}
    command = [sys.executable, "-m", "slowpost", *words]
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=60)


def finish(embedded: Embedded, file: Path) -> dict[str, float]:
    """Let it come to rest and stop; nothing is violated. Return the figures."""
    seconds = embedded.settle()
    assert embedded.stop() == 0, embedded.log()[-3000:]
    run = Run(embedded.sources, accepted(file), embedded.faults, limit=1000, interval=0.1, enrolled=embedded.enrolled)
    assert check(run) == []
    assert "Traceback" not in embedded.log()
    doubtful = Delivery.select().where(Delivery.state == State.IN_DOUBT).count()
    assert doubtful <= THREADS * len(embedded.faults)
    return {
        "kills": len(embedded.faults),
        "contacts": sum(map(len, (*embedded.sources.values(), *embedded.enrolled.values()))),
        "in_doubt": doubtful,
        "settled_in_s": round(seconds, 1),
    }
