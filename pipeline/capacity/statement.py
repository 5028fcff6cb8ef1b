"""The one statement that reads accounts, their slots, and the size of the backlog; compiled once. Reads only."""

from __future__ import annotations

import datetime as dt
from typing import Any

from peewee import JOIN, SQL, Case, Select, fn

from models import (
    Attempt,
    Campaign,
    CampaignState,
    Control,
    Delivery,
    EmailTemplate,
    SmtpAccount,
    State,
    json_rows,
)
from models.campaign import senders
from models.compiled import Parameter, as_it_is, compiled
from pipeline.capacity import head, lanes, usage
from pipeline.capacity.slots import HOLDS
from pipeline.runtime.settings import settings
from pipeline.throttle.window import SendingWindow

_READY = Delivery.state == State.READY
_USABLE = SmtpAccount.enabled & SmtpAccount.removed_at.is_null() & SmtpAccount.paused_at.is_null()


def usable_accounts() -> Any:
    """Return the query of the accounts that the throttle sees: switched on, not removed, not paused."""
    return SmtpAccount.select().where(_USABLE)


def paused_templates() -> Any:
    """Return the query of the ids of paused templates, for IN: a join would tempt planners away from their indexes."""
    return EmailTemplate.select(EmailTemplate.id).where(EmailTemplate.paused_at.is_null(False))


def rows(now: dt.datetime) -> list[Any]:
    """Read everything but the head of the backlog: one row for each account and each delivery that has its slot or
    claim, all with the control row's columns; without accounts, one row.

    Where sends are spread over the open day, each lane is counted, up to the sum of all limits, for what may go before
    the day's end; else it is only asked whether anything may go now.
    """
    window = SendingWindow.from_settings(settings())
    is_counted = settings().mail_spread and window.contains(now)
    return _everything_but_the_head(is_counted).rows(
        now=now,
        today=window.local_date(now),
        before=window.day_end(now) if is_counted else now,
        default_limit=settings().mail_daily_limit,
    )


@compiled
def _everything_but_the_head(is_counted: bool) -> Any:
    """Return the query of `rows`; `is_counted`: count each lane."""
    query = (
        Control.select(*_control_columns(is_counted), *_account_columns(), *_delivery_columns())
        .join(SmtpAccount, JOIN.LEFT_OUTER, on=_USABLE)
        .join(Delivery, JOIN.LEFT_OUTER, on=(Delivery.account == SmtpAccount.id) & HOLDS)
        .order_by(SmtpAccount.id, Delivery.priority.desc(), Delivery.id)
    )
    return query.namedtuples()


def _control_columns(is_counted: bool) -> list[Any]:
    later = Delivery.select(fn.MIN(Delivery.not_before)).where(
        _READY & (Delivery.not_before > Parameter("now")) & Delivery.template.not_in(paused_templates())
    )
    each = SmtpAccount.alias()
    return [
        Control.paused_at,
        Control.wake_at,
        Control.advanced_at,
        _campaigns().alias("campaigns"),
        _senders().alias("senders"),
        later.alias("next_not_before"),
        lanes.gather(Parameter("now"), Parameter("today"), _enough(is_counted), Parameter("before")).alias("lanes"),
        # Over all accounts, also those that are off by now.
        each.select(fn.MAX(usage.last_transaction(each.id))).alias("last_transaction"),
    ]


def _campaigns() -> Any:
    """Return the query whose one value has id, limit, hours and what is used today of each running campaign."""
    of_today = usage.used_on_day(Parameter("today")).where(Attempt.campaign == Campaign.id)
    used = Case(None, ((Campaign.daily_limit.is_null(), 0),), of_today.select(fn.COUNT(SQL("*"))))
    rows = json_rows.collected(Campaign.id, Campaign.daily_limit, Campaign.hours, used)
    return Campaign.select(rows).where(Campaign.state == SQL(f"'{CampaignState.RUNNING}'"))


def _senders() -> Any:
    """Return the query whose one value has campaign and account of each account that sends a running campaign."""
    pair = senders().alias("pair")
    collected = json_rows.collected(pair.c.campaign, pair.c.account)
    return Select([pair], [collected]).where(pair.c.campaign.in_(lanes.running_campaigns()))


def _enough(is_counted: bool) -> Any:
    """Return the query of the number up to which a lane is counted."""
    if not is_counted:
        return Control.select(SQL("1"))
    own_limit = fn.COALESCE(SmtpAccount.daily_limit, as_it_is("default_limit"))
    return usable_accounts().select(fn.COALESCE(fn.SUM(own_limit), 0))


def _account_columns() -> list[Any]:
    # `between`, not `==`: only the index attempt_latest has this order then. Else PostgreSQL may read the primary key
    # backwards, and for an account without attempts that is the whole table.
    latest = (
        Attempt.select(fn.COALESCE(Attempt.finished_at, Attempt.claimed_at))
        .where(Attempt.account.between(SmtpAccount.id, SmtpAccount.id))
        .order_by(Attempt.account.desc(), Attempt.id.desc())
        .limit(1)
    )
    return [
        SmtpAccount.id.alias("account_id"),
        SmtpAccount.daily_limit,
        SmtpAccount.warmup_start,
        SmtpAccount.warmup_step,
        SmtpAccount.warmup_on,
        SmtpAccount.quota_limit,
        SmtpAccount.quota_on,
        SmtpAccount.quota_at,
        SmtpAccount.failures_in_row,
        SmtpAccount.cooling_until,
        usage.used_by(SmtpAccount.id, Parameter("today")).alias("used"),
        latest.alias("last_attempt_of_account"),
        usage.last_transaction(SmtpAccount.id).alias("last_transaction_of_account"),
    ]


def _delivery_columns() -> list[Any]:
    _, *judged_by = head.JUDGED_BY
    return [Delivery.id.alias("delivery_id"), Delivery.state, Delivery.send_at, Delivery.token, *judged_by]
