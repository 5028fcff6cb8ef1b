"""Which mailbox an account sends from: one that is there twice would have its limit twice. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models import SmtpAccount
from models.address import normalise

#: Server and user; without a login: server, port and From address.
Mailbox = tuple[str, ...]

_COLUMNS = (SmtpAccount.id, SmtpAccount.name, SmtpAccount.host, SmtpAccount.port, SmtpAccount.username)


def mailbox_of(account: Mapping[str, Any]) -> Mailbox:
    """Return the mailbox of an account's columns. A server's name and a user are the same in capitals; a user that is
    an address is compared as addresses are.
    """
    host = account["host"].lower().rstrip(".")
    if account["username"]:
        return host, _comparable(account["username"])
    return host, str(account["port"]), _comparable(account["from_address"])


def _comparable(user: str) -> str:
    return normalise(user) if "@" in user else user.lower()


class Mailboxes:
    """The mailboxes of all accounts. Ask with the lock of the accounts held (`database.lock_accounts`)."""

    def __init__(self) -> None:
        """Read them."""
        self._taken: dict[Mailbox, str] = {}
        self._removed: dict[Mailbox, int] = {}
        rows = SmtpAccount.select(*_COLUMNS, SmtpAccount.from_address, SmtpAccount.removed_at)
        for row in rows.order_by(SmtpAccount.removed_at, SmtpAccount.id).dicts():
            if row["removed_at"] is None:
                self._taken[mailbox_of(row)] = f"account {row['id']} ({row['name']!r})"
            else:
                self._removed[mailbox_of(row)] = row["id"]

    def taken_by(self, account: Mapping[str, Any], was: Mapping[str, Any] | None = None) -> str | None:
        """Return in words why an account can't have the mailbox of its columns: another has it. None: it can.

        Args:
            account: its columns as they are going to be.
            was: as they are; None for a new account. A mailbox that it has already it keeps.
        """
        mailbox = mailbox_of(account)
        if (was is not None and mailbox_of(was) == mailbox) or mailbox not in self._taken:
            return None
        return f"its mailbox is there already: {self._taken[mailbox]}"

    def removed(self, account: Mapping[str, Any]) -> int | None:
        """Return the account that has been removed, the last of them, and had the mailbox of these columns."""
        return self._removed.get(mailbox_of(account))

    def note(self, account: Mapping[str, Any]) -> None:
        """Remember an account of a file that is going to be written."""
        self._taken.setdefault(mailbox_of(account), "that of an earlier line")
