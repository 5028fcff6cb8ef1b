"""Bad input of each kind: one line on stderr, the right exit code, nothing changed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from models import database
from slowpost.cli import COMMANDS, cli
from tests.builders import a_campaign, a_contact, a_list, a_template, an_account
from tests.cli.bad_input import BAD_INPUT, REFUSED
from tests.cli.conftest import Slowpost


@pytest.mark.parametrize(("words", "code", "says"), BAD_INPUT, ids=[" ".join(w)[:60] for w, _, _ in BAD_INPUT])
def test_bad_input_is_one_line_and_changes_nothing(furnished: Slowpost, words: list[str], code: int, says: str) -> None:
    before = contents()
    result = furnished(*words)
    assert result.code == code
    assert says in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert result.out == ""
    assert contents() == before


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(slowpost: Slowpost, name: str) -> None:
    result = slowpost(name, "--help")
    assert result.code == 0
    assert "Usage: slowpost" in result.out
    command = cli.get_command(None, name)  # type: ignore[arg-type]
    for sub in getattr(command, "commands", {}):
        found = slowpost(name, sub, "--help")
        assert found.code == 0
        assert len(found.out.splitlines()) > 3


def test_without_a_database_one_line_says_what_to_run(slowpost: Slowpost, tmp_path: Path) -> None:
    result = slowpost("status")
    assert result.code == REFUSED
    assert "run `slowpost init`" in result.err
    assert not (tmp_path / "slowpost.db").exists()


def test_a_database_that_is_away_is_one_line(slowpost: Slowpost, configure: Callable[..., None]) -> None:
    configure(database_url="postgresql://nobody:secret@127.0.0.1:1/none")
    result = slowpost("status")
    assert (result.code, len(result.err.strip().splitlines())) == (REFUSED, 1)
    assert result.err.startswith("slowpost: the database: ")
    assert "secret" not in result.err


def test_a_broker_that_is_away_is_one_line(tmp_path: Path) -> None:
    # A process of its own: the broker is chosen when the actors are imported.
    environment = os.environ | {
        "BROKER_URL": "amqp://guest:secret@127.0.0.1:1/",
        "DATABASE_URL": "sqlite:///slowpost.db",
    }
    command = [sys.executable, "-m", "slowpost", "init"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (REFUSED, 1)
    assert done.stderr.startswith("slowpost: the broker: ")
    assert "secret" not in done.stderr


def test_a_bad_setting_is_one_line(slowpost: Slowpost, configure: Callable[..., None]) -> None:
    configure(mail_jitter="much")
    result = slowpost("status")
    assert result.code == REFUSED
    assert result.err.startswith("slowpost: MAIL_JITTER='much': allowed: ")


@pytest.fixture
def furnished(ready: Slowpost, tmp_path: Path) -> Slowpost:
    """One contact, template and account, and a folder of bad files."""
    with database.connection():
        a_contact()
        a_template()
        an_account(name="account one", port=1)
        a_list(name="list one")
        a_campaign(name="draft", state="draft")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "bad-header.csv").write_text("adress,nom\na@b.test,Ann\n")
    (tmp_path / "twice.csv").write_text("email,email\na@b.test,a@b.test\n")
    (tmp_path / "latin1.csv").write_bytes("email,name\na@b.test,Jos\xe9\n".encode("latin-1"))
    (tmp_path / "utf16.csv").write_bytes("email\na@b.test\n".encode("utf-16"))
    (tmp_path / "late.csv").write_bytes(b"email\n" + b"".join(b"p%d@b.test\n" % i for i in range(1200)) + b"\xe9\n")
    (tmp_path / "nul.txt").write_bytes(b"Hello\0\n")
    (tmp_path / "broken.txt").write_text("Hello\n{{ contact.name\n")
    (tmp_path / "setup.exe").write_bytes(b"MZ\x90\0" + bytes(80))
    for name, size in (("large.bin", 8_000_000), ("huge.bin", 10_000_001)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
    return ready


def contents() -> str:
    """Return a digest of every row of every table."""
    with database.connection():
        tables = database.db.get_tables()
        rows = [(table, database.db.execute_sql(f'SELECT * FROM "{table}"').fetchall()) for table in sorted(tables)]  # noqa: S608
    return hashlib.sha256(repr(rows).encode()).hexdigest()
