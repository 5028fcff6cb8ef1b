"""What becomes of a delivery after a result: its next state, reason, and when it may go again.

Reads: the delivery's earlier attempts. Writes nothing: `outcome` does, in one transaction.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, assert_never

from models import Attempt, ChargedTo, Delivery, Reason, State
from pipeline.runtime.settings import settings
from pipeline.smtp.reply import Result, Verdict
from pipeline.throttle.breaker import MAX_ACCOUNT_FAILURES, MIN_ACCOUNT_FAILURES_SPAN
from pipeline.throttle.window import SendingWindow

#: Waits after each greylisting. RFC 5321 4.5.4.1 asks for 30 minutes at least between tries; Postgrey lets mail through
#: after 5 minutes (postgrey(8), --delay), cPanel's after up to 4 hours (its page "Greylisting").
GREYLISTED_WAITS = (
    dt.timedelta(minutes=15),
    dt.timedelta(hours=1),
    dt.timedelta(hours=4),
    dt.timedelta(hours=12),
)
#: A full mailbox is tried again on so many of the next working days.
MAILBOX_FULL_DAYS = 2


@dataclass(frozen=True)
class Following:
    """What becomes of a delivery.

    Attributes:
        state: where it goes.
        reason: why it ends there.
        detail: what the server said.
        changes: other columns.
        gives_up: whether it gets a dead letter.
        backoff: seconds in the retry queue of that length.
        why: what its event says where it has no reason, because it goes back.
    """

    state: State
    reason: Reason | None = None
    detail: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    gives_up: bool = False
    backoff: int | None = None
    why: str | None = None


def what_follows(delivery: Delivery, result: Result, now: dt.datetime) -> Following:
    """Return what becomes of a delivery after this result, which is not stored yet."""
    said, used = result.words, {"attempts": delivery.attempts + 1}
    match result.verdict:
        case Verdict.ACCEPTED:
            return Following(State.SENT, Reason.ACCEPTED, changes={"sent_at": now})
        case Verdict.RECIPIENT_FOR_GOOD:
            return Following(State.BOUNCED, Reason.RECIPIENT_REFUSED, said, used)
        case Verdict.SITE_BY_POLICY:
            return Following(State.FAILED, Reason.REFUSED_BY_POLICY, said, used, gives_up=True)
        case Verdict.CONTENT:
            return Following(State.FAILED, Reason.CONTENT_REFUSED, said, used, gives_up=True)
        case Verdict.RECIPIENT_FOR_NOW:
            return _after_backoff(delivery, said, now)
        case Verdict.GREYLISTED | Verdict.MAILBOX_FULL:
            return _after_own_wait(delivery, result, now)
        case Verdict.ACCOUNT_FOR_NOW | Verdict.ACCOUNT_QUOTA | Verdict.LOGIN_REFUSED | Verdict.ACCOUNT_FOR_GOOD:
            return _for_another_account(delivery, result.verdict, said, now)
        case Verdict.UNKNOWN:
            return Following(State.IN_DOUBT, Reason.NO_OUTCOME, said)
        case _ as unreachable:
            assert_never(unreachable)


def _after_backoff(delivery: Delivery, said: str, now: dt.datetime) -> Following:
    attempts = delivery.attempts + 1
    if attempts >= settings().mail_max_attempts:
        return _used_up(said, {"attempts": attempts})
    backoff = settings().backoff_after(attempts)
    changes = {"attempts": attempts, "not_before": now + dt.timedelta(seconds=backoff)}
    return Following(State.READY, changes=changes, backoff=backoff, why=Verdict.RECIPIENT_FOR_NOW)


def _after_own_wait(delivery: Delivery, result: Result, now: dt.datetime) -> Following:
    """Greylisting and full mailboxes pass in their own time, and count apart from other failures."""
    earlier = _earlier(delivery, Attempt.verdict == result.verdict)
    not_before = _NEXT_TRY[result.verdict](len(earlier), now)
    if not_before is None:
        return _used_up(result.words, {})
    return Following(State.READY, changes={"not_before": not_before}, why=result.verdict)


def _after_greylisting(times: int, now: dt.datetime) -> dt.datetime | None:
    return now + GREYLISTED_WAITS[times] if times < len(GREYLISTED_WAITS) else None


def _next_working_day(times: int, now: dt.datetime) -> dt.datetime | None:
    window = SendingWindow.from_settings(settings())
    return window.next_days_opening(now) if times < MAILBOX_FULL_DAYS else None


_NEXT_TRY: dict[Verdict, Callable[[int, dt.datetime], dt.datetime | None]] = {
    Verdict.GREYLISTED: _after_greylisting,
    Verdict.MAILBOX_FULL: _next_working_day,
}


def _used_up(said: str, changes: dict[str, Any]) -> Following:
    return Following(State.FAILED, Reason.ATTEMPTS_USED_UP, said, changes, gives_up=True)


def _for_another_account(delivery: Delivery, verdict: Verdict, said: str, now: dt.datetime) -> Following:
    times = _earlier(delivery, Attempt.charged_to == ChargedTo.ACCOUNT)
    if len(times) + 1 >= MAX_ACCOUNT_FAILURES and now - times[0] >= MIN_ACCOUNT_FAILURES_SPAN:
        return Following(State.FAILED, Reason.NO_ACCOUNT_ACCEPTS, said, gives_up=True)
    return Following(State.READY, why=verdict)


def _earlier(delivery: Delivery, which: Any) -> list[dt.datetime]:
    """Return when earlier attempts of this kind ended, since a person last began anew; the oldest first."""
    since = (Attempt.delivery == delivery.id) & (Attempt.finished_at >= delivery.attempts_since)
    return sorted(row.finished_at for row in Attempt.select(Attempt.finished_at).where(since & which))
