"""Threads: how a mail says which mails it follows, in its headers and by its subject. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

#: Characters of `References` with its name beyond which ids are left out, but for the first and the last two (RFC 5537
#: 3.4.4).
MAX_REFERENCES, _LAST_IDS = 998, 2

_RE = "Re: "
#: How a subject begins that says that it is a reply's (RFC 5256 2.1: subj-refwd).
_IS_REPLY = re.compile(r"re\s*(?:\[[^][]*\]\s*)?:", re.IGNORECASE)


@dataclass(frozen=True)
class MailIds:
    """What a mail is called: by us, and by the provider that gave it another Message-ID, where that is known."""

    message_id: str
    wire_message_id: str | None = None


@dataclass(frozen=True)
class Thread:
    """The mails that a mail follows, the oldest first; none, if it begins a conversation."""

    mails: tuple[MailIds, ...] = ()

    @property
    def in_reply_to(self) -> tuple[str, ...]:
        """The last mail as the recipient has it. One id alone: several say that several mails are answered (RFC 5322
        3.6.4).
        """
        return tuple(mail.wire_message_id or mail.message_id for mail in self.mails[-1:])

    @property
    def references(self) -> tuple[str, ...]:
        """All that the mails are called; of very many the first and the last ones.

        Both ids of each: a copy in the sender's own mailbox has ours. The wire's is the second, so that the last of all
        is the parent (RFC 5322 3.6.4).
        """
        first, *others = dict.fromkeys(self._ids())
        room = MAX_REFERENCES - len(f"References: {first}")
        kept: list[str] = []
        for one in reversed(others):
            room -= 1 + len(one)
            if room < 0 and len(kept) >= _LAST_IDS:
                break
            kept.append(one)
        return first, *reversed(kept)

    def _ids(self) -> Iterator[str]:
        for mail in self.mails:
            yield mail.message_id
            if mail.wire_message_id is not None:
                yield mail.wire_message_id


NO_THREAD = Thread()


def subject_after(subjects: Sequence[str], *, reply_prefix: bool) -> str:
    """Return the subject of a mail that has none of its own.

    Args:
        subjects: of the mails before, the oldest first, as they were rendered. The last one that had a subject of its
            own gives it to those after it.
        reply_prefix: put "Re: " before it, unless it is there.
    """
    last = subjects[-1].removeprefix(_RE)
    *_, first = takewhile(lambda subject: subject.removeprefix(_RE) == last, reversed(subjects))
    return _RE + first if reply_prefix and not _IS_REPLY.match(first) else first
