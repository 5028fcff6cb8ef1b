"""The mailbox of an account, judged: can it be read, and is what comes back to be found there. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from models import Role
from pipeline.imap.folders import Folder
from pipeline.reports.doctor.findings import Check, Finding, Level, fine


@dataclass(frozen=True)
class Mailbox:
    """What was found out about a mailbox.

    Attributes:
        host: its server; None: the account has none.
        folders: which folders are read; None: it was not tried.
        problem: why it can't be read.
    """

    host: str | None
    folders: tuple[Folder, ...] | None = None
    problem: str | None = None


def judge(mailbox: Mailbox) -> Iterator[Finding]:
    """Yield what there is to say about a mailbox."""
    if mailbox.host is None:
        yield Finding(
            Check.MAILBOX,
            Level.WARNING,
            "it has no mailbox that is read: bounces unseen",
            "most bounces come hours later as mail; limits and stops are blind without them, and replies end nothing",
            "`slowpost accounts set ID --imap-host HOST`, or `slowpost inbound import` by hand",
        )
    elif mailbox.problem is not None:
        yield Finding(
            Check.MAILBOX,
            Level.ERROR,
            f"its mailbox can't be read: {mailbox.problem}",
            "bounces and replies are unseen meanwhile",
            "check --imap-host, --imap-port, --imap-security and the login of the mailbox",
        )
    elif mailbox.folders is not None:
        yield fine(Check.MAILBOX, f"{mailbox.host} lets it in: {', '.join(folder.name for folder in mailbox.folders)}")
        yield from _missing({folder.role for folder in mailbox.folders})


def _missing(roles: set[Role]) -> Iterator[Finding]:
    for role, what in ((Role.JUNK, "bounces and replies that land there"), (Role.SENT, "mails in doubt")):
        if role not in roles:
            yield Finding(
                Check.MAILBOX,
                Level.ADVICE,
                f"its server names no folder for {role}",
                f"{what} are not found",
                f"let the server say which folder that is (special use \\{role.capitalize()}, RFC 6154)",
            )
