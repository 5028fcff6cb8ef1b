"""Why a contact has not been written to, or what became of it; and when, at the earliest, it can go.

Reads: the contact's deliveries, how accounts and backlog stand, and the forecast. Writes nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import cast

from peewee import Case

from models import Contact, Delivery, EmailTemplate, Reason, State, database, lookup
from models.control import control
from models.delivery import in_states
from models.states import UNFINISHED
from pipeline.capacity import snapshot, statement
from pipeline.reports import deliveries, plan
from pipeline.reports.closed import ClosedDate, closed_dates
from pipeline.reports.deliveries import DeliveryRow, LastAttempt
from pipeline.reports.reasons import Because, NotYet, reasons_of
from pipeline.rules import contact as contact_rules
from pipeline.rules import duplicates, eligible
from pipeline.runtime.settings import settings
from pipeline.throttle.window import SendingWindow

#: Sends that the forecast goes through, and how far ahead, to find a delivery's own.
LOOKS_AT = 2_000
LOOKS_AHEAD = dt.timedelta(days=14)


NOT_ON_ROUTE = "not_on_route"


@dataclass(frozen=True)
class Why:
    """Where a contact stands, and why. It is about the delivery that counts: the one that has not ended, else the last
    that was not skipped, else the last.

    Attributes:
        contact_id: the contact.
        state: where that delivery stands; `not_on_route` without one.
        delivery_id: the delivery.
        template_id: its template.
        detail: what a server or the template said.
        reasons: why it stands there.
        again: if it has ended, or there is none: what keeps the batch publisher from picking the contact now.
        earliest: when the next mail can go (UTC); null if that is not known, or depends on a person.
        is_planned: whether `earliest` is the time in the plan; if not, the mail can also go later.
        account_id: from which account, as planned.
        closed: if the window is closed: dates from today until it opens again that are holidays or closed dates.
        last_attempt: if it waits: what came of its last attempt; null before the first.
        history: all deliveries of the contact, oldest first.
    """

    contact_id: int
    state: str
    delivery_id: int | None
    template_id: int | None
    detail: str | None
    reasons: tuple[Because, ...]
    again: tuple[Because, ...]
    earliest: dt.datetime | None
    is_planned: bool
    account_id: int | None
    closed: tuple[ClosedDate, ...]
    last_attempt: LastAttempt | None
    history: tuple[DeliveryRow, ...]


def why(contact: int | str) -> Why:
    """Say where a contact stands and why.

    Args:
        contact: its id, or its address.

    Raises:
        NotThereError: there is no such contact.
    """
    meant = lookup.contact_of(str(contact))
    delivery = _that_counts(meant.id)
    now = database.now()
    if delivery is None or delivery.state not in UNFINISHED:
        answer = _ended(meant, delivery, now)
    else:
        answer = _WAITS[State(delivery.state)](delivery, now)
    return Why(
        contact_id=meant.id,
        state=NOT_ON_ROUTE if delivery is None else State(delivery.state),
        delivery_id=None if delivery is None else delivery.id,
        template_id=None if delivery is None else delivery.template_id,
        detail=None if delivery is None else delivery.detail,
        reasons=answer.because,
        again=answer.again,
        earliest=answer.earliest,
        is_planned=answer.is_planned,
        account_id=answer.account_id,
        closed=tuple(_closed_until_it_opens(now)),
        last_attempt=None if delivery is None else deliveries.last_attempt(delivery),
        history=deliveries.of_contact(meant.id),
    )


def _closed_until_it_opens(now: dt.datetime) -> Iterator[ClosedDate]:
    window = SendingWindow.from_settings(settings())
    if not window.contains(now):
        yield from closed_dates(window, now, window.next_opening(now))


def _that_counts(contact_id: int) -> Delivery | None:
    """Return the delivery that is under way, else the last that was not skipped, else the last."""
    order = Case(None, ((in_states(*UNFINISHED), 0), (in_states(State.SKIPPED), 2)), 1)
    of_contact = Delivery.select().where(Delivery.contact == contact_id)
    return cast(Delivery | None, of_contact.order_by(order, Delivery.id.desc()).first())


@dataclass(frozen=True)
class _Answer:
    """Why a delivery stands where it does, and when the next mail can go; the fields are as in `Why`."""

    because: tuple[Because, ...]
    again: tuple[Because, ...] = ()
    earliest: dt.datetime | None = None
    is_planned: bool = False
    account_id: int | None = None


def _ended(contact: Contact, last: Delivery | None, now: dt.datetime) -> _Answer:
    """Answer for a contact that nothing is on its way to."""
    again = tuple(_against_picking(contact, now))
    earliest = None
    if all(because.until is not None for because in again):
        earliest = SendingWindow.from_settings(settings()).soonest(
            max((b.until for b in again if b.until is not None), default=now), contact.timezone or ""
        )
    if last is None:
        return _Answer(again or (Because(NotYet.NOT_PICKED_YET),), again, earliest)
    because = tuple(map(Because, reasons_of(last.reason)))
    return _Answer(because, again or (Because(NotYet.NOT_PICKED_YET),), earliest)


def _against_picking(contact: Contact, now: dt.datetime) -> Iterator[Because]:
    for reason in contact_rules.reasons_against(contact, now):
        yield Because(reason)
    candidate = Delivery(id=0, address=contact.address, website=contact.website_id)
    reasons = set(duplicates.reasons_against([candidate]).get(0, ()))
    if duplicates.is_on_its_way(contact):
        reasons.add(Reason.IN_FLIGHT)
    for reason in sorted(reasons):
        yield Because(reason, duplicates.passes_at(reason, contact))
    template = eligible.template_to_pick()
    if template is None:
        is_paused = EmailTemplate.select().where(EmailTemplate.active).exists()
        yield Because(NotYet.TEMPLATE_PAUSED if is_paused else NotYet.NO_TEMPLATE)
    elif eligible.is_done(contact, template):
        yield Because(NotYet.TEMPLATE_DONE)
    if contact.priority < settings().mail_publish_min_priority:
        yield Because(NotYet.BELOW_MIN_PRIORITY)


def _being_checked(delivery: Delivery, now: dt.datetime) -> _Answer:
    paused = delivery.template.paused_at is not None
    because = Because(NotYet.TEMPLATE_PAUSED if paused else NotYet.BEING_CHECKED)
    return _planned(_Answer((because,)), delivery, now)


def _has_a_slot(delivery: Delivery, _now: dt.datetime) -> _Answer:
    because = (Because(NotYet.SLOT, delivery.send_at),)
    return _Answer(because, earliest=delivery.send_at, is_planned=True, account_id=delivery.account_id)


def _being_sent(delivery: Delivery, now: dt.datetime) -> _Answer:
    return _Answer((Because(NotYet.BEING_SENT),), earliest=now, account_id=delivery.account_id)


def _in_doubt(_delivery: Delivery, _now: dt.datetime) -> _Answer:
    return _Answer((Because(Reason.NO_OUTCOME),))


def _ready(delivery: Delivery, now: dt.datetime) -> _Answer:
    because = tuple(_waits_for(delivery, now)) or (Because(NotYet.NEXT),)
    return _planned(_Answer(because), delivery, now)


def _planned(answer: _Answer, delivery: Delivery, now: dt.datetime) -> _Answer:
    """Return the answer with the time that the plan gives its delivery, or, where that is too far off, with a time
    before which it is not; with none where it waits for a person.
    """
    forecast = plan.start(now, LOOKS_AHEAD.days)
    if forecast is None or delivery.template.paused_at is not None or not forecast.accounts:
        return answer
    for planned in islice(forecast.run(now + LOOKS_AHEAD), LOOKS_AT):
        if planned.delivery.id == delivery.id:
            return replace(answer, earliest=planned.send_at, is_planned=True, account_id=planned.account_id)
    return replace(answer, earliest=forecast.now)


def _waits_for(delivery: Delivery, now: dt.datetime) -> Iterator[Because]:
    """Yield all that holds of what a `ready` delivery waits for."""
    window = SendingWindow.from_settings(settings())
    if control().paused_at is not None:
        yield Because(NotYet.EVERYTHING_PAUSED)
    if delivery.template.paused_at is not None:
        yield Because(NotYet.TEMPLATE_PAUSED)
    if delivery.not_before is not None and delivery.not_before > now:
        yield Because(NotYet.RETRY, delivery.not_before)
    if not window.contains(now):
        yield Because(NotYet.WINDOW_CLOSED, window.next_opening(now))
    elif not window.is_open(now, delivery.timezone):
        yield Because(NotYet.CONTACT_WINDOW_CLOSED, window.soonest(now, delivery.timezone))
    accounts = snapshot.outline(now).accounts
    if not accounts:
        yield Because(NotYet.NO_ACCOUNT)
    elif not (below_limit := [a for a in accounts if a.left]):
        yield Because(NotYet.LIMITS_REACHED)
    elif all(a.is_cooling(now) for a in below_limit):
        yield Because(NotYet.ACCOUNTS_COOLING_DOWN, min(a.cooling_until for a in below_limit if a.cooling_until))
    if ahead := _ahead_of(delivery):
        yield Because(NotYet.BEHIND_OTHERS, number=ahead)


def _ahead_of(delivery: Delivery) -> int:
    sooner = (Delivery.priority > delivery.priority) | (
        (Delivery.priority == delivery.priority) & (Delivery.id < delivery.id)
    )
    found: int = (
        Delivery.select()
        .where(in_states(State.READY) & sooner & Delivery.template.not_in(statement.paused_templates()))
        .count()
    )
    return found


_WAITS = {
    State.SELECTED: _being_checked,
    State.CLEARED: _being_checked,
    State.READY: _ready,
    State.RESERVED: _has_a_slot,
    State.SENDING: _being_sent,
    State.IN_DOUBT: _in_doubt,
}
