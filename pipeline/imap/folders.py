"""Which folders are read, and how each stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imapclient import imapclient

from models import Role
from pipeline.imap.client import Client

#: What folders are for, as their servers say it (RFC 6154 2), in the order in which they are read.
_USES = {
    imapclient.JUNK: Role.JUNK,
    imapclient.ALL: Role.ARCHIVE,
    imapclient.ARCHIVE: Role.ARCHIVE,
    imapclient.SENT: Role.SENT,
}
#: Names of such folders are looked for where no server says it; a folder of all mails has none that is usual.
_HAVE_NAMES = (imapclient.JUNK, imapclient.ARCHIVE, imapclient.SENT)
#: It can't be opened (RFC 3501 7.2.2, RFC 5258 3).
_CLOSED = {rb"\noselect", rb"\nonexistent"}


@dataclass(frozen=True)
class Folder:
    """A folder, and what it is for."""

    name: str
    role: Role


@dataclass(frozen=True)
class State:
    """How a folder stands.

    Attributes:
        uid_validity: its UIDs mean the same as long as this is the same (RFC 3501 2.3.1.1).
        uid_next: the next message that comes has at least this UID; 0: it does not say.
        mod_seq: grows with each change (RFC 7162 3.1.2.1); 0: it does not say.
    """

    uid_validity: int
    uid_next: int
    mod_seq: int

    @classmethod
    def of(cls, answer: Mapping[bytes, Any]) -> State:
        """Return what an answer to EXAMINE says. Raises KeyError where it has no UIDVALIDITY, without which no UID can
        be kept.
        """
        uid_next, mod_seq = answer.get(b"UIDNEXT", 0), answer.get(b"HIGHESTMODSEQ", 0)
        return cls(int(answer[b"UIDVALIDITY"]), int(uid_next), int(mod_seq))


def folders_of(client: Client) -> list[Folder]:
    """Return INBOX, and what is there of Junk, all mails or the archive, and Sent: by special use, or by a usual name
    where the server tells no uses.
    """
    found = {"INBOX": Role.INBOX}
    listed = [(frozenset(map(bytes.lower, uses)), name) for uses, _, name in client.list_with_uses()]
    for use, role in _USES.items():
        for uses, name in listed:
            if use.lower() in uses and not uses & _CLOSED:
                found.setdefault(name, role)
    if len(found) == 1:
        for use in _HAVE_NAMES:
            client.bounded.begin()
            if (name := client.find_special_folder(use)) is not None:
                found.setdefault(name, _USES[use])
    order = list(Role)
    return sorted((Folder(name, role) for name, role in found.items()), key=lambda one: order.index(one.role))
