"""Why a slot can't be used now: one closed, ordered list, checked before the dialogue and again under the lock.

Reads: the slot's deliveries, their contacts, templates and campaigns, the account and what it has used. Writes nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from peewee import SQL, Select, fn

from models import (
    Campaign,
    CampaignState,
    Delivery,
    EmailTemplate,
    SmtpAccount,
    State,
)
from models.campaign import is_within_dates, senders
from models.compiled import Parameter, Question, among, compiled
from models.control import control
from models.control import question as control_row
from models.delivery import in_states
from models.states import HOLDS_SLOT
from pipeline.capacity import usage
from pipeline.rules import last
from pipeline.rules.forgotten import Hashes
from pipeline.runtime.settings import settings
from pipeline.throttle.limits import is_resting
from pipeline.throttle.window import SendingWindow


class Refusal(StrEnum):
    """Why a slot can't be used, in the order in which it is checked."""

    SLOT_LOST = "slot_lost"
    SLOT_MISSED = "slot_missed"
    KEPT_OUT = "kept_out"
    PAUSED = "paused"
    ACCOUNT_UNUSABLE = "account_unusable"
    NOT_ITS_SENDER = "not_its_sender"
    WINDOW_CLOSED = "window_closed"
    LIMIT_REACHED = "limit_reached"
    TOO_SOON = "too_soon"


@dataclass(frozen=True)
class Use:
    """A slot that is to be used at `now` (UTC): its deliveries, of which one is sent next, and its account."""

    deliveries: Sequence[Delivery]
    account: SmtpAccount
    now: dt.datetime

    @property
    def window(self) -> SendingWindow:
        """The hours in which sending is allowed."""
        return SendingWindow.from_settings(settings())

    @cached_property
    def campaigns(self) -> dict[int, Any]:
        """The campaigns of the deliveries by id, each with whether it is the account's to send; asked once, and not
        where there is none.
        """
        ids = {d.campaign_id for d in self.deliveries if d.campaign_id is not None}
        return {row.id: row for row in _campaigns().rows(ids=ids, account=self.account.id)} if ids else {}


@compiled
def _campaigns() -> Any:
    pair = senders().alias("pair")
    is_its = (pair.c.campaign == Campaign.id) & (pair.c.account == Parameter("account", convert=int))
    named = Select([pair], [SQL("1")]).where(is_its)
    return Campaign.select(Campaign, fn.EXISTS(named).alias("is_sender")).where(among(Campaign.id, "ids")).namedtuples()


def refusal(use: Use, *, but: frozenset[Refusal] = frozenset()) -> Refusal | None:
    """Return the first refusal that applies, None if the slot may be used; those in `but` are not checked.

    SLOT_LOST is not checked here: then no delivery has the slot's token any more, and the caller finds none.
    """
    return next((word for word, applies in _LIST.items() if word not in but and applies(use)), None)


def questions(deliveries: Sequence[Delivery], account_id: int, at: dt.datetime, known: Hashes) -> list[Question]:
    """Return what `refusal` asks of some deliveries, so that all of it can be asked together.

    Args:
        deliveries: with their contacts, as they were read some time ago.
        account_id: whose slot it has.
        at: about when (UTC) it is going to be judged.
        known: the hashes by which forgotten people are known.
    """
    day = usage.date_of(at)
    asked = [
        control_row(),
        _paused_template().asks(ids={d.template_id for d in deliveries}),
        _open_claim().asks(account=account_id),
        *usage.questions(account_id, day),
        *last.questions(deliveries, known),
    ]
    if campaigns := {d.campaign_id for d in deliveries if d.campaign_id is not None}:
        asked.append(_campaigns().asks(ids=campaigns, account=account_id))
        asked += [usage.question_of_campaign(campaign_id, day) for campaign_id in campaigns]
    return asked


def is_missed(delivery: Delivery, now: dt.datetime) -> bool:
    """Tell whether a slot's time is longer ago than MAIL_MAX_LATENESS."""
    return bool(delivery.send_at < _earliest(now))


def missed(now: dt.datetime) -> Any:
    """Return the same as a condition."""
    return Delivery.send_at < _earliest(now)


def _earliest(now: dt.datetime) -> dt.datetime:
    return now - dt.timedelta(seconds=settings().mail_max_lateness)


def earliest_after(last_transaction: dt.datetime) -> dt.datetime:
    """Return when an account that last claimed at `last_transaction` may send again."""
    return last_transaction + dt.timedelta(seconds=settings().mail_min_interval)


def _missed(use: Use) -> bool:
    return is_missed(use.deliveries[0], use.now)


def _kept_out(use: Use) -> bool:
    return bool(last.reasons_to_skip(use.deliveries, use.now))


def _paused(use: Use) -> bool:
    if use.account.paused_at is not None or control().paused_at is not None:
        return True
    if any(campaign.state != CampaignState.RUNNING for campaign in use.campaigns.values()):
        return True
    return _paused_template().first(ids={d.template_id for d in use.deliveries}) is not None


@compiled
def _paused_template() -> Any:
    paused = among(EmailTemplate.id, "ids") & EmailTemplate.paused_at.is_null(False)
    return EmailTemplate.select(EmailTemplate.id).where(paused).limit(1)


def _unusable(use: Use) -> bool:
    if not use.account.enabled or use.account.removed_at is not None or is_resting(use.account.cooling_until, use.now):
        return True
    return _open_claim().first(account=use.account.id) is not None


@compiled
def _open_claim() -> Any:
    claimed = (Delivery.account == Parameter("account")) & in_states(*HOLDS_SLOT) & (Delivery.state == State.SENDING)
    return Delivery.select(Delivery.id).where(claimed).limit(1)


def _not_its_sender(use: Use) -> bool:
    if not all(campaign.is_sender for campaign in use.campaigns.values()):
        return True
    return any(d.sender_id not in (None, use.account.id) for d in use.deliveries)


def _closed(use: Use) -> bool:
    today = use.window.local_date(use.now)
    if not all(is_within_dates(campaign, today) for campaign in use.campaigns.values()):
        return True
    hours = {d.id: use.campaigns[d.campaign_id].hours if d.campaign_id else "" for d in use.deliveries}
    return not all(use.window.is_open(use.now, d.timezone, hours[d.id]) for d in use.deliveries)


def _used_up(use: Use) -> bool:
    today = use.window.local_date(use.now)
    if usage.used_on(use.account.id, today) >= usage.limit_of(use.account, today):
        return True
    # Its slots are dealt within it: this is for a limit that is lower since.
    limits = {campaign.id: campaign.daily_limit for campaign in use.campaigns.values()}
    return any(limit is not None and usage.used_by_campaign(i, today) >= limit for i, limit in limits.items())


def _too_soon(use: Use) -> bool:
    last_transaction = usage.last_transaction_of(use.account.id)
    return last_transaction is not None and use.now < earliest_after(last_transaction)


_LIST: dict[Refusal, Callable[[Use], bool]] = {
    Refusal.SLOT_MISSED: _missed,
    Refusal.KEPT_OUT: _kept_out,
    Refusal.PAUSED: _paused,
    Refusal.ACCOUNT_UNUSABLE: _unusable,
    Refusal.NOT_ITS_SENDER: _not_its_sender,
    Refusal.WINDOW_CLOSED: _closed,
    Refusal.LIMIT_REACHED: _used_up,
    Refusal.TOO_SOON: _too_soon,
}
