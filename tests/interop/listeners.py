"""What the mail servers of the tests have in common: their ports, each of which is like one of a provider's servers."""

from __future__ import annotations

import re
import socket
import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import Security
from tests.interop.mailboxes import Mail
from tests.interop.tree import Tree
from tests.servers import PrivateServer, free_port

DOMAIN = "interop.example"
#: Who has a mailbox.
READERS = [f"reader{number}" for number in range(30)]
#: Of all who may log in.
PASSWORD = "a-w0rd, & its =hash="
#: Octets of the largest message.
MOST_OCTETS = 100_000
MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5")


@dataclass(frozen=True)
class Listener:
    """A port of a mail server.

    Attributes:
        security: STARTTLS after the greeting, or TLS from the first byte.
        mechanisms: of AUTH, which it offers.
        certificate: `good`, `expired` or `another-host`.
        strips_starttls: it offers no STARTTLS, and AUTH in the clear.
        greylists: seconds for which postgrey sends a recipient away; none: it isn't asked.
        one_message: it takes one message a connection.
        bounces: it takes mails to whom it does not know, and sends a delivery report later.
    """

    security: Security = Security.STARTTLS
    mechanisms: Sequence[str] = MECHANISMS
    certificate: str = "good"
    strips_starttls: bool = False
    greylists: int | None = None
    one_message: bool = False
    bounces: bool = False


#: STARTTLS and implicit TLS, each with each mechanism alone.
LOGINS = [Listener(security, (m,)) for security in (Security.STARTTLS, Security.TLS) for m in MECHANISMS]
ORDINARY = Listener()
EXPIRED = [Listener(security, certificate="expired") for security in (Security.STARTTLS, Security.TLS)]
ANOTHER_HOST = [Listener(security, certificate="another-host") for security in (Security.STARTTLS, Security.TLS)]
STRIPPED = Listener(strips_starttls=True)
LISTENERS = [*LOGINS, ORDINARY, *EXPIRED, *ANOTHER_HOST, STRIPPED]


def distinct_ports(number: int) -> list[int]:
    """Return so many free ports."""
    ports: set[int] = set()
    while len(ports) < number:
        ports.add(free_port())
    return sorted(ports)


class RootedServer(PrivateServer):
    """A server in the tree, started by root; it takes a user of its own there.

    Attributes:
        tree: where it lives.
        program: what starts it there, in the foreground.
    """

    user = "root"
    program: Sequence[str]

    def __init__(self, tree: Tree) -> None:
        super().__init__()
        self.tree = tree

    def _command(self) -> list[str]:
        # With new ports at each start: somebody may have taken the last.
        self._configure()
        return self.tree.command(*self.program)

    @abstractmethod
    def _configure(self) -> None:
        """Choose ports, and write what it is to read."""

    def answers(self, port: int) -> bool:
        """Tell whether something listens on a port."""
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            return False
        return True


class MailServer(RootedServer):
    """A mail server: its ports, and the mailboxes of its readers.

    Attributes:
        name: what it is.
        ports: by listener.
        farewell: what it logs when a client that has sent nothing has gone; the group is the commands that it gave.
    """

    name: str
    farewell: str
    log_file: str
    _known = 0

    def __init__(self, tree: Tree, listeners: Sequence[Listener]) -> None:
        super().__init__(tree)
        self._listeners = listeners
        self.ports: dict[Listener, int] = {}

    def _prepare(self) -> None:
        self.tree.folder(f"var/mail/{self.name}", "vmail")

    def _configure(self) -> None:
        self.ports = dict(zip(self._listeners, distinct_ports(len(self._listeners)), strict=True))

    def username(self, listener: Listener) -> str:
        """Return who logs in at a listener: to Slowpost the same user of a host is the same mailbox."""
        return f"{self.name}{self._listeners.index(listener)}@{DOMAIN}"

    def usernames(self) -> list[str]:
        """Return all who may log in, each of them at every listener."""
        return [self.username(listener) for listener in self._listeners]

    def account(self, listener: Listener, **values: Any) -> dict[str, Any]:
        """Return the account that logs in at a listener, by the words of `accounts import`."""
        return {
            "host": "localhost",
            "port": self.ports[listener],
            "security": listener.security,
            "username": self.username(listener),
            "password": PASSWORD,
            "from_address": self.username(listener),
        } | values

    @property
    def mail_log(self) -> str:
        """What it has logged about mails, since it was started."""
        return file.read_text() if (file := self.tree.path / self.log_file).exists() else ""

    @property
    def log(self) -> str:
        return super().log + self.mail_log

    def is_ready(self) -> bool:
        return all(self.answers(port) for port in self.ports.values())

    def commands(self, patience: float = 30) -> str:
        """Wait until a client that has sent nothing has gone; return the commands of the last one, in small letters."""
        deadline = time.monotonic() + patience
        while not (found := re.findall(self.farewell, self.mail_log[self._known :])):
            assert time.monotonic() < deadline, self.mail_log[self._known :]
            time.sleep(0.02)
        return str(found[-1]).lower()

    def mails(self, reader: str, number: int = 1, patience: float = 30) -> list[Mail]:
        """Wait until a reader's mailbox has so many mails, and return them."""
        deadline = time.monotonic() + patience
        while len(found := self._mails().get(reader, [])) < number:
            assert time.monotonic() < deadline, f"{len(found)} mails for {reader}: {self.mail_log[-3000:]}"
            time.sleep(0.02)
        return [Mail(self.tree, file) for file in found]

    def readers(self) -> dict[str, int]:
        """Return who has mails, and how many."""
        return {reader: len(files) for reader, files in self._mails().items() if files}

    def forget(self) -> None:
        """Throw all mails away, and forget which clients there were."""
        self._known = len(self.mail_log)
        for files in self._mails().values():
            for file in files:
                file.unlink()

    def _mails(self) -> dict[str, list[Path]]:
        mailboxes = (self.tree.path / "var/mail" / self.name).iterdir()
        return {mailbox.name: sorted((mailbox / "new").glob("*")) for mailbox in mailboxes}
