"""What came of attempts, in the few words that a picture has room for, and how often on each day. Reads only.

An attempt belongs to the local date whose limit it uses up, or else to that on which it failed: it is counted there
once, whatever became of its delivery later. What came back by mail counts on the date on which that was read.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from peewee import SQL, fn

from models import Attempt, ChargedTo, LateBounce, Outcome
from models.attempt import USES_NOTHING, USES_UP
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


def attempts_on(window: SendingWindow, first: dt.date, last: dt.date, account_ids: Collection[int] | None) -> list[Any]:
    """Return two conditions of the attempts of some local dates and of these accounts (None: of all), each of which is
    read through an index: of those that use up a limit, which belong to the date of their claim or refusal, and of
    those that don't, which belong to the date on which they failed.
    """
    start, end = midnight(window.zone, first), midnight(window.zone, last + dt.timedelta(days=1))
    used = SQL(USES_UP) & Attempt.local_on.between(first, last)
    nothing = SQL(USES_NOTHING) & (Attempt.finished_at >= start) & (Attempt.finished_at < end)
    if account_ids is None:
        return [used, nothing]
    return [which & Attempt.account.in_(list(account_ids)) for which in (used, nothing)]


def came_back_on(window: SendingWindow, first: dt.date, last: dt.date, account_ids: Collection[int] | None) -> Any:
    """Return the condition of the mails that came back on some local dates, and had been sent from these accounts."""
    start, end = midnight(window.zone, first), midnight(window.zone, last + dt.timedelta(days=1))
    read = LateBounce.reason.is_null(False) & (LateBounce.at >= start) & (LateBounce.at < end)
    return read & (
        LateBounce.account.is_null(False) if account_ids is None else LateBounce.account.in_(list(account_ids))
    )


def by_day(
    window: SendingWindow, first: dt.date, last: dt.date, account_ids: Collection[int] | None = None
) -> list[DayFigures]:
    """Return the figures of each local date from `first` to `last` and each account (all, or these) of which there are
    any, by date and account.
    """
    counted: dict[tuple[dt.date, int], Counter[Happened]] = defaultdict(Counter)
    used, nothing = attempts_on(window, first, last, account_ids)
    said = (Attempt.outcome, Attempt.verdict, Attempt.charged_to)
    groups = (Attempt.local_on, Attempt.account, *said)
    for date, account_id, *about, count in (
        Attempt.select(*groups, fn.COUNT(SQL("*"))).where(used).group_by(*groups).tuples()
    ):
        counted[date, account_id][what_came_of(*about)] += count
    for at, account_id, *about in Attempt.select(Attempt.finished_at, Attempt.account, *said).where(nothing).tuples():
        counted[window.local_date(at), account_id][what_came_of(*about)] += 1
    late = LateBounce.select(LateBounce.at, LateBounce.account).where(came_back_on(window, first, last, account_ids))
    for at, account_id in late.tuples():
        counted[window.local_date(at), account_id][Happened.CAME_BACK] += 1
    found = ((date, account_id, Figures.of(counts)) for (date, account_id), counts in sorted(counted.items()))
    return [DayFigures(**vars(figures), date=date, account_id=account_id) for date, account_id, figures in found]
