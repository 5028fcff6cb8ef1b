"""The command line as a process: signals, pipes, and a disk that is full."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from email import message_from_bytes
from pathlib import Path

import pytest
import structlog

from slowpost import service
from tests.broker.conftest import until
from tests.builders import an_account


def test_ctrl_c_stops_an_import_in_one_line_and_keeps_what_was_committed(folder: Path) -> None:
    with start(folder, "contacts", "import", "-") as process:
        assert process.stdin
        assert process.stderr
        lines = "".join(f"p{i}@x.test\n" for i in range(600))
        process.stdin.write(f"email\nnobody\n{lines}".encode())
        process.stdin.flush()
        assert process.stderr.readline().startswith(b"line 2: email: 'nobody'")
        # The next refused line is reported only after the first batch is committed.
        process.stdin.write(b"nobody\n" + b"x@x.test\n" * 2000)
        process.stdin.flush()
        assert process.stderr.readline().startswith(b"line 603: ")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        # click goes to a line of its own first: terminals have shown ^C.
        assert process.stderr.read().strip() == b"stopped"
    assert run(folder, "contacts", "list", "--limit", "1000", "--json").stdout.count(b'"email"') >= 499


def test_the_demo_shows_how_each_kind_of_contact_ends_and_a_sequence_in_which_one_replies(folder: Path) -> None:
    where = folder / "a?b #1%20'"
    done = run(folder, "demo", "--folder", where.name, umask=0)
    assert (done.returncode, done.stderr) == (0, b"")
    ends = {tuple(line.split()[:3]) for line in done.stdout.decode().splitlines() if "@" in line}
    assert {
        ("j.doe@gmail.com", "sent", "accepted"),
        ("jdoe+news@gmail.com", "skipped", "in_flight"),
        ("busy@mailbox.example", "failed", "attempts_used_up"),
        ("nobody@bounce.example", "bounced", "recipient_refused"),
        ("strict@filter.example", "failed", "content_refused"),
        ("notopic@untold.example", "failed", "template_error"),
        ("never@suppressed.example", "skipped", "suppressed_domain"),
        ("unchecked@new.example", "skipped", "not_validated"),
    } <= ends
    assert {
        ("ada@ada-weekly.example", "2", "finished"),
        ("ben@ben-weekly.example", "1", "replied"),
    } <= ends
    first, second = (message_from_bytes(file.read_bytes()) for file in sorted(where.glob("mails/*-ada@*.eml")))
    assert (second["In-Reply-To"], second["Subject"]) == (first["Message-ID"], first["Subject"])
    assert len(list((where / "mails").glob("*.eml"))) == 29
    # All of it is there, whatever the name, for its owner alone, whatever the umask; and so says what it prints.
    assert {path.name for path in folder.iterdir()} - {where.name} == {"slowpost.db"}
    assert [path.name for path in (where, *where.rglob("*")) if path.stat().st_mode & 0o077] == []
    next_command = done.stdout.decode().partition("  DATABASE_URL=")[2].partition(" slowpost ")[0]
    assert shlex.split(next_command) == [f"sqlite:///{where.name}/slowpost.db"]


def test_what_slowpost_makes_is_for_its_owner_alone(tmp_path: Path) -> None:
    with start(tmp_path, "init", umask=0) as process:
        assert process.wait(30) == 0
    add = ["accounts", "add", "--host", "h.test", "--from", "me@h.test", "--username", "me", "--password-stdin"]
    assert run(tmp_path, *add, stdin=b"s3cret\n", umask=0).returncode == 0
    with start(tmp_path, "run", umask=0) as process:
        modes: dict[str, str] = {}
        deadline = time.monotonic() + 30
        # Some are there only while a connection is open.
        while len(modes) < 5 and time.monotonic() < deadline:
            for path in tmp_path.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    modes[path.name] = oct(path.stat().st_mode & 0o777)
            time.sleep(0.001)
        process.terminate()
        assert process.wait(30) == 0
    made = ("slowpost.db", "slowpost.db-shm", "slowpost.db-wal", "slowpost.db.lock", "slowpost.key")
    assert modes == dict.fromkeys(made, "0o600")


def test_a_reader_that_has_enough_is_no_trouble(folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    for words in (("contacts", "list", "--json"), ("contacts", "list"), ("log", "--csv")):
        assert run(folder, *words, stdout=writing).stderr == b"", words
    os.close(writing)


def test_a_full_disk_is_one_line(folder: Path) -> None:
    for words in (("contacts", "list", "--json"), ("log", "--csv")):
        with Path("/dev/full").open("wb") as full:
            done = run(folder, *words, stdout=full)
        assert (done.returncode, done.stderr) == (1, b"slowpost: No space left on device\n"), words


def test_a_pipe_of_another_encoding_is_one_line(folder: Path) -> None:
    done = run(folder, "contacts", "import", "-", stdin=b"email,name\na@x.test,Jos\xe9\n")
    assert (done.returncode, done.stderr) == (1, b"slowpost: -: it is not UTF-8\n")


def test_a_byte_order_mark_is_passed_over_and_a_named_pipe_is_a_file(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with start(folder, "contacts", "import", "pipe") as process:
        (folder / "pipe").write_bytes(b"\xef\xbb\xbfemail\r\nann@x.test\r\n")
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, b"1 added, 0 updated, 0 unchanged, 0 refused\n", b"")


def test_without_a_terminal_nobody_waits_for_a_password(folder: Path) -> None:
    done = run(folder, "accounts", "add", "--host", "h.test", "--from", "me@h.test", "--username", "me")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert b"--password-stdin" in done.stderr


def test_of_two_embedded_processes_on_one_postgresql_the_second_is_refused_and_the_first_says_whose_password_it_lacks(
    postgres: str, tmp_path: Path
) -> None:
    account = an_account(username="me", password="encrypted by another key")
    an_account(), an_account(username="me", password="the same", enabled=False)
    environment = {k: v for k, v in os.environ.items() if k not in CHANGED} | {"DATABASE_URL": postgres}
    with (tmp_path / "log").open("wb") as log:
        first = subprocess.Popen([*COMMAND, "run"], cwd=tmp_path, env=environment, stdout=log, stderr=log)
    said = (tmp_path / "log").read_text
    try:
        until(lambda: '"running"' in said(), said)
        second = subprocess.run([*COMMAND, "run"], cwd=tmp_path, env=environment, capture_output=True, check=False)
    finally:
        first.terminate()
        assert first.wait(30) == 0
    assert second.returncode == 1
    assert second.stderr.startswith(
        b"slowpost: another `slowpost run` with BROKER_URL=memory:// works on this database"
    )
    (warning,) = [json.loads(line) for line in said().splitlines() if "can't be decrypted" in line]
    assert (warning["account_ids"], warning["level"]) == ([account.id], "warning")
    assert warning["problem"].startswith("there is no SECRET_KEY and no ")


def test_a_worker_says_at_its_start_whose_password_it_lacks(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    account = an_account(username="me", password="encrypted by another key")
    said = structlog.testing.CapturingLogger()
    monkeypatch.setattr(service, "log", structlog.wrap_logger(said, processors=[]))
    monkeypatch.setattr(service, "wait_for_servers", lambda: None)
    monkeypatch.setattr(os, "execv", lambda *_: None)
    service.become_worker(1, 1, [])
    (warning,) = [(call.method_name, call.kwargs["account_ids"]) for call in said.calls]
    assert warning == ("warning", [account.id])


#: With Ctrl-C as a terminal has it, also where the tests themselves run under `nohup` or behind `&`, and ignore it.
COMMAND = ["env", "--default-signal=INT", sys.executable, "-m", "slowpost"]
#: Of the surroundings; what is written unbuffered fails at another place than what a person's process writes.
CHANGED = ("DATABASE_URL", "BROKER_URL", "SECRET_KEY", "PYTHONUNBUFFERED")


@pytest.fixture
def folder(migrated_sqlite: Path, tmp_path: Path) -> Path:
    """A working directory with a database, as `slowpost init` makes it."""
    Path(shutil.copy(migrated_sqlite, tmp_path)).chmod(0o600)
    return tmp_path


def start(folder: Path, *words: str, **options: object) -> subprocess.Popen[bytes]:
    """Start a command on the embedded default."""
    environment = {k: v for k, v in os.environ.items() if k not in CHANGED}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen([*COMMAND, *words], cwd=folder, env=environment, **pipes)  # type: ignore[call-overload, no-any-return]


def run(folder: Path, *words: str, stdin: bytes = b"", **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end."""
    with start(folder, *words, **options) as process:
        out, err = process.communicate(stdin, timeout=30)
    return subprocess.CompletedProcess(words, process.returncode, out, err)
