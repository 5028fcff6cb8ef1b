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
from tests.builders import a_contact, a_template, an_account
from tests.cli.conftest import Slowpost

REFUSED, USAGE = 1, 2

ADD_ACCOUNT = ["accounts", "add", "--host", "h.test", "--from", "me@h.test"]
SET_ACCOUNT = ["accounts", "set", "1"]
ADD_TEMPLATE = ["templates", "add", "new", "--subject", "s", "--text-file"]

BAD_INPUT = [
    (["nonsense"], USAGE, "No such command 'nonsense'"),
    (["send"], USAGE, "Missing argument 'CONTACT'"),
    (["send", "x"], USAGE, "'x' is neither the id of a contact nor an address"),
    (["send", "0"], USAGE, "0 is not in the range 1<=x<=2147483647"),
    (["send", "99999999999999999999"], USAGE, "is not in the range"),
    (["send", "99"], REFUSED, "there is no contact 99"),
    (["send", "1", "--template", "99"], REFUSED, "there is no template 99"),
    (["send", "1", "--priority", "10"], USAGE, "10 is not in the range 0<=x<=9"),
    (["publish", "--limit", "-1"], USAGE, "-1 is not in the range x>=0"),
    (["publish", "--template", "99"], REFUSED, "there is no template 99"),
    (["pause", "--account", "99"], REFUSED, "there is no account 99"),
    (["pause", "--account", "1", "--template", "1"], USAGE, "not both"),
    (["resume", "--template", "99"], REFUSED, "there is no template 99"),
    (["cancel"], USAGE, "either a CONTACT or --template is needed"),
    (["cancel", "99"], REFUSED, "there is no contact 99"),
    (["accounts", "add"], USAGE, "Missing option '--host'"),
    ([*ADD_ACCOUNT, "--port", "70000"], REFUSED, "'70000' is not a port from 1 to 65535"),
    ([*ADD_ACCOUNT, "--security", "ssl"], REFUSED, "'ssl' is none of starttls, tls, plain"),
    ([*ADD_ACCOUNT, "--daily-limit", "-3"], REFUSED, "'-3' is not a whole number of mails a day"),
    ([*ADD_ACCOUNT, "--from-name", "a\nb"], REFUSED, "one line"),
    ([*ADD_ACCOUNT, "--name", "account one"], REFUSED, "there is an account 'account one' already"),
    ([*ADD_ACCOUNT, "--username", "u", "--password-stdin"], REFUSED, "the password is empty"),
    ([*ADD_ACCOUNT, "--username", "u"], REFUSED, "there is no terminal to ask for the password"),
    ([*ADD_ACCOUNT, "--name", "n" * 201], REFUSED, "a name has 1 to 200 characters, this one has 201"),
    ([*ADD_ACCOUNT, "--warmup-start", "2"], USAGE, "a warm-up needs both --warmup-start and --warmup-step"),
    ([*ADD_ACCOUNT, "--warmup-start", "2", "--warmup-step", "0"], REFUSED, "'0' is not a whole number of mails more"),
    ([*SET_ACCOUNT, "--reason", "none"], USAGE, "nothing to change is given"),
    ([*SET_ACCOUNT, "--warmup-step", "2"], USAGE, "a warm-up needs both --warmup-start and --warmup-step"),
    ([*SET_ACCOUNT, "--warmup-start", "2", "--warmup-step", "2", "--no-warmup"], USAGE, "not both"),
    ([*SET_ACCOUNT, "--daily-limit", "none"], REFUSED, "'none' is not a whole number of mails a day"),
    (["accounts", "set", "99", "--no-warmup"], REFUSED, "there is no account 99"),
    (["accounts", "list", "--password", "s3cret"], USAGE, "No such option"),
    (["accounts", "add", "--host", "h.test", "--from", "me"], REFUSED, "'me' is no e-mail address"),
    (["accounts", "test", "99"], REFUSED, "there is no account 99"),
    (["accounts", "test", "1"], REFUSED, "account 1: connect: the connection was refused"),
    (["accounts", "enable", "99"], REFUSED, "there is no account 99"),
    (["accounts", "remove", "x"], USAGE, "'x' is not a valid integer range"),
    (["accounts", "import", "bad-header.csv"], REFUSED, "no column 'host'"),
    (["contacts", "import"], USAGE, "Missing argument 'FILE'"),
    (["contacts", "import", "absent.csv"], REFUSED, "absent.csv: there is no such file"),
    (["contacts", "import", "."], REFUSED, "it is a directory"),
    (["contacts", "import", "empty.csv"], REFUSED, "it is empty"),
    (["contacts", "import", "latin1.csv"], REFUSED, "it is not UTF-8"),
    (["contacts", "import", "utf16.csv"], REFUSED, "it is not UTF-8 (line 1)"),
    (["contacts", "import", "late.csv"], REFUSED, "it is not UTF-8 (line 1202)"),
    (["contacts", "import", "a" * 300], REFUSED, "it can't be opened: File name too long"),
    (["contacts", "import", "bad-header.csv"], REFUSED, "no column 'email'"),
    (["contacts", "import", "twice.csv"], REFUSED, "names a column twice"),
    (["contacts", "list", "--limit", "0"], USAGE, "0 is not in the range 1<=x<=2147483647"),
    (["contacts", "list", "--limit", "99999999999999999999"], USAGE, "is not in the range"),
    (["contacts", "list", "--after", "99999999999999999999"], USAGE, "is not in the range"),
    (["contacts", "show", "99"], REFUSED, "there is no contact 99"),
    (["contacts", "show", "nobody@x.test"], REFUSED, "there is no contact with the address nobody@x.test"),
    (["contacts", "show", "nobody"], USAGE, "'nobody' is neither the id of a contact nor an address"),
    (["contacts", "show", "99999999999999999999"], USAGE, "is not in the range"),
    (["contacts", "find"], USAGE, "Missing argument 'TEXT'"),
    (["contacts", "find", "x", "--limit", "0"], USAGE, "0 is not in the range 1<=x<=2147483647"),
    (["why", "nobody@x.test"], REFUSED, "there is no contact with the address nobody@x.test"),
    (["why", "0"], USAGE, "0 is not in the range 1<=x<=2147483647"),
    (["contacts", "forget", "99"], REFUSED, "there is no contact 99"),
    (["websites", "import", "bad-header.csv"], REFUSED, "no column 'domain'"),
    ([*ADD_TEMPLATE, "absent.txt"], REFUSED, "absent.txt: there is no such file"),
    ([*ADD_TEMPLATE, "empty.csv"], REFUSED, "it is empty"),
    ([*ADD_TEMPLATE, "broken.txt"], REFUSED, "text, line 2: "),
    ([*ADD_TEMPLATE, "latin1.csv"], REFUSED, "it is not UTF-8 (line 2)"),
    ([*ADD_TEMPLATE, "nul.txt"], REFUSED, "nul.txt: it has a NUL character"),
    ([*ADD_TEMPLATE, "-", "--html-file", "-"], USAGE, "only one of --text-file and --html-file can be stdin"),
    (["templates", "add", " ", "--subject", "s", "--text-file", "-"], REFUSED, "a name has 1 to 200 characters"),
    (["templates", "check", "1", "--limit", "99999999999999999999"], USAGE, "is not in the range 1<=x<=10000"),
    (["templates", "preview", "1"], USAGE, "Missing option '--contact'"),
    (["templates", "preview", "1", "--contact", "99"], REFUSED, "there is no contact 99"),
    (["templates", "preview", "99", "--contact", "1"], REFUSED, "there is no template 99"),
    (["templates", "show", "99"], REFUSED, "there is no template 99"),
    (["templates", "show", "1", "--text", "--json"], USAGE, "not both"),
    (["templates", "check", "99"], REFUSED, "there is no template 99"),
    (["templates", "rerender", "99"], REFUSED, "there is no template 99"),
    (
        ["templates", "send-test", "1", "--to", "me", "--account", "1", "--contact", "1"],
        REFUSED,
        "'me' is no e-mail address",
    ),
    (
        ["templates", "send-test", "1", "--to", "me@h.test", "--account", "1", "--contact", "1"],
        REFUSED,
        "connect: the connection was refused",
    ),
    (["suppress", "add", "not a domain"], REFUSED, "'not a domain' is no domain or URL"),
    (["suppress", "add", "a@@b"], REFUSED, "'a@@b' is no e-mail address"),
    (["suppress", "remove", "free.test"], REFUSED, "free.test is not suppressed"),
    (["suppress", "import", "bad-header.csv"], REFUSED, "no column 'value'"),
    (["log", "--since", "yesterday"], USAGE, "'yesterday' does not match the formats"),
    (["log", "--csv", "--json"], USAGE, "not both"),
    (["dead", "show", "99"], REFUSED, "there is no dead letter 99"),
    (["dead", "replay", "99"], REFUSED, "there is no open dead letter 99"),
    (["dead", "discard", "99"], REFUSED, "there is no open dead letter 99"),
    (["topology", "--for-version", "new"], USAGE, "'new' is no version of RabbitMQ, such as 4.1 or 3.10.8"),
    (["topology", "migrate"], REFUSED, "with BROKER_URL=memory:// there is no server whose queues could differ"),
    (["in-doubt", "resolve", "99"], USAGE, "either --sent or --resend is needed"),
    (["in-doubt", "resolve", "99", "--sent"], REFUSED, "there is no delivery 99 in doubt"),
    (["worker"], REFUSED, "use `slowpost run`"),
    (["worker", "--queues", "deliver,nonsense"], USAGE, "'nonsense' is none of intake, dedupe"),
    (["run", "--threads", "0"], USAGE, "0 is not in the range 1<=x<=64"),
    (["demo", "--contacts", "3"], USAGE, "3 is not in the range"),
    (["demo", "--folder", "."], REFUSED, "is not empty, and no earlier demo made it"),
    (["status", "extra"], USAGE, "unexpected extra argument"),
]


@pytest.fixture
def furnished(ready: Slowpost, tmp_path: Path) -> Slowpost:
    """One contact, template and account, and a folder of bad files."""
    with database.connection():
        a_contact()
        a_template()
        an_account(name="account one", port=1)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "bad-header.csv").write_text("adress,nom\na@b.test,Ann\n")
    (tmp_path / "twice.csv").write_text("email,email\na@b.test,a@b.test\n")
    (tmp_path / "latin1.csv").write_bytes("email,name\na@b.test,Jos\xe9\n".encode("latin-1"))
    (tmp_path / "utf16.csv").write_bytes("email\na@b.test\n".encode("utf-16"))
    (tmp_path / "late.csv").write_bytes(b"email\n" + b"".join(b"p%d@b.test\n" % i for i in range(1200)) + b"\xe9\n")
    (tmp_path / "nul.txt").write_bytes(b"Hello\0\n")
    (tmp_path / "broken.txt").write_text("Hello\n{{ contact.name\n")
    return ready


def contents() -> str:
    """Return a digest of every row of every table."""
    with database.connection():
        tables = database.db.get_tables()
        rows = [(table, database.db.execute_sql(f'SELECT * FROM "{table}"').fetchall()) for table in sorted(tables)]  # noqa: S608
    return hashlib.sha256(repr(rows).encode()).hexdigest()


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
