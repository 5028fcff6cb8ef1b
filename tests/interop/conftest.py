"""Real mail servers, which live as long as the run, and Slowpost as a person uses it, on a clock moved by hand."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from models import Attempt, Delivery, SmtpAccount, database
from pipeline import deliver_message, select_contacts
from pipeline.flow import Handoff
from tests.accelerated import Accelerated
from tests.cli.conftest import Slowpost, ready, slowpost  # noqa: F401  (fixtures)
from tests.conftest import Clock
from tests.interop.certificates import DAY, Authority
from tests.interop.exim import Exim
from tests.interop.listeners import DOMAIN, MailServer
from tests.interop.postfix import Postfix
from tests.interop.reading import box, running_dovecot  # noqa: F401  (fixtures)
from tests.interop.tree import Tree, tree


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `--pictures` write docs/pictures anew."""
    parser.addoption("--pictures", action="store_true", help="write docs/pictures anew")


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Who has signed the servers' certificates."""
    return Authority()


@pytest.fixture(scope="session")
def machine(authority: Authority) -> Iterator[Tree]:
    """The folder in which the servers live."""
    with tree() as folder:
        for name, host, until in (("good", "localhost", DAY), ("expired", "localhost", -DAY)):
            folder.write(f"etc/tls/{name}.pem", authority.key_and_certificate(host, until=until))
        folder.write("run/clock", "+0")
        folder.write("etc/tls/another-host.pem", authority.key_and_certificate(f"other.{DOMAIN}"))
        yield folder


@pytest.fixture(scope="session")
def running_postfix(machine: Tree) -> Iterator[Postfix]:
    """Postfix, for the whole run."""
    with Postfix(machine) as server:
        yield server


@pytest.fixture(scope="session")
def running_exim(machine: Tree) -> Iterator[Exim]:
    """Exim, for the whole run."""
    with Exim(machine) as server:
        yield server


@pytest.fixture
def postfix(running_postfix: Postfix) -> Postfix:
    """Postfix, with empty mailboxes and no memory."""
    running_postfix.forget()
    return running_postfix


@pytest.fixture
def exim(running_exim: Exim) -> Exim:
    """Exim, with empty mailboxes and no memory."""
    running_exim.forget()
    return running_exim


@pytest.fixture(params=["postfix", "exim"])
def mail_server(request: pytest.FixtureRequest) -> MailServer:
    """Run the test with both."""
    server = request.getfixturevalue(request.param)
    assert isinstance(server, MailServer)
    return server


@pytest.fixture(autouse=True)
def trusts_the_authority(
    configure: Callable[..., None], authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let Slowpost trust the tests' authority, as a private server's certificate is trusted."""
    file = tmp_path / "authority.pem"
    file.write_text(authority.certificate())
    monkeypatch.setenv("SSL_CERT_FILE", str(file))


class SharedClock(Clock):
    """A clock by which postgrey goes, too: `run/clock` says how far it is ahead."""

    def __init__(self, at: dt.datetime, machine: Tree) -> None:
        """Stand at `at`, where postgrey's is at the machine's own time."""
        self._began, self._machine = at, machine
        super().__init__(at)

    @property
    def at(self) -> dt.datetime:
        """The time."""
        return self._at

    @at.setter
    def at(self, at: dt.datetime) -> None:
        self._at = at
        self._machine.write("run/clock", f"+{(at - self._began).total_seconds():.3f}")


@pytest.fixture
def clock(clock: Clock, machine: Tree, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The database's clock, which postgrey shares."""
    shared = SharedClock(clock.at, machine)
    monkeypatch.setattr(database, "now", lambda: shared.at)
    return shared


class Outreach:
    """What a person does with Slowpost, and time that goes by; the default window, on a working day at ten."""

    def __init__(self, command: Slowpost, clock: Clock) -> None:
        """Nothing is stored yet."""
        self._command = command
        self._clock = clock
        self._stages = Accelerated(clock)

    def command(self, *words: str, stdin: str = "") -> Any:
        """Return what a command prints as JSON. It has to succeed."""
        done = self._command(*words, "--json", stdin=stdin)
        assert done.code == 0, done.err
        return json.loads(done.out)

    def refusal(self, *words: str) -> str:
        """Return in what words a command is refused."""
        done = self._command(*words)
        assert (done.code, done.out) == (1, "")
        return done.err

    def add_accounts(self, *accounts: Mapping[str, Any]) -> None:
        """Import accounts."""
        self.command("accounts", "import", "-", "--strict", stdin=as_csv(accounts))

    def write_to(self, *contacts: Mapping[str, Any], text: str = "Hello\n", html: str | None = None) -> None:
        """Import contacts, and put them onto the route in this order."""
        words = ["--subject", "Hello", "--text-file", "-", "--replace"]
        if html is not None:
            Path("template.html").write_text(html)
            words += ["--html-file", "template.html"]
        self.command("templates", "add", "letter", *words, stdin=text)
        self.command("contacts", "import", "-", "--strict", stdin=as_csv(contacts))
        listed = {c["email"]: c["id"] for c in self.command("contacts", "list", "--limit", "1000")}
        with database.connection():
            for contact in contacts:
                source = str(contact["email"])
                self._stages.put(*select_contacts.select(select_contacts.asked(source, [listed[contact["email"]]])))

    def put(self, *handoffs: Handoff) -> None:
        """Put messages on the stages' queues."""
        self._stages.put(*handoffs)

    def pass_time(self, **length: float) -> None:
        """Let so much time pass, in which the stages do what is due."""
        with database.connection():
            self._stages.run(self._clock.at + dt.timedelta(**length))

    def deliveries(self) -> dict[str, tuple[str, str | None]]:
        """Return state and reason, by recipient."""
        with database.connection():
            return {d.recipient: (d.state, d.reason) for d in Delivery.select()}

    def attempts(self) -> list[tuple[str, str | None, int | None]]:
        """Return all attempts in their order: outcome, to whom it is charged, reply code."""
        with database.connection():
            rows = Attempt.select().order_by(Attempt.id)
            return [(a.outcome, a.charged_to, a.reply_code) for a in rows]

    def attempts_at(self) -> list[dt.datetime]:
        """Return when the attempts ended, in their order."""
        with database.connection():
            return [a.finished_at for a in Attempt.select().order_by(Attempt.id)]

    def account(self, number: int = 1) -> SmtpAccount:
        """Return an account's row."""
        with database.connection():
            return SmtpAccount.get_by_id(number)

    def suppressed(self) -> list[str]:
        """Return the addresses that are never mailed again."""
        return [row["value"] for row in self.command("suppress", "list")]


@pytest.fixture
def outreach(ready: Slowpost, clock: Clock) -> Iterator[Outreach]:  # noqa: F811  (the fixture)
    """Slowpost with an empty database; its connections are closed afterwards."""
    yield Outreach(ready, clock)
    deliver_message.connections.close()


def as_csv(rows: tuple[Mapping[str, Any], ...] | list[Mapping[str, Any]]) -> str:
    """Return rows of the same columns as a CSV file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
