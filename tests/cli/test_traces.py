"""Where a run leaves passwords, addresses, names and words of mails: only where docs/personal-data.md says."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword

from models import Delivery, database
from models.states import UNFINISHED
from slowpost.catcher import Catcher
from tests.broker.conftest import until
from tests.cli.conftest import Slowpost

#: What is looked for, by the page's word for it.
MARKS = {
    "address": ["mark.ed@address.test", "marked.bounce@address.test", "marked.untold@address.test"],
    "name": ["Markéta Marked"],
    "words": ["MarkedWords"],
    "login": ["markedlogin"],
    "secret": ["marked-good-secret", "marked-bad-secret"],
}
REPORTS = [
    ["accounts", "list"], ["accounts", "show", "1"],
    ["status"], ["plan"], ["log"], ["dead", "list"], ["dead", "show", "1"], ["in-doubt", "list"],
    ["contacts", "list"], ["contacts", "find", "marked"], ["contacts", "show", "1"], ["contacts", "show", "2"],
    ["contacts", "story", "1"], ["contacts", "story", "2"], ["actions"], ["backlog"],
    ["lists", "list"], ["lists", "show", "1"], ["campaigns", "list"], ["campaigns", "show", "1"],
    ["why", "1"], ["why", "2"], ["why", "3"], ["suppress", "list"], ["templates", "list"], ["templates", "show", "1"],
    ["templates", "preview", "1", "--contact", "1"], ["templates", "check", "1"], ["doctor", "--offline"], ["sweep"],
    ["publish", "--dry-run"], ["check-health"], ["campaigns", "check", "1"], ["campaigns", "report", "1"],
    ["inbound", "list"], ["inbound", "read"],
]  # fmt: skip
#: Commands whose second word says what they do.
GROUPS = ("accounts", "contacts", "lists", "campaigns", "templates", "suppress", "dead", "in-doubt", "inbound")


def test_what_is_private_is_only_where_the_page_says(has_run: Run, slowpost: Slowpost) -> None:
    allowed = what_the_page_allows()
    assert found_in({"the log": has_run.log, "the process list": has_run.processes}) == set()

    stored = found_in(has_run.columns)
    assert stored - allowed == set()
    # The run has left something to find.
    assert {("contact.email", "address"), ("attempt.text", "address"), ("delivery.text", "words")} <= stored

    said: dict[str, str] = {}
    for words in REPORTS:
        name = " ".join(words[:2] if words[0] in GROUPS else words[:1])
        said[name] = said.get(name, "") + slowpost(*words, "--json").out + slowpost(*words).out
    assert found_in(said) - allowed == set()
    assert {place for place, _ in allowed} <= set(has_run.columns) | set(said)

    # No secret is in any file, and the key only in its own.
    key = (has_run.folder / "slowpost.key").read_bytes().strip()
    for file in filter(Path.is_file, has_run.folder.iterdir()):
        assert not any(secret.encode() in file.read_bytes() for secret in MARKS["secret"]), file
        assert (key in file.read_bytes()) == (file.name == "slowpost.key"), file


class Run:
    """What a run has left.

    Attributes:
        folder: its working directory.
        log: what it has said.
        processes: the command lines of its processes while it ran.
        columns: all that is stored, by `table.column`.
    """

    def __init__(self, folder: Path, log: str, processes: str, columns: dict[str, str]) -> None:
        self.folder, self.log, self.processes, self.columns = folder, log, processes, columns


def found_in(texts: dict[str, str]) -> set[tuple[str, str]]:
    """Return in which of the texts what kind of private thing stands."""
    return {
        (place, kind)
        for place, text in texts.items()
        for kind, marks in MARKS.items()
        if any(mark.lower() in text.lower() for mark in marks)
    }


def what_the_page_allows() -> set[tuple[str, str]]:
    """Return the rows of the page's tables: place and kind."""
    page = (Path(__file__).parents[2] / "docs" / "personal-data.md").read_text()
    rows = re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \| ([a-z, ]+) \|", page, flags=re.MULTILINE)
    return {
        (place.removeprefix("slowpost "), kind)
        for places, kinds in rows
        for place in re.findall(r"`([^`]+)`", places)
        for kind in kinds.split(", ")
    }


@pytest.fixture
def has_run(ready: Slowpost, tmp_path: Path, configure: Callable[..., None], mail_server: Catcher) -> Run:
    """Mail three people with `slowpost run`: one gets it, one bounces with a talkative reply, one can't be rendered;
    one of the two accounts can't log in.
    """
    always = {"window_start": 0, "window_end": 0, "window_timezone": "UTC", "spread": "off", "min_interval": 0}
    configure(**{f"mail_{name}": value for name, value in always.items()})
    account = ["accounts", "add", "--host", "127.0.0.1", "--port", str(mail_server.port), "--security", "plain"]
    for user, secret in (("markedlogin", "marked-good-secret"), ("markedlogin2", "marked-bad-secret")):
        login = ["--username", user, "--password-stdin", "--from", f"{user}@sender.test"]
        assert ready(*account, *login, stdin=f"{secret}\n").code == 0
    people = "".join(f"{mail},Markéta Marked,site{i}.test,x\n" for i, mail in enumerate(MARKS["address"]))
    assert (
        ready(
            "contacts",
            "import",
            "-",
            "--list",
            "everybody",
            stdin=f"email,name,website,topic\n{people.replace('2.test,x', '2.test,')}",
        ).code
        == 0
    )
    text = "Dear {{ contact.name }} of {{ contact.topic }}: MarkedWords\n"
    assert ready("templates", "add", "t", "--subject", "MarkedWords", "--text-file", "-", stdin=text).code == 0
    assert ready("campaigns", "add", "spring", "--list", "everybody", "--account", "1").code == 0
    assert ready("templates", "add", "s", "--subject", "MarkedWords", "--text-file", "-", stdin=text).code == 0
    assert ready("campaigns", "add-step", "spring", "--template", "2").code == 0
    for contact in ("1", "2", "3"):
        assert ready("send", contact).code == 0
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "slowpost", "run"], cwd=tmp_path, stdout=log, stderr=log)
    try:
        with database.connection():
            until(
                lambda: not Delivery.select().where(Delivery.state.in_(UNFINISHED)).exists(),
                (tmp_path / "log").read_text,
            )
        processes = command_lines(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    with database.connection():
        return Run(tmp_path, (tmp_path / "log").read_text(), processes, columns())


def command_lines(pid: int) -> str:
    """Return the command lines of a process and of all below it."""
    mine, found = {pid}, ""
    for folder in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        with contextlib.suppress(OSError):
            if (
                int(folder.name) == pid
                or int(folder.joinpath("stat").read_text().rpartition(")")[2].split()[1]) in mine
            ):
                mine.add(int(folder.name))
                found += (folder / "cmdline").read_text().replace("\0", " ")
    assert "slowpost" in found
    return found


def columns() -> dict[str, str]:
    """Return all that is stored, by table and column."""
    found: dict[str, str] = {}
    for table in database.db.get_tables():
        cursor = database.db.execute_sql(f'SELECT * FROM "{table}"')  # noqa: S608
        names = [f"{table}.{column[0]}" for column in cursor.description]
        found |= dict.fromkeys(names, "")
        for row in cursor.fetchall():
            for name, value in zip(names, row, strict=True):
                found[name] += f"{value.decode(errors='replace') if isinstance(value, bytes) else value}\n"
    return found


@pytest.fixture
def mail_server(tmp_path: Path) -> Iterator[Catcher]:
    """A server that says all it knows."""

    def authenticate(
        _server: object, _session: object, _envelope: object, _how: str, data: LoginPassword
    ) -> AuthResult:
        if data.password == b"marked-good-secret":
            return AuthResult(success=True)
        said = f"535 5.7.8 not {data.password.decode()} for {data.login.decode()}"
        return AuthResult(success=False, handled=False, message=said)

    def refuse(recipient: str, data: bytes | None) -> str | None:
        return f"550 5.1.1 <{recipient}> is no user here" if "bounce" in recipient and data is None else None

    folder = tmp_path.parent / f"{tmp_path.name}-caught"
    options = {"authenticator": authenticate, "auth_require_tls": False}
    with Catcher(folder, refuse=refuse, **options) as running:
        yield running
