"""Deliveries: the intent to send one template to one contact. One row, one state machine, one table of legal
transitions.

Every change of state goes through `move`: one guarded UPDATE for a set. Rows that did not match are never assumed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, cast

import peewee

from . import database
from .account import SmtpAccount
from .base import Base, one_of
from .contact import Contact, Website
from .database import UTCDateTimeField
from .template import EmailTemplate


class State(StrEnum):
    """Where a delivery stands."""

    SELECTED = "selected"
    CLEARED = "cleared"
    READY = "ready"
    RESERVED = "reserved"
    SENDING = "sending"
    IN_DOUBT = "in_doubt"
    SENT = "sent"
    SKIPPED = "skipped"
    BOUNCED = "bounced"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Reason(StrEnum):
    """Why a delivery ended as it did, or waits for a person. A skip can have several, joined by a comma."""

    # skipped by select contacts
    NOT_VALIDATED = "not_validated"
    INVALID_ADDRESS = "invalid_address"
    WEBSITE_REQUIREMENTS = "website_requirements"
    # skipped by select contacts, or by reserve slot when the settings have changed
    NO_COMMON_WINDOW = "no_common_window"
    # skipped by select contacts or check duplicates
    IN_FLIGHT = "in_flight"
    SUPPRESSED_ADDRESS = "suppressed_address"
    SUPPRESSED_DOMAIN = "suppressed_domain"
    CONTACTED_RECENTLY = "contacted_recently"
    WEBSITE_CONTACTED_RECENTLY = "website_contacted_recently"
    # failed
    TEMPLATE_ERROR = "template_error"
    MESSAGE_REFUSED = "message_refused"
    CONTENT_REFUSED = "content_refused"
    ATTEMPTS_USED_UP = "attempts_used_up"
    NO_ACCOUNT_ACCEPTS = "no_account_accepts"
    FAULT = "fault"
    # bounced
    RECIPIENT_REFUSED = "recipient_refused"
    # sent
    ACCEPTED = "accepted"
    RESOLVED_SENT = "resolved_sent"
    # in doubt
    NO_OUTCOME = "no_outcome"
    # cancelled
    CANCELLED = "cancelled"
    FORGOTTEN = "forgotten"


#: Every legal transition, once. `sent` from a waiting state is a 250 that came late to an attempt a person had resent.
TRANSITIONS: dict[State, frozenset[State]] = {
    State.SELECTED: frozenset({State.CLEARED, State.SKIPPED, State.FAILED, State.CANCELLED}),
    State.CLEARED: frozenset({State.READY, State.FAILED, State.CANCELLED}),
    State.READY: frozenset({State.RESERVED, State.SKIPPED, State.FAILED, State.CANCELLED, State.SENT}),
    State.RESERVED: frozenset(
        {State.SENDING, State.READY, State.SKIPPED, State.BOUNCED, State.FAILED, State.CANCELLED, State.SENT}
    ),
    State.SENDING: frozenset({State.SENT, State.READY, State.BOUNCED, State.FAILED, State.IN_DOUBT}),
    State.IN_DOUBT: frozenset({State.SENT, State.BOUNCED, State.FAILED, State.READY}),
    State.FAILED: frozenset({State.READY}),
    State.SENT: frozenset(),
    State.SKIPPED: frozenset(),
    State.BOUNCED: frozenset(),
    State.CANCELLED: frozenset(),
}

#: Under way, and nothing claimed: these can still be given up, cancelled, and take up capacity that is not used yet.
NOT_CLAIMED = (State.SELECTED, State.CLEARED, State.READY, State.RESERVED)
#: A contact or an address has at most one delivery in these.
UNFINISHED = (*NOT_CLAIMED, State.SENDING, State.IN_DOUBT)
#: These hold an account's slot, or its claim.
HOLDS_SLOT = (State.RESERVED, State.SENDING)
#: *Check duplicates* looks at others that have come at least this far.
ON_ITS_WAY = (State.CLEARED, State.READY, State.RESERVED, State.SENDING, State.IN_DOUBT)
#: What *record outcome* counts.
RECORDED = (State.SENT, State.BOUNCED, State.FAILED, State.IN_DOUBT)
#: A template that came to one of these for a contact is never picked for it again by the batch publisher.
TEMPLATE_DONE = (State.SENT, State.BOUNCED, State.FAILED, State.IN_DOUBT, State.CANCELLED)


class IllegalTransitionError(Exception):
    """The program asked for a transition that the table does not have."""


class Delivery(Base):
    """The intent to send one template to one contact.

    While `reserved`: `account`, `send_at` and `token` are its slot. While `sending`: `token` is its claim.
    `timezone` is the contact's own ("" for none): its clocks have to be in the window too.
    `source` is the message it came from. `attempts` counts those charged to recipient or content since
    `attempts_since`. `nudged_at` is when the sweep last put it back on the route, `recorded_at` when its outcome went
    into the counters people see.
    """

    contact = peewee.ForeignKeyField(Contact, backref="deliveries")
    website = peewee.ForeignKeyField(Website, null=True)
    template = peewee.ForeignKeyField(EmailTemplate, backref="deliveries")
    recipient = peewee.TextField()
    address = peewee.TextField()
    timezone = peewee.TextField(default="")
    priority = peewee.SmallIntegerField(default=0)
    state = peewee.TextField()
    reason = peewee.TextField(null=True)
    detail = peewee.TextField(null=True)
    subject = peewee.TextField(null=True)
    text = peewee.TextField(null=True)
    html = peewee.TextField(null=True)
    preheader = peewee.TextField(null=True)
    message_id = peewee.TextField(null=True)
    account = peewee.ForeignKeyField(SmtpAccount, null=True)
    send_at = UTCDateTimeField(null=True)
    token = peewee.TextField(null=True, index=True)
    not_before = UTCDateTimeField(null=True)
    attempts = peewee.IntegerField(default=0)
    attempts_since = UTCDateTimeField()
    nudged_at = UTCDateTimeField(null=True)
    source = peewee.TextField()
    created_at = UTCDateTimeField()
    updated_at = UTCDateTimeField()
    sent_at = UTCDateTimeField(null=True)
    recorded_at = UTCDateTimeField(null=True)

    class Meta:
        """A redelivered message makes nothing new."""

        indexes = ((("source", "contact"), True),)


def _index(name: str, columns: str, where: Iterable[str], *, unique: bool = False) -> None:
    kind = "UNIQUE INDEX" if unique else "INDEX"
    Delivery.add_index(peewee.SQL(f"CREATE {kind} {name} ON delivery ({columns}) WHERE state IN ({one_of(where)})"))


_index("delivery_one_unfinished_contact", "contact_id", UNFINISHED, unique=True)
_index("delivery_one_unfinished_address", "address", UNFINISHED, unique=True)
# The backlog has a lane for each template and zone, so that what is paused or closed is passed over unread.
_index("delivery_lane", "template_id, timezone, priority DESC, id", [State.READY])
_index("delivery_not_before", "not_before", [State.READY])
_index("delivery_slot", "account_id, send_at", HOLDS_SLOT)
_index("delivery_website_unfinished", "website_id", ON_ITS_WAY)
_index("delivery_template_done", "template_id, contact_id", TEMPLATE_DONE)
_index("delivery_on_route", "state, updated_at", [State.SELECTED, State.CLEARED, State.RESERVED, State.SENDING])
Delivery.add_index(peewee.SQL("CREATE INDEX delivery_address_sent ON delivery (address, sent_at) WHERE state = 'sent'"))
Delivery.add_index(
    peewee.SQL("CREATE INDEX delivery_website_sent ON delivery (website_id, sent_at) WHERE state = 'sent'")
)
Delivery.add_index(
    peewee.SQL(
        "CREATE INDEX delivery_not_recorded ON delivery (updated_at) "
        f"WHERE state IN ({one_of(RECORDED)}) AND recorded_at IS NULL"
    )
)


def move(origin: State, to: State, which: Any, **changes: Any) -> list[int]:
    """Move deliveries from `origin` to `to`, if they still are in `origin` and match `which`.

    Args:
        origin: the state they must be in.
        to: the state they go to; the pair must stand in TRANSITIONS.
        which: a peewee condition: which of them.
        changes: other columns to set. A delivery that leaves `reserved` or `sending` gives its slot up by itself.

    Returns:
        The ids that were moved, in their order.

    Raises:
        IllegalTransitionError: the table does not have this transition.
    """
    if to not in TRANSITIONS[origin]:
        raise IllegalTransitionError(f"{origin} → {to}")
    values: dict[str, Any] = {"state": to, "updated_at": database.now()}
    if to not in (State.RESERVED, State.SENDING, State.IN_DOUBT):
        values |= {"account": None, "send_at": None, "token": None}
    if to is State.READY:
        values |= {"reason": None, "detail": None}
    query = Delivery.update(**(values | changes)).where((Delivery.state == origin) & which).returning(Delivery.id)
    return sorted(cast(int, row.id) for row in query.execute())


def in_states(*states: State) -> Any:
    """Return the condition that a delivery is in one of `states`, written out as the partial indexes have it.

    With parameters in its place SQLite's planner does not see the index, and reads the table.
    """
    if len(states) == 1:
        return Delivery.state == peewee.SQL(f"'{states[0]}'")
    return Delivery.state.in_(peewee.SQL(f"({one_of(states)})"))


def of_ids(ids: Iterable[int]) -> Any:
    """Return the condition that a delivery is one of `ids`."""
    return Delivery.id.in_(list(ids))


def by_id(values: Mapping[int, Any], field: peewee.Field | None = None) -> Any:
    """Return the expression that gives each delivery its own value, so that one UPDATE serves a set.

    Args:
        values: by delivery id.
        field: whose conversion the values need, where the driver does not know their type.
    """
    convert = field.db_value if field is not None else None
    return peewee.Case(Delivery.id, tuple((i, peewee.Value(v, converter=convert)) for i, v in values.items()))
