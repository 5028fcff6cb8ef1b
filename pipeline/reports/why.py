"""Why a contact has not been written to, or what became of it; and when, at the earliest, it can go.

Reads: the contact's deliveries, how accounts and backlog stand, and the forecast. Writes nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import cast

from peewee import Case

from models import Contact, Delivery, EmailTemplate, Enrolment, Reason, State, database, lookup
from models.delivery import in_states
from models.states import UNFINISHED
from pipeline.campaigns.expected import ExpectedPublisher
from pipeline.capacity import snapshot
from pipeline.reports import deliveries, foreseen, held, inbound, sequences
from pipeline.reports.closed import ClosedDate, closed_dates
from pipeline.reports.deliveries import DeliveryRow, LastAttempt
from pipeline.reports.inbound import InboundRow
from pipeline.reports.reasons import Because, NotYet, reasons_of
from pipeline.reports.sequences import EnrolmentRow
from pipeline.rules import eligible
from pipeline.runtime.settings import settings
from pipeline.throttle.forecast import Forecast, Planned
from pipeline.throttle.window import SendingWindow
from pipeline.watch.problems import OVERDUE

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
        again: if it has ended, or there is none: what keeps the batch publisher from picking the contact now, for the
            next step of a campaign that it is in or comes into, or else for a plain mail.
        earliest: when the next mail can go (UTC); null if that is not known, or depends on a person.
        is_planned: whether `earliest` is the time in the plan; if not, the mail can also go later.
        today: whether the next mail goes on today's date in the window's zone, if nothing changes; null: it may.
        account_id: from which account, as planned.
        closed: if the window is closed: dates from today until it opens again that are holidays or closed dates.
        last_attempt: if it waits: what came of its last attempt; null before the first.
        enrolments: where the contact stands in campaigns, in the order of their ids.
        inbound: what came back by mail of what was sent to it, in the order in which it was read.
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
    today: bool | None
    account_id: int | None
    closed: tuple[ClosedDate, ...]
    last_attempt: LastAttempt | None
    enrolments: tuple[EnrolmentRow, ...]
    inbound: tuple[InboundRow, ...]
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
        today=_is_today(answer, now),
        account_id=answer.account_id,
        closed=tuple(_closed_until_it_opens(now)),
        last_attempt=None if delivery is None else deliveries.last_attempt(delivery),
        enrolments=sequences.of_contact(meant),
        inbound=inbound.of_contact(meant.id),
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


def _is_today(answer: _Answer, now: dt.datetime) -> bool | None:
    window = SendingWindow.from_settings(settings())
    if answer.earliest is None:
        return None if all(because.passes for because in answer.again or answer.because) else False
    if window.local_date(answer.earliest) > window.local_date(now):
        return False
    if answer.is_planned:
        return True
    seen = snapshot.outline(now)
    return None if seen.accounts and not seen.paused else False


def _ended(contact: Contact, last: Delivery | None, now: dt.datetime) -> _Answer:
    """Answer for a contact that nothing is on its way to."""
    steps = sequences.next_steps(contact)
    again = _next_step(contact, steps, now) if steps else _answer_of(contact, now)
    # That it can be picked is said once.
    sayable = again.again or (Because(NotYet.NOT_PICKED_YET),)
    if last is None:
        return replace(again, because=sayable)
    return replace(again, because=tuple(map(Because, reasons_of(last.reason))), again=sayable)


def _answer_of(contact: Contact, now: dt.datetime) -> _Answer:
    """Answer for a contact whose next mail would not be one of a campaign that it is in."""
    plain, outside = tuple(_against_picking(contact, now)), tuple(dict.fromkeys(sequences.outside(contact)))
    if outside:
        plain = tuple(because for because in plain if because.reason != NotYet.NO_TEMPLATE)
    if plain or eligible.template_to_pick() is None:
        again = (*outside, *plain)
        return _Answer(again, again, _not_before(again, now, contact))
    found = _look_for({(None, contact.id)}, now)
    if found.planned is None:
        return _Answer((), (), found.until or _not_before((), now, contact))
    return _Answer((), (), found.planned.send_at, is_planned=True, account_id=found.planned.account_id)


def _next_step(contact: Contact, steps: Sequence[Enrolment], now: dt.datetime) -> _Answer:
    """Answer for a contact to whom a step of a campaign is to go next."""
    of_each = [tuple(sequences.against(step, now)) for step in steps]
    goes = [step for step, against in zip(steps, of_each, strict=True) if all(b.passes for b in against)]
    others = (b for b in sequences.outside(contact) if b.reason == NotYet.IN_OTHER_SEQUENCE)
    again = tuple(dict.fromkeys((*chain.from_iterable(of_each), *others)))
    found = foreseen.Found()
    if goes:
        found = _look_for({(step.campaign_id, step.contact_id) for step in goes}, now)
    if not again and found.ahead:
        again = (Because(NotYet.BEHIND_OTHERS, number=found.ahead),)
    if found.planned is not None:
        planned = found.planned
        return _Answer(again, again, planned.send_at, is_planned=True, account_id=planned.account_id)
    soonest = [_not_before(of, now, contact) for step, of in zip(steps, of_each, strict=True) if step in goes]
    known = [at for at in soonest if at is not None]
    bounds = [found.until, min(known) if known and len(known) == len(soonest) else None]
    return _Answer(again, again, max((at for at in bounds if at is not None), default=None))


def _look_for(mails: set[tuple[int | None, int]], now: dt.datetime) -> foreseen.Found:
    """Look for the first that the batch publisher is going to pick of these: campaign, or None, and contact."""

    def is_one(forecast: Forecast, planned: Planned) -> bool:
        assert isinstance(forecast.publisher, ExpectedPublisher)
        who, _ = forecast.publisher.picked.get(planned.delivery.id, (None, None))
        return who is not None and (who.campaign_id, who.contact_id) in mails

    return foreseen.look_for(is_one, now)


def _not_before(reasons: Sequence[Because], now: dt.datetime, contact: Contact) -> dt.datetime | None:
    """Return the soonest time at which none of these applies any more, in open time; None if that is not known."""
    if any(because.until is None for because in reasons):
        return None
    latest = max((because.until for because in reasons if because.until is not None), default=now)
    return SendingWindow.from_settings(settings()).soonest(latest, contact.timezone or "")


def _against_picking(contact: Contact, now: dt.datetime) -> Iterator[Because]:
    """Yield what keeps a contact from getting a plain mail."""
    yield from held.by_rules(contact, Delivery(id=0, address=contact.address, website=contact.website_id), now)
    template = eligible.template_to_pick()
    if template is None:
        is_paused = EmailTemplate.select().where(eligible.for_everybody()).exists()
        yield Because(NotYet.TEMPLATE_PAUSED if is_paused else NotYet.NO_TEMPLATE)
    elif eligible.is_done(contact, template):
        yield Because(NotYet.TEMPLATE_DONE)
    if contact.priority < settings().mail_publish_min_priority:
        yield Because(NotYet.BELOW_MIN_PRIORITY)


def _being_checked(delivery: Delivery, now: dt.datetime) -> _Answer:
    paused = delivery.template.paused_at is not None
    checked = Because(NotYet.TEMPLATE_PAUSED if paused else NotYet.BEING_CHECKED)
    return _planned((*_of_campaign(delivery, now), checked), delivery, now)


def _has_a_slot(delivery: Delivery, now: dt.datetime) -> _Answer:
    word = NotYet.SLOT_OVERDUE if delivery.send_at < now - OVERDUE else NotYet.SLOT
    because = (Because(word, delivery.send_at),)
    return _Answer(because, earliest=delivery.send_at, is_planned=True, account_id=delivery.account_id)


def _being_sent(delivery: Delivery, now: dt.datetime) -> _Answer:
    return _Answer((Because(NotYet.BEING_SENT),), earliest=now, account_id=delivery.account_id)


def _in_doubt(_delivery: Delivery, _now: dt.datetime) -> _Answer:
    return _Answer((Because(Reason.NO_OUTCOME),))


def _ready(delivery: Delivery, now: dt.datetime) -> _Answer:
    return _planned(tuple(_waits_for(delivery, now)) or (Because(NotYet.NEXT),), delivery, now)


def _planned(because: tuple[Because, ...], delivery: Delivery, now: dt.datetime) -> _Answer:
    """Return an answer with the time that the plan gives a delivery, or, where that is too far off, with a time before
    which it is not; with none where it waits for a person.
    """
    if not all(b.passes for b in because):
        return _Answer(because)
    found = foreseen.look_for(lambda _, planned: planned.delivery.id == delivery.id, now)
    if found.planned is None:
        return _Answer(because, earliest=found.until)
    return _Answer(because, (), found.planned.send_at, is_planned=True, account_id=found.planned.account_id)


def _of_campaign(delivery: Delivery, now: dt.datetime) -> Iterator[Because]:
    if delivery.campaign is not None:
        yield from held.by_campaign(delivery.campaign, SendingWindow.from_settings(settings()), now)


def _waits_for(delivery: Delivery, now: dt.datetime) -> Iterator[Because]:
    """Yield all that holds of what a `ready` delivery waits for."""
    window, seen, campaign = SendingWindow.from_settings(settings()), snapshot.outline(now), delivery.campaign
    (judged,) = snapshot.judge([delivery.id])
    is_paused = delivery.template.paused_at is not None
    yield from held.stopped(campaign, window, seen, template_is_paused=is_paused)
    if delivery.not_before is not None and delivery.not_before > now:
        yield Because(NotYet.RETRY, delivery.not_before)
    yield from held.today(campaign, judged.group, window, seen)
    if ahead := snapshot.ahead_of(judged, now):
        yield Because(NotYet.BEHIND_OTHERS, number=ahead)


_WAITS = {
    State.SELECTED: _being_checked,
    State.CLEARED: _being_checked,
    State.READY: _ready,
    State.RESERVED: _has_a_slot,
    State.SENDING: _being_sent,
    State.IN_DOUBT: _in_doubt,
}
