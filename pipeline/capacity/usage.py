"""What an account has used of its limit, and when it last sent. Counted from the attempts, and from its mails to
itself, which a provider counts like all others: nothing can drift.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from itertools import groupby, islice
from typing import Any, cast

from peewee import OP, SQL, Expression, Select, fn

from models import Attempt, ChargedTo, Delivery, SelfMail, SmtpAccount
from models.attempt import USES_UP
from models.compiled import Parameter, Question, among, compiled
from models.database import db, is_postgres
from pipeline.flow import chunks
from pipeline.runtime.settings import settings
from pipeline.throttle.breaker import backoff_of_delivery
from pipeline.throttle.limits import limit_on
from pipeline.throttle.window import SendingWindow

#: Days ahead in which a lowered limit is looked for to be back; one that takes longer is said to be back then.
LOOKS_AHEAD = 366

#: Deliveries named in one statement.
BATCH = 1000
#: Converts a query's plain value to a time.
to_time = Attempt.claimed_at.python_value


def limit_of(account: Any, day: dt.date) -> int:
    """Return the limit on a local date of an SmtpAccount (or a row with its columns): its own or the default, with
    warm-up and quota.
    """
    limit = own_limit_of(account, day)
    if account.quota_limit is None or account.quota_on is None:
        return limit
    # Each later day of sending gives some of it back; it takes at most as many as the limit has mails.
    days = SendingWindow.from_settings(settings()).open_dates(account.quota_on, day)
    return limit_on(day, limit, quota=(account.quota_limit, sum(1 for _ in islice(days, limit))))


def own_limit_of(account: Any, day: dt.date) -> int:
    """Return an account's limit on a local date without what its provider has allowed: its own, with warm-up."""
    limit = full_limit_of(account)
    warmup = None
    if account.warmup_start is not None and account.warmup_on is not None:
        warmup = (account.warmup_start, account.warmup_step or 0, account.warmup_on)
    return limit_on(day, limit, warmup=warmup)


def full_limit_of(account: Any) -> int:
    """Return what an account may send a day when no warm-up and no provider lowers it: its own limit or the default."""
    return int(settings().mail_daily_limit if account.daily_limit is None else account.daily_limit)


def limited_until(account: Any, day: dt.date) -> dt.date | None:
    """Return the local date from which on an account may send up to its own limit again; None: it may on `day`."""
    if limit_of(account, day) >= own_limit_of(account, day):
        return None
    later = [day + dt.timedelta(days=i) for i in range(1, LOOKS_AHEAD + 1)]
    return next((d for d in later if limit_of(account, d) >= own_limit_of(account, d)), later[-1])


def date_of(at: dt.datetime) -> dt.date:
    """Return the date of `at` (UTC) in the window's zone: the one that limits and warm-ups count by."""
    return SendingWindow.from_settings(settings()).local_date(at)


def used_on(account_id: int, day: dt.date) -> int:
    """Count an account's attempts, and its mails to itself, on a local date that use up its limit."""
    return int(_used_on().first(account=account_id, day=day)[0])


def questions(account_id: int, day: dt.date) -> list[Question]:
    """Return what `used_on` and `last_transaction_of` ask."""
    return [_used_on().asks(account=account_id, day=day), _last_transaction().asks(account=account_id)]


def question_of_campaign(campaign_id: int, day: dt.date) -> Question:
    """Return what `used_by_campaign` asks."""
    return _used_by_campaign().asks(campaign=campaign_id, day=day)


@compiled
def _used_on() -> Any:
    return Select(columns=[used_by(Parameter("account"), Parameter("day"))]).bind(db).tuples()


def used_by_campaign(campaign_id: int, day: dt.date) -> int:
    """Count a campaign's attempts on a local date that use up its limit."""
    return int(_used_by_campaign().first(campaign=campaign_id, day=day)[0])


@compiled
def _used_by_campaign() -> Any:
    of_campaign = used_on_day(Parameter("day")).where(Attempt.campaign == Parameter("campaign"))
    return of_campaign.select(fn.COUNT(SQL("*"))).tuples()


def used_since(account_id: int, since: dt.datetime) -> int:
    """Count an account's attempts, and its mails to itself, after `since` (UTC) that use up a limit."""
    after = (Attempt.account == account_id) & (Attempt.transaction_at > since)
    to_itself = SelfMail.select().where((SelfMail.account == account_id) & (SelfMail.sent_at > since)).count()
    return cast(int, Attempt.select().where(after & SQL(USES_UP)).count() + to_itself)


def last_transaction_of(account_id: int) -> dt.datetime | None:
    """Return when an account's last mail transaction was claimed or refused (UTC), whatever came of it."""
    return to_time(_last_transaction().first(account=account_id)[0])


@compiled
def _last_transaction() -> Any:
    return Select(columns=[last_transaction(Parameter("account"))]).bind(db).tuples()


def used_on_day(day: Any) -> Any:
    """Return the query of all attempts that use up the limits of a local date."""
    return Attempt.select().where((Attempt.local_on == day) & SQL(USES_UP))


def used_by(account_id: Any, day: Any) -> Any:
    """Return by how many attempts and mails to itself an account has used up its limit of a local date."""
    attempts = used_on_day(day).where(Attempt.account == account_id).select(fn.COUNT(Attempt.id))
    to_itself = (SelfMail.account == account_id) & (SelfMail.local_on == day)
    # peewee's + of two queries is UNION ALL.
    return Expression(attempts, OP.ADD, SelfMail.select(fn.COUNT(SelfMail.id)).where(to_itself))


def last_transaction(account_id: Any) -> Any:
    """Return the time of an account's last mail transaction, of its mails to itself and of a person's to one of our
    contacts, too; NULL: there is none.
    """
    of_account = (Attempt.account == account_id) & Attempt.transaction_at.is_null(False)
    attempts = Attempt.select(fn.MAX(Attempt.transaction_at)).where(of_account)
    to_itself = SelfMail.select(fn.MAX(SelfMail.sent_at)).where(SelfMail.account == account_id)
    same = SmtpAccount.alias("same")
    of_person = same.select(same.person_wrote_at).where(same.id == account_id)
    if is_postgres():
        return fn.GREATEST(attempts, to_itself, of_person)
    # MAX of several is NULL where one is; times are text here, and "" is before all of them.
    return fn.NULLIF(fn.MAX(*(fn.COALESCE(one, "") for one in (attempts, to_itself, of_person))), "")


def failed_by(delivery_ids: Sequence[int]) -> dict[int, dict[int, dt.datetime]]:
    """Return the accounts that have failed each of these deliveries since its attempts were last set to 0, each with
    the time (UTC) before which it leaves the delivery alone.
    """
    found: dict[int, dict[int, dt.datetime]] = {}
    for some in chunks(delivery_ids, BATCH):
        failures = _failures().rows(ids=some)
        for (delivery_id, account_id), rows in groupby(failures, key=lambda row: row[:2]):
            times = [finished_at for _, _, finished_at in rows]
            found.setdefault(delivery_id, {})[account_id] = times[-1] + backoff_of_delivery(len(times))
    return found


@compiled
def _failures() -> Any:
    """Return the query of delivery, account and time of failures charged to accounts, in this order."""
    of_account = among(Attempt.delivery, "ids") & (Attempt.charged_to == ChargedTo.ACCOUNT)
    return (
        Attempt.select(Attempt.delivery, Attempt.account, Attempt.finished_at)
        .join(Delivery)
        .where(of_account & (Attempt.finished_at >= Delivery.attempts_since))
        .order_by(Attempt.delivery, Attempt.account, Attempt.finished_at)
        .tuples()
    )
