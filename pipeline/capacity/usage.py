"""What an account has used of its limit, and when it last sent. Counted from the attempts: nothing can drift."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from itertools import groupby
from typing import Any, cast

from peewee import SQL, fn

from models import Attempt, ChargedTo, Delivery
from models.attempt import USES_UP
from pipeline.runtime.settings import settings
from pipeline.throttle.limits import limit_on
from pipeline.throttle.window import SendingWindow

#: Converts a query's plain value to a time.
to_time = Attempt.claimed_at.python_value


def limit_of(account: Any, day: dt.date) -> int:
    """Return the limit on a local date of an SmtpAccount (or a row with its columns): its own or the default, with
    warm-up and quota.
    """
    limit = settings().mail_daily_limit if account.daily_limit is None else account.daily_limit
    warmup = None
    if account.warmup_start is not None and account.warmup_on is not None:
        warmup = (account.warmup_start, account.warmup_step or 0, account.warmup_on)
    quota = None if account.quota_limit is None else (account.quota_limit, account.quota_on)
    return limit_on(day, limit, warmup=warmup, quota=quota)


def date_of(at: dt.datetime) -> dt.date:
    """Return the date of `at` (UTC) in the window's zone: the one that limits and warm-ups count by."""
    return SendingWindow.from_settings(settings()).local_date(at)


def used_on(account_id: int, day: dt.date) -> int:
    """Count an account's attempts on a local date that use up its limit."""
    return cast(int, used_on_day(day).where(Attempt.account == account_id).count())


def last_transaction_of(account_id: int) -> dt.datetime | None:
    """Return when an account's last mail transaction was claimed or refused (UTC), whatever came of it."""
    return to_time(last_transaction(account_id).scalar())


def used_on_day(day: Any) -> Any:
    """Return the query of all attempts that use up the limits of a local date."""
    return Attempt.select().where((Attempt.local_on == day) & SQL(USES_UP))


def last_transaction(account_id: Any) -> Any:
    """Return the query of the time of an account's last mail transaction."""
    of_account = (Attempt.account == account_id) & Attempt.transaction_at.is_null(False)
    return Attempt.select(fn.MAX(Attempt.transaction_at)).where(of_account)


def failed_by(delivery_ids: Sequence[int]) -> dict[int, frozenset[int]]:
    """Return the accounts that have failed each of these deliveries, since its attempts were last set to 0."""
    if not delivery_ids:
        return {}
    failed = (
        Attempt.select(Attempt.delivery, Attempt.account)
        .join(Delivery)
        .where(
            Attempt.delivery.in_(list(delivery_ids))
            & (Attempt.charged_to == ChargedTo.ACCOUNT)
            & (Attempt.finished_at >= Delivery.attempts_since)
        )
        .order_by(Attempt.delivery)
        .tuples()
    )
    return {i: frozenset(account for _, account in rows) for i, rows in groupby(failed, key=lambda row: row[0])}
