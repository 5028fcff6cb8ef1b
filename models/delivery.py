"""Deliveries: the intent to send one template to one contact. One row, one state machine, one table of legal
transitions (`states`). Every change of state goes through `event.transition`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import peewee

from models.account import SmtpAccount
from models.base import Base, one_of
from models.campaign import Campaign
from models.contact import Contact, Website
from models.enrolment import Enrolment
from models.states import (
    ENDED_BY_ATTEMPT,
    HOLDS_SLOT,
    ON_ITS_WAY,
    ON_ROUTE,
    RECORDED,
    TEMPLATE_DONE,
    UNFINISHED,
    WAITS,
    State,
)
from models.template import EmailTemplate
from models.utc import UTCDateTimeField

#: The recipient of a delivery whose person has been forgotten.
FORGOTTEN = "forgotten"


#: Text of fixed width, so that it can be taken apart.
_LANE = (
    "GENERATED ALWAYS AS (CAST(10000000000 + COALESCE(campaign_id, 0) AS TEXT) || ':' || "
    "CAST(10000000000 + COALESCE(sender_id, 0) AS TEXT) || ':' || timezone) STORED"
)


#: Columns that are only read to make the mail, and to show it.
_WORDS = frozenset({"subject", "text", "html", "preheader"})


class Delivery(Base):
    """The intent to send one template to one contact.

    While `reserved`: `account`, `send_at` and `token` are its slot. While `sending`: `token` is its claim.
    `timezone` is the contact's own ("" for none): it is sent only while that zone's local time is in the window too.
    `step` is the number of its last event. `source` is the id of the message it came from. `attempts` counts those
    charged to recipient or content since `attempts_since`. `nudged_at` is when the sweep last put it back on the
    route, `recorded_at` when its outcome was added to the counters people see.

    `unsubscribe` is the token in the links by which its recipient unsubscribes, where it was rendered with one.

    `campaign` and `enrolment` are those that it belongs to, `position` is its step there; a plain one has none.
    `sender_id` is the only account that may send it; None: any of the campaign's, or any at all. `lane` puts campaign,
    sender and zone into one word.

    `follows` is the delivery before it in its conversation. Its mail names the mails before in its headers, has their
    subject (with `reply_prefix` behind "Re: ") unless its template has one of its own, and with `quotes` their words
    below its own. One that begins anew (`begins_anew`) has their subject, and nothing else of them. `wire_message_id`
    is the Message-ID, with its angle brackets, that the provider gave the mail in place of `message_id`, where that is
    known.
    """

    contact = peewee.ForeignKeyField(Contact, backref="deliveries")
    website = peewee.ForeignKeyField(Website, null=True)
    template = peewee.ForeignKeyField(EmailTemplate, backref="deliveries")
    recipient = peewee.TextField()
    address = peewee.TextField()
    timezone = peewee.TextField(default="")
    priority = peewee.SmallIntegerField(default=0)
    state = peewee.TextField()
    step = peewee.IntegerField(default=0)
    reason = peewee.TextField(null=True)
    detail = peewee.TextField(null=True)
    subject = peewee.TextField(null=True)
    text = peewee.TextField(null=True)
    html = peewee.TextField(null=True)
    preheader = peewee.TextField(null=True)
    message_id = peewee.TextField(null=True)
    unsubscribe = peewee.TextField(null=True)
    wire_message_id = peewee.TextField(null=True)
    campaign = peewee.ForeignKeyField(Campaign, null=True, index=False)
    enrolment = peewee.ForeignKeyField(Enrolment, null=True, index=False)
    position = peewee.IntegerField(null=True)
    # No foreign key: `account` is the one to join by.
    sender_id = peewee.IntegerField(null=True)
    lane = peewee.TextField(null=True, constraints=[peewee.SQL(_LANE)])
    follows = peewee.ForeignKeyField("self", null=True, index=False, constraints=[peewee.Check("follows_id < id")])
    quotes = peewee.BooleanField(default=False)
    reply_prefix = peewee.BooleanField(default=False)
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

    @property
    def begins_anew(self) -> bool:
        """Tell whether it follows mails of an account that sends it no more: it begins a conversation of its own."""
        return self.follows_id is not None and self.position is not None and self.sender_id is None

    class Meta:
        """A message that is delivered twice makes no second delivery."""

        indexes = ((("source", "contact"), True),)


def _index(name: str, columns: str, where: Iterable[str], *, unique: bool = False) -> None:
    kind = "UNIQUE INDEX" if unique else "INDEX"
    Delivery.add_index(peewee.SQL(f"CREATE {kind} {name} ON delivery ({columns}) WHERE state IN ({one_of(where)})"))


_index("delivery_one_unfinished_contact", "contact_id", UNFINISHED, unique=True)
_index("delivery_one_unfinished_address", "address", UNFINISHED, unique=True)
# The backlog is read lane by lane (one template, one zone), so that a paused template or a closed zone is not read.
_index("delivery_lane", "template_id, lane, priority DESC, id", [State.READY])
_index("delivery_not_before", "not_before", [State.READY])
_index("delivery_slot", "account_id, send_at", HOLDS_SLOT)
_index("delivery_website_unfinished", "website_id", ON_ITS_WAY)
_index("delivery_template_done", "template_id, contact_id", TEMPLATE_DONE)
_index("delivery_template_ended", "template_id, updated_at", ENDED_BY_ATTEMPT)
_index("delivery_on_route", "state, updated_at", ON_ROUTE)
_index("delivery_waits", "state, updated_at", WAITS)
_index("delivery_in_doubt", "id", [State.IN_DOUBT])
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
Delivery.add_index(
    peewee.SQL("CREATE INDEX delivery_enrolment ON delivery (enrolment_id) WHERE enrolment_id IS NOT NULL")
)
Delivery.add_index(
    peewee.SQL(
        "CREATE INDEX delivery_campaign ON delivery (campaign_id, state, position) WHERE campaign_id IS NOT NULL"
    )
)
Delivery.add_index(
    peewee.SQL(
        "CREATE INDEX delivery_campaign_ended ON delivery (campaign_id, updated_at) "
        f"WHERE campaign_id IS NOT NULL AND state IN ({one_of(ENDED_BY_ATTEMPT)})"
    )
)
for _name in ("message_id", "wire_message_id"):
    Delivery.add_index(peewee.SQL(f"CREATE INDEX delivery_{_name} ON delivery ({_name}) WHERE {_name} IS NOT NULL"))
Delivery.add_index(peewee.SQL("CREATE INDEX delivery_follows ON delivery (follows_id) WHERE follows_id IS NOT NULL"))


def in_states(*states: State, column: peewee.Field = Delivery.state) -> Any:
    """Return the condition that a delivery (or another `column`) is in one of `states`, as a literal, like that of the
    partial indexes.

    With parameters SQLite's planner does not recognise the index, and reads the whole table.
    """
    if len(states) == 1:
        return column == peewee.SQL(f"'{states[0]}'")
    return column.in_(peewee.SQL(f"({one_of(states)})"))


def without_words() -> list[peewee.Field]:
    """Return all columns but the words of the mail, which can be long: what is judged and moved needs none of them."""
    return [field for field in Delivery._meta.sorted_fields if field.name not in _WORDS]


def of_ids(ids: Iterable[int]) -> Any:
    """Return the condition that a delivery is one of `ids`."""
    return Delivery.id.in_(list(ids))


def by_id(values: Mapping[int, Any], field: peewee.Field | None = None, *, of: Any = None) -> Any:
    """Return the expression that gives each delivery its own value, so that one UPDATE changes a set.

    Args:
        values: by delivery id.
        field: the column whose conversion the values need, where the driver does not know their type.
        of: the column of ids, where they are not those of deliveries.
    """
    convert = field.db_value if field is not None else None
    its = tuple((i, peewee.Value(value, converter=convert)) for i, value in values.items())
    return peewee.Case(Delivery.id if of is None else of, its)
