"""The log of attempts: one row for each SMTP transaction, and whose fault its outcome is. Reads only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from peewee import SQL, fn

from models import Attempt, Control, Delivery, SmtpAccount, database
from models.attempt import ChargedTo as ChargedTo
from models.attempt import Outcome as Outcome

#: How far back the log goes if nobody says.
DAYS = 7
#: Attempts that are looked through at once for those that are asked for.
LOOKED_AT = 20_000


@dataclass(frozen=True)
class AttemptRow:
    """One SMTP transaction.

    Attributes:
        id: the attempt.
        at: when it ended, or, while it is open, when it was claimed (UTC).
        delivery_id: the delivery.
        contact_id: to whom.
        template_id: what was written.
        account_id: from which account.
        account: the account's name.
        local_on: the date, in the window's zone, whose limit it counts for; null if it was refused before the claim
            through the account's fault.
        outcome: what came of it.
        charged_to: whose fault that is.
        verdict: what the server's reply was judged to mean.
        phase: how far the dialogue had come.
        reply_code: the server's reply code (RFC 5321).
        enhanced_code: the server's enhanced status code (RFC 3463).
        text: what the server said.
    """

    id: int
    at: dt.datetime
    delivery_id: int
    contact_id: int
    template_id: int
    account_id: int
    account: str
    local_on: dt.date | None
    outcome: Outcome
    charged_to: ChargedTo | None
    verdict: str | None
    phase: str
    reply_code: int | None
    enhanced_code: str | None
    text: str


def attempts(since: dt.datetime | None = None) -> Iterator[AttemptRow]:
    """Yield the attempts, oldest first; `since`: UTC, None: the last 7 days."""
    start = since or database.now() - dt.timedelta(days=DAYS)
    query = (
        Attempt.select(Attempt, Delivery, SmtpAccount)
        .join(Delivery)
        .switch(Attempt)
        .join(SmtpAccount)
        .where(fn.COALESCE(Attempt.finished_at, Attempt.claimed_at) >= start)
        .order_by(Attempt.id)
    )
    return map(_row, query.iterator())


@dataclass(frozen=True)
class LogPage:
    """A part of the log.

    Attributes:
        rows: the attempts that were asked for, the latest first.
        older: the place in the log from which on it goes on to older ones; null: there are none.
    """

    rows: tuple[AttemptRow, ...]
    older: str | None


def page(
    limit: int,
    before: str | dt.datetime | None = None,
    *,
    account_id: int | None = None,
    outcome: Outcome | None = None,
    charged_to: ChargedTo | None = None,
) -> LogPage:
    """Return the last attempts that are asked for, the latest first; those that are open first of all.

    However seldom they are, no more than the last 20,000 are looked through: then there are few on the page, or none,
    and it says where to go on.

    Args:
        limit: attempts at most, besides those that are open.
        before: only older ones: than a time (UTC), or from a place on that a page has named (`older`).
        account_id: only of this account.
        outcome: only with this outcome.
        charged_to: only those that are charged so.

    Raises:
        ValueError: `before` is no place.
    """
    last = _order(_behind(before))
    seen = last.limit(LOOKED_AT).alias("seen")
    wanted = ((seen.c.account_id, account_id), (seen.c.outcome, outcome), (seen.c.charged_to, charged_to))
    asked = [column == value for column, value in wanted if value is not None]
    found = Control.select(seen.c.id).from_(seen).order_by(seen.c.finished_at.desc(), seen.c.id.desc())
    ids = [i for (i,) in (found.where(*asked) if asked else found).limit(limit + 1).tuples()]
    if len(ids) > limit:
        end = Attempt.get_by_id(ids[limit - 1])
    else:
        end = last.select(Attempt.id, Attempt.finished_at).limit(1).offset(LOOKED_AT - 1).first()
    is_open = before is None and outcome in (None, Outcome.OPEN) and charged_to is None
    rows = _rows(Attempt.outcome == SQL(f"'{Outcome.OPEN}'"), account_id) if is_open else []
    rows += _rows(Attempt.id.in_(ids[:limit]))
    return LogPage(tuple(rows), None if end is None else _place(end))


def _order(which: Any) -> Any:
    columns = (Attempt.id, Attempt.finished_at, Attempt.account, Attempt.outcome, Attempt.charged_to)
    return Attempt.select(*columns).where(which).order_by(Attempt.finished_at.desc(), Attempt.id.desc())


def _behind(place: str | dt.datetime | None) -> Any:
    """Return the condition that an attempt has ended, before a time or behind a place in the log."""
    if place is None:
        return Attempt.finished_at.is_null(False)
    if isinstance(place, dt.datetime):
        return Attempt.finished_at < place
    at, _, attempt_id = place.partition(" ")
    ended = dt.datetime.fromisoformat(at)
    if ended.tzinfo is None or not attempt_id.isdecimal() or len(attempt_id) > 18:
        raise ValueError(place)
    # Said twice, or a planner would not enter the index at the time.
    older = (Attempt.finished_at < ended) | (Attempt.id < int(attempt_id))
    return (Attempt.finished_at <= ended) & older


def _place(attempt: Attempt) -> str:
    return f"{attempt.finished_at.isoformat()} {attempt.id}"


def _rows(which: Any, account_id: int | None = None) -> list[AttemptRow]:
    if account_id is not None:
        which &= Attempt.account == account_id
    found = Attempt.select(Attempt, Delivery, SmtpAccount).join(Delivery).switch(Attempt).join(SmtpAccount).where(which)
    return list(map(_row, found.order_by(Attempt.finished_at.desc(), Attempt.id.desc())))


def _row(attempt: Attempt) -> AttemptRow:
    return AttemptRow(
        id=attempt.id,
        at=attempt.finished_at or attempt.claimed_at,
        delivery_id=attempt.delivery_id,
        contact_id=attempt.delivery.contact_id,
        template_id=attempt.delivery.template_id,
        account_id=attempt.account_id,
        account=attempt.account.name,
        local_on=attempt.local_on,
        outcome=Outcome(attempt.outcome),
        charged_to=None if attempt.charged_to is None else ChargedTo(attempt.charged_to),
        verdict=attempt.verdict,
        phase=attempt.phase,
        reply_code=attempt.reply_code,
        enhanced_code=attempt.enhanced_code,
        text=attempt.text,
    )
