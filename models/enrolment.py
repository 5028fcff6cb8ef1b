"""Enrolments: one contact in one campaign, which step is next and when, or how it ended.

An enrolment follows its deliveries: `event.transition` tells `follow` of each that ends, in the same transaction.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

import peewee
from peewee import SQL

from models import database
from models.account import SmtpAccount
from models.address import forms
from models.base import Base
from models.campaign import Campaign, Step
from models.contact import Contact
from models.states import Reason, State
from models.utc import UTCDateTimeField

T = TypeVar("T")


class EnrolmentState(StrEnum):
    """Where an enrolment stands: it goes on, or how it ended."""

    ACTIVE = "active"
    FINISHED = "finished"
    REPLIED = "replied"
    BOUNCED = "bounced"
    UNSUBSCRIBED = "unsubscribed"
    SUPPRESSED = "suppressed"
    FAILED = "failed"
    FORGOTTEN = "forgotten"
    STOPPED = "stopped"


class Enrolment(Base):
    """A contact in a campaign.

    `position` is the step that is next. `due_at` is when it may go: None for the first step, which goes as soon as
    there is room, and for one whose time is still to be worked out. `delivery_id` is the one that is on its way for
    it, `last_id` the one that was sent last; `account` has sent them. `priority` is the contact's. `reason` says why it
    ended.
    """

    campaign = peewee.ForeignKeyField(Campaign, backref="enrolments", index=False)
    contact = peewee.ForeignKeyField(Contact, backref="enrolments")
    state = peewee.TextField(default=EnrolmentState.ACTIVE)
    reason = peewee.TextField(null=True)
    position = peewee.IntegerField(default=1)
    due_at = UTCDateTimeField(null=True)
    priority = peewee.SmallIntegerField(default=0)
    # No foreign keys: deliveries refer to their enrolments.
    delivery_id = peewee.IntegerField(null=True)
    last_id = peewee.IntegerField(null=True)
    account = peewee.ForeignKeyField(SmtpAccount, null=True, index=False)
    sent_at = UTCDateTimeField(null=True)
    created_at = UTCDateTimeField()
    updated_at = UTCDateTimeField()
    ended_at = UTCDateTimeField(null=True)

    class Meta:
        """A contact is in a campaign once. How many stand where is counted through the other index."""

        indexes = ((("campaign", "contact"), True), (("campaign", "state", "position"), False))


_WAITS = "state = 'active' AND delivery_id IS NULL"
# Who is picked for a first mail is read best first; a follow-up account by account, by its time.
Enrolment.add_index(
    SQL(f"CREATE INDEX enrolment_first ON enrolment (campaign_id, priority DESC, id) WHERE {_WAITS} AND position = 1")
)
Enrolment.add_index(
    SQL(
        f"CREATE INDEX enrolment_due ON enrolment (campaign_id, account_id, due_at, id) WHERE {_WAITS} AND position > 1"
    )
)
#: As `rules.sequences` asks, so that planners recognise the index.
WRITTEN_TO = "state = 'active' AND position > 1"
Enrolment.add_index(SQL(f"CREATE INDEX enrolment_written_to ON enrolment (contact_id) WHERE {WRITTEN_TO}"))
Enrolment.add_index(SQL("CREATE INDEX enrolment_on_its_way ON enrolment (delivery_id) WHERE delivery_id IS NOT NULL"))

#: Why an enrolment ends as `replied` when it was not its own contact who has, but another of the website.
WEBSITE_REPLIED = "website_replied"
#: How an enrolment ends when its delivery ends so.
_ENDS_AS = {
    State.BOUNCED: EnrolmentState.BOUNCED,
    State.FAILED: EnrolmentState.FAILED,
    State.CANCELLED: EnrolmentState.STOPPED,
}
#: How it ends when its delivery is skipped for such a reason; for any other it waits again.
_SKIPPED_AS = {
    Reason.SUPPRESSED_ADDRESS: EnrolmentState.SUPPRESSED,
    Reason.SUPPRESSED_DOMAIN: EnrolmentState.SUPPRESSED,
    Reason.ON_EXCLUDED_LIST: EnrolmentState.STOPPED,
}


def follow(
    of_delivery: Mapping[int, int],
    origin: State,
    to: State,
    now: dt.datetime,
    *,
    account_of: Mapping[int, int | None],
    reason_of: Mapping[int, str | None],
) -> None:
    """Bring enrolments to where their deliveries have come, in the transaction that brings those there.

    Args:
        of_delivery: enrolments, by the delivery that has moved.
        origin, to: from where and to where all of these have.
        now: UTC.
        account_of: the account that each delivery's move was about.
        reason_of: why each has moved.
    """
    if to is State.SENT:
        for account_id, ids in _by_value(account_of).items():
            _come_to(ids, **_one_step_further(now), account=account_id)
    elif to in _ENDS_AS:
        for reason, ids in _by_value(reason_of).items():
            state = EnrolmentState.FORGOTTEN if reason == Reason.FORGOTTEN else _ENDS_AS[to]
            _come_to(ids, state=state, reason=reason, ended_at=now, updated_at=now)
    elif to is State.SKIPPED:
        for reason, ids in _by_value(reason_of).items():
            words = (reason or "").split(",")
            ends_as = next((state for word, state in _SKIPPED_AS.items() if word in words), None)
            ended = {} if ends_as is None else {"state": ends_as, "reason": reason, "ended_at": now}
            _come_to(ids, **ended, updated_at=now)
    elif origin is State.FAILED:
        _begin_again(of_delivery, now)


def _by_value(values: Mapping[int, T]) -> dict[T, list[int]]:
    """Return the keys that have each value."""
    found: dict[T, list[int]] = {}
    for key, value in values.items():
        found.setdefault(value, []).append(key)
    return found


def _one_step_further(now: dt.datetime) -> dict[str, Any]:
    """Return what changes when the delivery that an enrolment waits for has been sent."""
    next_one = (Step.campaign == Enrolment.campaign) & (Step.position == Enrolment.position + 1)
    is_last = ~peewee.fn.EXISTS(Step.select(SQL("1")).where(next_one))
    return {
        "position": Enrolment.position + 1,
        "due_at": None,
        "last_id": Enrolment.delivery_id,
        "sent_at": now,
        "state": peewee.Case(None, ((is_last, EnrolmentState.FINISHED),), Enrolment.state),
        "ended_at": peewee.Case(None, ((is_last, peewee.Value(now, converter=Enrolment.ended_at.db_value)),), None),
        "updated_at": now,
    }


def _come_to(delivery_ids: list[int], **changes: Any) -> None:
    """Let enrolments wait no more for these deliveries, and change those of them that go on."""
    waits = Enrolment.delivery_id.in_(delivery_ids)
    active = Enrolment.state == EnrolmentState.ACTIVE
    database.later(Enrolment.update(delivery_id=None, **changes).where(waits & active))
    database.later(Enrolment.update(delivery_id=None).where(waits & ~active))


def _begin_again(of_delivery: Mapping[int, int], now: dt.datetime) -> None:
    """Let enrolments that a failed delivery has ended wait for it again."""
    for delivery_id, enrolment_id in of_delivery.items():
        failed = (Enrolment.id == enrolment_id) & (Enrolment.state == EnrolmentState.FAILED)
        Enrolment.update(
            state=EnrolmentState.ACTIVE, reason=None, ended_at=None, delivery_id=delivery_id, updated_at=now
        ).where(failed).execute()


def ends(
    which: Any,
    state: EnrolmentState,
    now: dt.datetime,
    reason: str | None = None,
    *,
    origins: Iterable[EnrolmentState] = (EnrolmentState.ACTIVE,),
) -> list[int]:
    """End the enrolments of a condition that still go on, or are in one of `origins`; return their ids. What is on its
    way for them goes on.
    """
    here = which & Enrolment.state.in_(list(origins))
    database.lock_rows(Enrolment, here)
    query = Enrolment.update(state=state, reason=reason, ended_at=now, updated_at=now).where(here)
    return sorted(row.id for row in query.returning(Enrolment.id).execute())


def of_addresses(addresses: Iterable[str]) -> Any:
    """Return the condition that an enrolment is one of the people with these normalised addresses, by whichever of
    their contacts.
    """
    written = sorted({form for address in addresses for form in forms(address)})
    return Enrolment.contact.in_(Contact.select(Contact.id).where(Contact.address.in_(written)))
