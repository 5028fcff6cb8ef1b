"""All that has happened with a contact, step by step: from the events of its deliveries, what came back by mail, its
campaigns, what keeps it from being mailed, and what people did. Reads only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from peewee import JOIN

from models import Attempt, Cause, Contact, Delivery, Effect, Event, InboundMail, NamedBy, State, lookup
from pipeline.reports import actions, sequences, suppressions
from pipeline.reports.reasons import reasons_of


class About(StrEnum):
    """What an entry of a story is about."""

    DELIVERY = "delivery"
    INBOUND = "inbound"
    CAMPAIGN = "campaign"
    SUPPRESSION = "suppression"
    ACTION = "action"


@dataclass(frozen=True)
class Happened:
    """Something that has happened with a contact.

    Attributes:
        at: when (UTC); of a mail that came back: when it was read.
        about: a change of a delivery's state, a mail that came back, the begin or end of a campaign for the contact, a
            suppression, or what a person or the program did beside the route.
        what: what happened, in words.
        delivery_id: the delivery.
        origin: of a delivery: the state before; null for its first.
        state: of a delivery: the state since then.
        by: which stage or act did it, or who.
        reasons: why.
        campaign_id: the campaign that it is about.
        account_id: the account that it is about.
        reply_code: what the server answered (RFC 5321).
        enhanced_code: the server's enhanced status code (RFC 3463).
        text: what the server said, why a mail was taken for what it is, or why somebody did it.
    """

    at: dt.datetime
    about: About
    what: str
    delivery_id: int | None = None
    origin: State | None = None
    state: State | None = None
    by: str | None = None
    reasons: tuple[str, ...] = ()
    campaign_id: int | None = None
    account_id: int | None = None
    reply_code: int | None = None
    enhanced_code: str | None = None
    text: str = ""


@dataclass(frozen=True)
class Story:
    """What has happened with a contact.

    Attributes:
        contact_id: the contact.
        entries: what happened, the latest first.
        has_more: whether more has happened before.
    """

    contact_id: int
    entries: tuple[Happened, ...]
    has_more: bool


def story(contact: int | str, limit: int) -> Story:
    """Return what has happened with a contact.

    Args:
        contact: its id, or its address.
        limit: entries at most.

    Raises:
        NotThereError: there is no such contact.
    """
    meant = lookup.contact_of(str(contact))
    found = [*_campaigns(meant), *_suppressions(meant)]
    for source in (_events, _inbound, _actions):
        found += source(meant, limit + 1)
    # What is of one instant stays in its own order.
    found.sort(key=lambda entry: entry.at)
    return Story(meant.id, tuple(found[: -limit - 1 : -1]), has_more=len(found) > limit)


def _events(contact: Contact, limit: int) -> Iterator[Happened]:
    last = (
        Event.select(Event, Attempt)
        .join(Delivery)
        .switch(Event)
        .join(Attempt, JOIN.LEFT_OUTER)
        .where(Delivery.contact == contact.id)
        .order_by(Event.id.desc())
        .limit(limit)
    )
    for event in sorted(last, key=lambda event: int(event.id)):
        origin, state = None if event.origin is None else State(event.origin), State(event.state)
        attempt = event.attempt if event.attempt_id is not None else None
        yield Happened(
            at=event.at,
            about=About.DELIVERY,
            what=_WHAT.get((origin, state)) or _ENDS.get(state) or str(state).replace("_", " "),
            delivery_id=event.delivery_id,
            origin=origin,
            state=state,
            by=Cause(event.cause),
            reasons=reasons_of(event.reason),
            account_id=event.account_id,
            reply_code=event.reply_code,
            enhanced_code=None if attempt is None else attempt.enhanced_code,
            # A claim's attempt has its reply only later: what was said stands where it was said.
            text="" if attempt is None or state is State.SENDING else attempt.text,
        )


#: What a change of a delivery's state is to people: from, to.
_WHAT: dict[tuple[State | None, State], str] = {
    (None, State.SELECTED): "put onto the route",
    (None, State.SKIPPED): "not put onto the route",
    (State.SELECTED, State.CLEARED): "checked: it may be written to",
    (State.CLEARED, State.READY): "rendered; waits for a slot",
    (State.READY, State.RESERVED): "got a slot",
    (State.RESERVED, State.READY): "without a slot again; waits",
    (State.RESERVED, State.SENDING): "claimed: the end of the mail may be sent",
    (State.SENDING, State.SENT): "sent: the server has accepted it",
    (State.SENDING, State.READY): "not accepted for now; waits",
    (State.IN_DOUBT, State.SENT): "in doubt no more: it was sent",
    (State.IN_DOUBT, State.READY): "in doubt no more: it is sent again",
    (State.READY, State.SENT): "sent: the acceptance came late",
    (State.RESERVED, State.SENT): "sent: the acceptance came late",
    (State.FAILED, State.READY): "put back; waits for a slot",
}
#: The same of states that are reached from several.
_ENDS: dict[State, str] = {
    State.IN_DOUBT: "in doubt: nobody knows whether it was sent",
    State.SKIPPED: "skipped: it is not sent",
    State.BOUNCED: "bounced: the server has refused the address for good",
    State.FAILED: "given up",
    State.CANCELLED: "cancelled",
}


def _inbound(contact: Contact, limit: int) -> Iterator[Happened]:
    query = InboundMail.select(InboundMail, Delivery).join(Delivery).where(Delivery.contact == contact.id)
    last = query.order_by(InboundMail.id.desc()).limit(limit)
    for mail in sorted(last, key=lambda mail: int(mail.id)):
        yield Happened(
            at=mail.read_at,
            about=About.INBOUND,
            what=f"{_came(mail)}: {_EFFECTS[Effect(mail.effect)]}",
            delivery_id=mail.delivery_id,
            campaign_id=mail.delivery.campaign_id,
            account_id=mail.mailbox_id,
            reply_code=mail.reply_code,
            enhanced_code=mail.enhanced_code,
            text=mail.evidence,
        )


def _came(mail: InboundMail) -> str:
    if mail.kind == "sent" and mail.named_by == NamedBy.RECIPIENT:
        return "a person has written to it"
    return f"{_KINDS.get(mail.kind) or mail.kind.replace('_', ' ')} came back"


#: What a mail that came back is called, where its kind alone would not say it.
_KINDS = {
    "automatic": "automatic answer",
    "has_left": "answer that the person has left",
    "sent": "copy of our mail",
    "calendar": "answer to an invitation",
    "unsubscribe": "request to unsubscribe",
    "other": "mail",
}
#: What followed from a mail that came back, in words.
_EFFECTS: dict[Effect, str] = {
    Effect.BOUNCED: "the address is suppressed",
    Effect.REFUSED_BY_POLICY: "counts as bounced, and nobody is suppressed",
    Effect.SOFT: "noted, since it was refused for now",
    Effect.TOO_OFTEN: "the address is suppressed, since it was refused for now too often",
    Effect.COMPLAINED: "the address is suppressed",
    Effect.REPLIED: "the campaigns of the contact have ended",
    Effect.UNSUBSCRIBED: "the contact wants no more mails",
    Effect.PUT_OFF: "the next step waits longer",
    Effect.TAKEN_OVER: "the next step waits longer",
    Effect.ENDED: "the campaign has ended, since the person is not there any more",
    Effect.FOUND: "so it was sent",
    Effect.NOTED: "nothing follows",
    Effect.GUESS: "nothing follows, since it is only guessed which mail is meant",
}


def _campaigns(contact: Contact) -> Iterator[Happened]:
    for row in sequences.of_contact(contact):
        came = f"came into campaign {row.campaign}"
        yield Happened(at=row.created_at, about=About.CAMPAIGN, what=came, campaign_id=row.campaign_id)
        if row.ended_at is not None:
            yield Happened(
                at=row.ended_at,
                about=About.CAMPAIGN,
                what=f"campaign {row.campaign} has ended: {row.state}",
                reasons=reasons_of(row.reason),
                campaign_id=row.campaign_id,
            )


def _suppressions(contact: Contact) -> Iterator[Happened]:
    for row in suppressions.of_address(contact.address):
        what = f"its {row.kind} is suppressed"
        yield Happened(at=row.created_at, about=About.SUPPRESSION, what=what, text=row.reason)


def _actions(contact: Contact, limit: int) -> Iterator[Happened]:
    """Yield what was done with the contact, or decided about its deliveries."""
    last = Delivery.select(Delivery.id).where(Delivery.contact == contact.id).order_by(Delivery.id.desc()).limit(limit)
    subjects = [f"contact {contact.id}", *(f"delivery {i}" for (i,) in last.tuples())]
    for row in reversed(actions.about(subjects, limit)):
        yield Happened(at=row.at, about=About.ACTION, what=f"{row.verb}: {row.subject}", by=row.who, text=row.reason)
