"""Dovecot as a provider's IMAP server is: mailboxes with folders by special use, STARTTLS, TLS and IDLE."""

from __future__ import annotations

import contextlib
import imaplib
import time
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.interop.listeners import DOMAIN, PASSWORD, RootedServer, distinct_ports
from tests.interop.tree import Tree

#: Who has a mailbox.
USERS = [f"box{number}@{DOMAIN}" for number in range(2)]

_CONFIG = """
base_dir = /run/dovecot-imap
state_dir = /var/lib/dovecot-imap
protocols = imap
log_path = /var/log/dovecot-imap.log
info_log_path = /var/log/dovecot-imap-info.log
auth_mechanisms = plain login
auth_failure_delay = 0
ssl = yes
ssl_cert = </etc/tls/good.pem
ssl_key = </etc/tls/good.pem
disable_plaintext_auth = no
mail_max_userip_connections = 20
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
passdb {{
  driver = passwd-file
  args = /etc/dovecot/imap-users
}}
userdb {{
  driver = static
  args = uid=vmail gid=vmail home=/tmp
}}
service imap-login {{
  inet_listener imap {{
    address = 127.0.0.1
    port = {plain}
  }}
  inet_listener imaps {{
    address = 127.0.0.1
    port = {tls}
    ssl = yes
  }}
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Spam-folder {{
    special_use = \\Junk
  }}
  mailbox Everything {{
    special_use = \\Archive
  }}
  mailbox "Gesendet & mehr" {{
    special_use = \\Sent
  }}
}}
mail_location = maildir:/var/mail/imap/%n
"""
JUNK, ARCHIVE, SENT = "Spam-folder", "Everything", '"Gesendet &- mehr"'


class MailboxServer(RootedServer):
    """A server of mailboxes.

    Attributes:
        plain, tls: its ports, for STARTTLS and with TLS from the first byte.
    """

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree)
        self.plain = self.tls = 0

    def _configure(self) -> None:
        # The same at each start: it is where accounts read.
        if not self.plain:
            self.plain, self.tls = distinct_ports(2)

    def is_ready(self) -> bool:
        return self.answers(self.plain) and self.answers(self.tls)

    def box(self, user: str = USERS[0]) -> Box:
        """Return a user's mailbox."""
        return Box(self, user)

    def forget(self) -> None:
        """Empty all mailboxes; make the folders that are not there."""
        for user in USERS:
            with self.box(user).opened() as imap:
                for name, use in ((JUNK, "\\Junk"), (ARCHIVE, "\\Archive"), (SENT, "\\Sent")):
                    self._create(imap, name, use)
                for name in ("INBOX", JUNK, ARCHIVE, SENT):
                    imap.select(name)
                    imap.uid("STORE", "1:*", "+FLAGS", "(\\Deleted)")
                    imap.expunge()

    @abstractmethod
    def _create(self, imap: imaplib.IMAP4, name: str, use: str) -> None:
        """Make a folder, and say what it is for, unless it is there."""


class ImapServer(MailboxServer):
    """Dovecot."""

    program = ("/usr/sbin/dovecot", "-F", "-c", "/etc/dovecot/imap.conf")

    def _prepare(self) -> None:
        self.tree.folder("var/mail/imap", "vmail")
        self.tree.folder("var/lib/dovecot-imap")

    def _configure(self) -> None:
        super()._configure()
        self.tree.write("etc/dovecot/imap-users", "".join(f"{user}:{{PLAIN}}{PASSWORD}\n" for user in USERS))
        self.tree.write("etc/dovecot/imap.conf", _CONFIG.format(plain=self.plain, tls=self.tls))

    def _create(self, imap: imaplib.IMAP4, name: str, use: str) -> None:  # noqa: ARG002  (its configuration says that)
        imap.create(name)

    @property
    def log(self) -> str:
        files = (self.tree.path / f"var/log/dovecot-imap{end}.log" for end in ("", "-info"))
        return super().log + "".join(file.read_text() for file in files if file.exists())


class Box:
    """A mailbox, as its owner has it."""

    def __init__(self, server: MailboxServer, user: str) -> None:
        self.server, self.user = server, user

    def account(self, **values: Any) -> dict[str, Any]:
        """Return the columns by which an account's mailbox is this one."""
        return {
            "imap_host": "localhost",
            "imap_port": self.server.tls,
            "imap_security": "tls",
            "imap_username": self.user,
            "imap_password": PASSWORD,
        } | values

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.server.tree.path / "var/mail/imap" / self.user.partition("@")[0]

    @contextlib.contextmanager
    def opened(self) -> Iterator[imaplib.IMAP4]:
        """Yield a connection of its owner's."""
        with imaplib.IMAP4("127.0.0.1", self.server.plain) as imap:
            imap.login(self.user, PASSWORD)
            yield imap

    def put(self, *mails: str, folder: str = "INBOX", days_ago: float = 0) -> None:
        """Let mails arrive in a folder."""
        with self.opened() as imap:
            at = imaplib.Time2Internaldate(time.time() - days_ago * 86_400)
            for mail in mails:
                status, said = imap.append(folder, "", at, mail.replace("\r\n", "\n").encode())
                assert status == "OK", said

    def expunge(self, number: int, folder: str = "INBOX") -> None:
        """Let the owner delete a message, by its sequence number."""
        with self.opened() as imap:
            imap.select(folder)
            imap.store(str(number), "+FLAGS", "\\Deleted")
            imap.expunge()

    def state(self) -> dict[str, Any]:
        """Return all that a reader could change: of each folder the messages with their flags, and the counts."""
        found: dict[str, Any] = {}
        with self.opened() as imap:
            for folder in ("INBOX", JUNK, ARCHIVE, SENT):
                what = "(MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ)"
                counts = imap.status(folder, what)[1]
                imap.select(folder, readonly=True)
                flags = imap.uid("FETCH", "1:*", "(FLAGS)")[1]
                found[folder] = counts, flags
        return found

    def begin_anew(self) -> None:
        """Let the server lose what it knows of INBOX: its messages get other UIDs, and it another UIDVALIDITY."""
        time.sleep(1.1)  # Dovecot takes the second of the clock for it
        for name in ("dovecot-uidlist", "dovecot-uidvalidity", "dovecot.index", "dovecot.index.log"):
            for file in self.folder.glob(f"{name}*"):
                file.unlink()
