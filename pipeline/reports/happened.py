"""What came of attempts, in the few words that a picture has room for, and how often on each day. Reads only.

An attempt belongs to the day on which it was claimed or, without a claim, ended: it is counted there once, whatever
became of its delivery later. What came back by mail counts on the day on which that was read.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import reduce
from itertools import pairwise
from typing import Any

from peewee import SQL, Select, Value, fn

from models import Attempt, ChargedTo, LateBounce, Outcome
from pipeline.smtp.verdict import Verdict
from pipeline.throttle.wall_clock import midnight
from pipeline.throttle.window import SendingWindow


class Happened(StrEnum):
    """What came of an attempt, or is going to."""

    SENT = "sent"
    #: The recipient's server refused the address for good.
    BOUNCED = "bounced"
    #: Accepted, and refused later, by a mail that came back.
    CAME_BACK = "came_back"
    #: Refused by the policy of the recipient's site, or for the content.
    REFUSED = "refused"
    #: Refused for now: it is tried again later.
    PUT_OFF = "put_off"
    #: The account's fault: no connection, no login, a limit.
    TROUBLE = "trouble"
    IN_DOUBT = "in_doubt"
    BEING_SENT = "being_sent"
    PLANNED = "planned"


#: What a person might want to look into.
NOT_WELL = (
    Happened.BOUNCED,
    Happened.CAME_BACK,
    Happened.REFUSED,
    Happened.PUT_OFF,
    Happened.TROUBLE,
    Happened.IN_DOUBT,
)
_OF_OUTCOME = {
    Outcome.ACCEPTED: Happened.SENT,
    Outcome.OPEN: Happened.BEING_SENT,
    Outcome.IN_DOUBT: Happened.IN_DOUBT,
}
_OF_CHARGED = {
    ChargedTo.ACCOUNT: Happened.TROUBLE,
    ChargedTo.SITE: Happened.REFUSED,
    ChargedTo.CONTENT: Happened.REFUSED,
}


@dataclass(frozen=True)
class Figures:
    """How often what happened.

    Attributes:
        sent: mails that a server has accepted.
        bounced: mails whose recipient was refused for good.
        came_back: mails that were accepted before, and came back.
        refused: mails refused by the policy of the recipient's site, or for their content.
        put_off: attempts that were refused for now.
        trouble: attempts that failed by the account's fault.
        in_doubt: mails of which nobody can know.
    """

    sent: int
    bounced: int
    came_back: int
    refused: int
    put_off: int
    trouble: int
    in_doubt: int

    @classmethod
    def of(cls, counted: Mapping[Happened, int]) -> Figures:
        """Return what was counted."""
        return cls(**{str(what): counted.get(what, 0) for what in (Happened.SENT, *NOT_WELL)})

    @classmethod
    def summed(cls, some: Iterable[Figures]) -> Figures:
        """Return the sums of several."""
        rows = list(some)
        return cls(*(sum(getattr(row, field.name) for row in rows) for field in fields(cls)))


@dataclass(frozen=True)
class DayFigures(Figures):
    """The same of a local date and an account.

    Attributes:
        date: the date, in the window's zone.
        account_id: the account.
    """

    date: dt.date
    account_id: int


def what_came_of(outcome: str, verdict: str | None, charged_to: str | None) -> Happened:
    """Return what came of an attempt."""
    if (known := _OF_OUTCOME.get(Outcome(outcome))) is not None:
        return known
    if verdict == Verdict.RECIPIENT_FOR_GOOD:
        return Happened.BOUNCED
    return _OF_CHARGED.get(ChargedTo(charged_to), Happened.PUT_OFF) if charged_to else Happened.PUT_OFF


def attempts_between(start: dt.datetime, end: dt.datetime, *columns: Any) -> Sequence[Select]:
    """Return two queries of the attempts between two times (UTC): those that have ended, and those that have not. Each
    reads through an index on `finished_at`.
    """
    ended = (Attempt.finished_at >= start) & (Attempt.finished_at < end)
    claimed = Attempt.finished_at.is_null() & (Attempt.claimed_at >= start) & (Attempt.claimed_at < end)
    return [Attempt.select(*columns).where(which) for which in (ended, claimed)]


def by_day(
    window: SendingWindow, first: dt.date, last: dt.date, account_ids: Collection[int] | None = None
) -> list[DayFigures]:
    """Return the figures of each local date from `first` to `last` and each account (all, or these) of which there are
    any, by date and account.
    """
    dates = [first + dt.timedelta(days=i) for i in range((last - first).days + 1)]
    counted: dict[tuple[dt.date, int], Counter[Happened]] = defaultdict(Counter)
    for number, account_id, what, count in _counted(window, dates, account_ids):
        counted[dates[number], account_id][what] += count
    return [
        DayFigures(**vars(Figures.of(found)), date=date, account_id=account_id)
        for (date, account_id), found in sorted(counted.items())
        if found.total()
    ]


def _counted(
    window: SendingWindow, dates: Sequence[dt.date], account_ids: Collection[int] | None
) -> Iterator[tuple[int, int, Happened, int]]:
    """Yield the number of a date, an account, what happened, and how often."""
    midnights = [midnight(window.zone, date) for date in (*dates, dates[-1] + dt.timedelta(days=1))]
    said = (Attempt.account, Attempt.outcome, Attempt.verdict, Attempt.charged_to)
    queries, late = [], []
    for number, (start, end) in enumerate(pairwise(midnights)):
        on = Value(number).alias("on")
        for query in attempts_between(start, end, on, *said, fn.COUNT(SQL("*"))):
            queries.append(
                (query if account_ids is None else query.where(Attempt.account.in_(account_ids))).group_by(*said)
            )
        read = LateBounce.reason.is_null(False) & (LateBounce.at >= start) & (LateBounce.at < end)
        which = read & (
            LateBounce.account.is_null(False) if account_ids is None else LateBounce.account.in_(account_ids)
        )
        late.append(
            LateBounce.select(on, LateBounce.account, fn.COUNT(SQL("*"))).where(which).group_by(LateBounce.account)
        )
    for number, account_id, *about, count in _all_of(queries):
        yield number, account_id, what_came_of(*about), count
    for number, account_id, count in _all_of(late):
        yield number, account_id, Happened.CAME_BACK, count


def _all_of(queries: Sequence[Select]) -> Iterator[Any]:
    """Return the rows of several queries, in one statement."""
    return iter(reduce(lambda some, more: some.union_all(more), queries).tuples())
