"""When accounts did not send, and why: resting, off or paused, on a day that is over as well as now. Reads only.

It is told by the actions that are kept (who did what to an account, and when) and, where there are none, by how the
account stands now.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from models import Action, SmtpAccount
from models.control import control
from pipeline.capacity.pausing import Target

#: Actions are looked at from so long before on: no rest is longer.
LOOKS_BACK = dt.timedelta(days=31)
_ALWAYS = dt.datetime.min.replace(tzinfo=dt.UTC)
_UNTIL = re.compile(r"until (\S+), after: (.*)", flags=re.DOTALL)


class Why(StrEnum):
    """Why an account does not send."""

    RESTS = "rests"
    OFF = "off"
    PAUSED = "paused"


@dataclass(frozen=True)
class Span:
    """A time in which an account does not send.

    Attributes:
        why: whether it rests, is off or paused.
        start: from when on (UTC).
        end: until when (UTC), inside the time that was asked about.
        reason: the failure after which it rests, or what was said when it was switched off or paused; "" for nothing.
    """

    why: Why
    start: dt.datetime
    end: dt.datetime
    reason: str


@dataclass(frozen=True)
class _Change:
    at: dt.datetime
    verb: str
    reason: str


#: What begins and what ends each, by the verbs of the actions.
_BEGINS = {Why.RESTS: ("rest", "limit"), Why.OFF: ("disable", "switch off", "remove"), Why.PAUSED: ("pause",)}
_ENDS = {Why.RESTS: ("reset", "enable"), Why.OFF: ("enable", "add"), Why.PAUSED: ("resume",)}


def of_accounts(
    accounts: Sequence[SmtpAccount], start: dt.datetime, end: dt.datetime, now: dt.datetime
) -> Mapping[int, tuple[Span, ...]]:
    """Return for each account, by id, when it did not send, or is not going to, between two times (UTC), in order."""
    changes = _changes(start, Action.subject.startswith("account "))
    found = {}
    for account in accounts:
        its = changes[str(Target(account_id=account.id))]
        some = [*_rests(account, its, now)]
        some += _times(Why.OFF, its, not account.enabled, account.disabled_reason)
        some += _times(Why.PAUSED, its, account.paused_at is not None, account.paused_after)
        found[account.id] = _inside(some, start, end)
    return found


def of_everything(start: dt.datetime, end: dt.datetime) -> tuple[Span, ...]:
    """Return when everything was paused between two times (UTC), in order."""
    everything = str(Target())
    its = _changes(start, Action.subject == everything)[everything]
    return _inside(list(_times(Why.PAUSED, its, control().paused_at is not None, None)), start, end)


def _changes(start: dt.datetime, about: Any) -> dict[str, list[_Change]]:
    """Return what was done, by what it was done to, in order."""
    changes: dict[str, list[_Change]] = defaultdict(list)
    query = Action.select(Action.at, Action.verb, Action.subject, Action.reason)
    for action in query.where((Action.at >= start - LOOKS_BACK) & about).order_by(Action.at, Action.id):
        changes[action.subject].append(_Change(action.at, action.verb, action.reason))
    return changes


def _rests(account: SmtpAccount, changes: Sequence[_Change], now: dt.datetime) -> Iterator[Span]:
    known = _ALWAYS
    for number, change in enumerate(changes):
        said = _UNTIL.fullmatch(change.reason) if change.verb in _BEGINS[Why.RESTS] else None
        if said is not None:
            known = dt.datetime.fromisoformat(said[1])
            ends = (
                later.at for later in changes[number + 1 :] if later.verb in (*_BEGINS[Why.RESTS], *_ENDS[Why.RESTS])
            )
            yield Span(Why.RESTS, change.at, min(known, next(ends, known)), said[2])
    if account.cooling_until is not None and account.cooling_until > max(now, known + dt.timedelta(seconds=1)):
        yield Span(Why.RESTS, now, account.cooling_until, account.rests_after or "")


def _times(why: Why, changes: Sequence[_Change], is_now: bool, reason_now: str | None) -> Iterator[Span]:
    its = [change for change in changes if change.verb in (*_BEGINS[why], *_ENDS[why])]
    # What is ended first had begun before anything that is looked at.
    since = _ALWAYS if (its[0].verb in _ENDS[why] if its else is_now) else None
    reason = ""
    for change in its:
        if change.verb in _BEGINS[why] and since is None:
            since, reason = change.at, change.reason
        elif change.verb in _ENDS[why] and since is not None:
            yield Span(why, since, change.at, reason)
            since, reason = None, ""
    if since is not None:
        yield Span(why, since, dt.datetime.max.replace(tzinfo=dt.UTC), reason_now or reason)


def _inside(spans: Sequence[Span], start: dt.datetime, end: dt.datetime) -> tuple[Span, ...]:
    cut = (Span(span.why, max(span.start, start), min(span.end, end), span.reason) for span in spans)
    return tuple(sorted((span for span in cut if span.start < span.end), key=lambda span: span.start))
