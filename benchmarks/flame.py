"""Where the workers' time in Python goes on the route: a flame graph of all their processes, and a table.

The first half of the mails is for the table, the second for the flame graph, if one is wanted. py-spy looks a hundred
times a second which thread of each process has the interpreter (`--gil`): what waits for a server has not. Each sample
counts for the library that is nearest to its top.

    python -m benchmarks.flame [--mails 1000] [--size 100] [--output FILE.svg] [--json]
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import _printing
from benchmarks._contestant import PATIENCE, Running
from benchmarks._contestants import Slowpost
from benchmarks._world import world

MAILS, WARMUP, CAMPAIGNS = 1000, 100, 20
#: By the beginning of a file's name, as py-spy shortens it: what it belongs to.
LIBRARIES = {
    "peewee": "peewee: SQL is built, rows are read",
    "playhouse": "peewee: SQL is built, rows are read",
    "models/compiled": "compiled statements are bound, rows are read",
    "pika": "pika",
    "dramatiq": "Dramatiq",
    "structlog": "the log",
    "logging": "the log",
    "jinja2": "templates are rendered",
    "pipeline/content/child": "templates are rendered",
    "email": "bytes of a mail",
    "pipeline/content": "bytes of a mail",
    "pipeline/smtp": "SMTP",
    "smtplib": "SMTP",
    "pipeline/throttle": "the throttle decides",
}
#: The function in which psycopg2, which is no Python, sends a statement and reads the answer.
_EXECUTES, DRIVER = "_execute_cursor (peewee", "psycopg2: statements are sent, answers read"
OTHERS = "all else"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--mails", type=int, default=MAILS)
    parser.add_argument("--size", type=int, default=100, help="ids in a message")
    parser.add_argument("--output", type=Path, help="where the flame graph goes")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    half = WARMUP + given.mails // 2
    with world() as here, tempfile.TemporaryDirectory() as folder:
        here.make("for_slowpost", WARMUP + given.mails, CAMPAIGNS, "127.0.0.1")
        setting = {**here.versions(), "mails": given.mails, "ids in a message": given.size}
        contestant = Slowpost(here, given.size)
        with contestant.running() as at:
            contestant.put_in(at, 1, WARMUP)
            contestant.wait_for(at, WARMUP)
            stacks = Path(folder) / "stacks"
            with _seen(at, "raw", stacks):
                contestant.put_in(at, WARMUP + 1, half)
                contestant.wait_for(at, half)
            if given.output is not None:
                with _seen(at, "flamegraph", given.output.absolute()):
                    contestant.put_in(at, half + 1, WARMUP + given.mails)
                    contestant.wait_for(at, WARMUP + given.mails)
                given.output.write_text(_without_paths(given.output.read_text()))
        spent = _spent_in(stacks.read_text().splitlines())
    rows = [{"of the workers' time in Python": name, "%": 100 * n / spent.total()} for name, n in spent.most_common()]
    _printing.emit(rows, setting, as_json=given.json)


@contextmanager
def _seen(at: Running, form: str, output: Path) -> Iterator[None]:
    """Let py-spy look at the workers for the block."""
    program = str(Path(sys.executable).with_name("py-spy"))
    command = [program, "record", "--pid", str(at.pids[0]), "--subprocesses", "--function", "--gil"]
    command += ["--rate", "100", "--format", form, "--output", str(output)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:  # noqa: S603  (ours)
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE)


def _without_paths(picture: str) -> str:
    """Return the picture with a title that says what it shows, and no folder of this machine."""
    named = re.sub(r'(<text id="title"[^>]*>)[^<]*', r"\1Slowpost's workers: who has the interpreter", picture)
    # Where a frame is narrow, only the beginning is shown.
    return re.sub(r"--path [^ <&]*", "--path .", named).replace(f"{Path(__file__).parents[1]}/", "")


def _spent_in(lines: list[str]) -> Counter[str]:
    """Return samples by what they were spent in; a line has the frames of a stack, and how many samples had it."""
    found: Counter[str] = Counter()
    for line in lines:
        frames, _, samples = line.rpartition(" ")
        nearest = map(_library, reversed(frames.split(";")))
        found[next(filter(None, nearest), OTHERS)] += int(samples)
    return found


def _library(frame: str) -> str | None:
    """Return what a frame belongs to, by the longest beginning of its file's name that fits."""
    if _EXECUTES in frame:
        return DRIVER
    file = frame.rpartition(" (")[2]
    fitting = [start for start in LIBRARIES if file.startswith(start)]
    return LIBRARIES[max(fitting, key=len)] if fitting else None


if __name__ == "__main__":
    main()
