"""Templates that take all they can get, among good ones, in an embedded `slowpost run` with its eight threads: each
costs what its limits allow, every good mail goes out, and nothing stays behind when the process is killed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from models import Delivery, EmailTemplate, Reason, State, database
from models.control import wake_by
from pipeline import select_contacts
from pipeline.content.renderer import MAX_SECONDS
from slowpost.service import THREADS
from tests.broker.conftest import until
from tests.builders import a_template, an_account
from tests.faults import fleet as fleets
from tests.faults.embedded import Embedded
from tests.faults.fleet import new_contacts
from tests.faults.oracle import accepted
from tests.unit.test_renderer import is_there


def test_templates_that_take_all_they_can_get_among_good_ones(
    sqlite: str,
    mail_server: tuple[int, Path],
    tmp_path: Path,
    counts: Callable[[int, int], int],
    report: Callable[..., None],
) -> None:
    tricks = list(TRICKS.items())[: counts(4, len(TRICKS))]
    good, bad = [a_template() for _ in range(counts(20, 100))], [a_template(text=text) for text, _ in tricks]
    for _ in range(ACCOUNTS):
        an_account(port=mail_server[0])
    with Embedded(fleets.environment(sqlite, "memory://"), tmp_path) as embedded:
        process = embedded.start()
        enter(good[:8])
        embedded.settle()
        with Watched(process.pid) as watched:
            enter([t for pair in zip(good[8:], [*bad, *[None] * 100], strict=False) for t in pair if t is not None])
            seconds = embedded.settle(300)
            time.sleep(0.5)
        embedded.kill()
        until(lambda: not any(map(is_there, watched.processes)), embedded.log, patience=30)

    assert len(accepted(mail_server[1])) == len(good)
    ended = Delivery.select(Delivery.state, Delivery.reason, Delivery.template)
    assert {d.template_id for d in ended if d.state == State.SENT} == {t.id for t in good}
    reasons = [d.reason for d in ended.where(Delivery.state == State.FAILED).order_by(Delivery.template)]
    assert reasons == [reason for _, reason in tricks]
    assert watched.cpu_seconds < MAX_SECONDS + 0.5
    assert watched.memory[-1] - watched.memory[0] < 100
    # Not as many rendered at once before.
    assert max(watched.memory) - watched.memory[0] < 100 + THREADS * AT_REST
    report(
        good=len(good),
        bad=len(bad),
        seconds=round(seconds, 1),
        mb_before=round(watched.memory[0]),
        mb_at_most=round(max(watched.memory)),
        mb_after=round(watched.memory[-1]),
        cpu_s_of_a_process_at_most=round(watched.cpu_seconds, 1),
    )


ACCOUNTS = 3
#: Megabytes of a process that renders, at rest.
AT_REST = 12
TRICKS = {
    "{{ ('%9999s'|format('')).replace(' ', '%99999s'|format(''))|length }}": Reason.TEMPLATE_LIMIT,
    "{{ range(499999)|map('center', 9999)|map('wordcount')|sum }}": Reason.TEMPLATE_LIMIT,
    "{{ 'x' * 499999 }}{{ 'x' * 499999 }}": Reason.TEMPLATE_ERROR,
    "{{ [contact.nope] }}": Reason.TEMPLATE_ERROR,
    "{{ range(10 ** 9)|list|length }}": Reason.TEMPLATE_LIMIT,
    "{% set a = 'x' %}" + "{% set a = a ~ a %}" * 40 + "{{ a|length }}": Reason.TEMPLATE_LIMIT,
    "{{ ('x' * 499999)|list|map('center', 9999)|list|length }}": Reason.TEMPLATE_LIMIT,
    "{{ 9 ** (9 ** 9) }}": Reason.TEMPLATE_LIMIT,
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}": Reason.TEMPLATE_LIMIT,
    "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(60) }}": Reason.TEMPLATE_LIMIT,
}


def enter(templates: list[EmailTemplate]) -> None:
    """Put a contact for each template onto the route, as `slowpost send` does beside it."""
    for template in templates:
        source = f"source-{template.id}"
        select_contacts.select(select_contacts.asked(source, new_contacts(source, 1)), template_id=template.id)
    wake_by(database.now())


class Watched:
    """A process and those that it starts, looked at ten times a second.

    Attributes:
        memory: megabytes of all of them together, what they share counted once.
        processes: the ids of those that it has started.
        cpu_seconds: what one of these has spent at most.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.memory: list[float] = []
        self.processes: set[int] = set()
        self.cpu_seconds = 0.0
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watched:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._ends.wait(0.1):
            self._look()

    def _look(self) -> None:
        kilobytes = memory_of(self._pid)
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) != self._pid:
                    continue
                spent = int((folder / "schedstat").read_text().split()[0]) / 1e9
                kilobytes += memory_of(int(folder.name))
            except OSError:  # it has just ended
                continue
            self.processes.add(int(folder.name))
            self.cpu_seconds = max(self.cpu_seconds, spent)
        self.memory.append(kilobytes / 1024)


def memory_of(pid: int) -> int:
    """Return a process's kilobytes; a page that n processes share counts for a n-th."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
