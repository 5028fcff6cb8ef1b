"""Mails from a file, recorded one after the other.

Trouble: what stops it has lost nothing: run again, it goes on with what it has not recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from models import lookup
from pipeline.flow import Handoff, joined
from pipeline.inbound.classify import Place
from pipeline.inbound.record import record, today
from pipeline.inbound.sources import Mail
from pipeline.operations.done import Done


@dataclass(frozen=True)
class InboundImported(Done):
    """Mails that have been read.

    Attributes:
        read: how many.
        kinds: of those that were not seen before: how many there were of each kind.
        effects: how many had each effect; what is none of ours has none.
        seen: those that had been recorded before.
        early: those about a mail that is being sent at this moment: nothing is stored of them; import them again.
        ended_doubt: deliveries in doubt that are `sent` by what was read.
    """

    read: int
    kinds: Mapping[str, int]
    effects: Mapping[str, int]
    seen: int
    early: int
    ended_doubt: int


def import_mails(
    mails: Iterable[Mail],
    *,
    place: Place = Place.RECEIVED,
    mailbox: int | None = None,
    on_progress: Callable[[int], None] = lambda _read: None,
) -> InboundImported:
    """Record mails, each in a transaction of its own.

    Args:
        mails: as they are read.
        place: in which folder they lay.
        mailbox: the account whose mailbox that is. Raises NotThereError if there is none such.
        on_progress: is told how many have been read.
    """
    if mailbox is not None:
        lookup.account(mailbox)
    read_on, read, counts = today(), 0, Counter[str]()
    kinds, effects = Counter[str](), Counter[str]()
    handoffs: list[Handoff] = []
    for mail in mails:
        done = record(mail, read_on, place=place, mailbox=mailbox)
        read += 1
        counts.update(name for name in ("was_seen", "is_early", "ended_doubt") if getattr(done, name))
        if not done.was_seen:
            kinds[done.kind] += 1
        if done.effect is not None:
            effects[done.effect] += 1
        handoffs += done.handoffs
        on_progress(read)
    about = {"seen": counts["was_seen"], "early": counts["is_early"], "ended_doubt": counts["ended_doubt"]}
    return InboundImported(read, dict(kinds), dict(effects), **about, handoffs=tuple(joined(handoffs)))
