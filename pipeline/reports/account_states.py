"""How an account stands, and why: whether it sends, until when it rests and after what, its limit, its bounces. Reads
only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from models import SmtpAccount
from pipeline.accounts import bounces
from pipeline.accounts.bounces import Bounces
from pipeline.capacity import usage
from pipeline.reports.reasons import local
from pipeline.throttle.limits import is_resting


class AccountState(StrEnum):
    """Whether an account sends."""

    ON = "on"
    OFF = "off"
    PAUSED = "paused"
    COOLING_DOWN = "cooling down"


@dataclass(frozen=True)
class BounceStatus:
    """How many of the last ended deliveries were refused for good, or by the policy of the recipient's site, since a
    person last resumed the account, template or campaign that they were sent with.

    Attributes:
        bounced: how many of them.
        ended: of how many that ended (sent, bounced or failed): the last 100 at most.
        rate: bounced / ended, 0 to 1; null before the first.
        warns: whether the rate is above 2 %. Above MAIL_BOUNCE_LIMIT, with at least 4 bounces, it is paused.
    """

    bounced: int
    ended: int
    rate: float | None
    warns: bool

    @classmethod
    def of(cls, found: Bounces) -> BounceStatus:
        """Return the figures as they are reported."""
        return cls(found.bounced, found.ended, found.rate, found.warns)

    def in_words(self) -> str | None:
        """Return them as people read them; None where nothing has ended."""
        return f"{self.bounced} of {self.ended}{', warning' if self.warns else ''}" if self.ended else None


@dataclass(frozen=True)
class Limited:
    """What a provider has lowered an account's limit to.

    Attributes:
        limit: mails that it may send today.
        own: what it could send without that.
        until: the first date, in the window's zone, on which it can again.
        after: what the server said.
    """

    limit: int
    own: int
    until: dt.date
    after: str


def state_of(account: SmtpAccount, now: dt.datetime) -> AccountState:
    """Tell whether an account sends at `now` (UTC)."""
    if not account.enabled:
        return AccountState.OFF
    if account.paused_at is not None:
        return AccountState.PAUSED
    return AccountState.COOLING_DOWN if is_resting(account.cooling_until, now) else AccountState.ON


def limited(account: SmtpAccount, today: dt.date) -> Limited | None:
    """Return how far the provider limits an account on a local date; None: it doesn't."""
    until = usage.limited_until(account, today)
    if until is None:
        return None
    limit, own = usage.limit_of(account, today), usage.own_limit_of(account, today)
    return Limited(limit, own, until, account.quota_after or "")


def why_limit(account: SmtpAccount, day: dt.date) -> str:
    """Return in words why an account may send as many mails as it may on a local date."""
    limit, own, full = usage.limit_of(account, day), usage.own_limit_of(account, day), usage.full_limit_of(account)
    if limit < own:
        return f"its provider has refused more than {account.quota_limit} in 24 hours; otherwise {own}"
    if own < full:
        return f"warm-up: {account.warmup_start} and {account.warmup_step} more a day since {account.warmup_on}"
    return "MAIL_DAILY_LIMIT" if account.daily_limit is None else "its own limit"


def bounces_of(account: SmtpAccount) -> BounceStatus:
    """Return an account's bounces."""
    return BounceStatus.of(bounces.of_account(account))


def note(account: SmtpAccount, now: dt.datetime, zone: dt.tzinfo) -> str | None:
    """Return why an account does not send, or not as much as it could; None where there is nothing to say."""
    return "; ".join(_notes(account, now, zone)) or None


def _notes(account: SmtpAccount, now: dt.datetime, zone: dt.tzinfo) -> Iterator[str]:
    if account.disabled_reason:
        yield account.disabled_reason
    if account.paused_at is not None and account.paused_after:
        yield f"paused: {account.paused_after}"
    if is_resting(account.cooling_until, now):
        after = f", after: {account.rests_after}" if account.rests_after else ""
        yield f"resting until {local(account.cooling_until, zone)}{after}"
    if (less := limited(account, usage.date_of(now))) is not None:
        after = f", after: {less.after}" if less.after and less.after != account.rests_after else ""
        yield f"limited to {less.limit} of {less.own} until {less.until}{after}"
