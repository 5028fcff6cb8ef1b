"""May this person be written to now: suppression, what was sent to the same address or website, what is on its way,
whose sequence goes on.

Each rule is written once, in two forms: a question about some deliveries, and a condition for a query of contacts. A
follow-up is kept back by suppression alone (and by its person's unfinished delivery, which a unique index sees to).
Reads only.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import SQL, Field, fn

from models import Contact, Delivery, Reason, State, SuppressionKind, database
from models.delivery import in_states
from models.states import ON_ITS_WAY, UNFINISHED
from pipeline.rules import sequences
from pipeline.rules.suppressed import suppressed_among
from pipeline.runtime.settings import Settings, settings

#: The word for each kind of suppression.
REASON_OF = {
    SuppressionKind.ADDRESS: Reason.SUPPRESSED_ADDRESS,
    SuppressionKind.DOMAIN: Reason.SUPPRESSED_DOMAIN,
}


@dataclass(frozen=True)
class Rule:
    """A rule by which another delivery keeps one from being sent.

    Attributes:
        reason: the word for it.
        same: the column in which both deliveries have the same value.
        of_contact: the same column of a contact.
        days: how long the rule applies, by the settings; 0: it is off.
        sent: True: the other was sent within these days; False: it is on its way, whenever it began.
    """

    reason: Reason
    same: Field
    of_contact: Field
    days: Callable[[Settings], int]
    sent: bool

    @property
    def is_on(self) -> bool:
        """Tell whether the settings switch it on."""
        return self.days(settings()) > 0

    def taken(self, values: Iterable[Any], but: Sequence[int], now: dt.datetime) -> set[Any]:
        """Return those `values` of the common column that deliveries other than `but` (ids) have, too."""
        some = [value for value in set(values) if value is not None]
        if not some or not self.is_on:
            return set()
        others = self.same.in_(some) & self._others(now, ON_ITS_WAY) & Delivery.id.not_in(list(but))
        return {row[0] for row in Delivery.select(self.same).where(others).tuples()}

    def lets_in(self, now: dt.datetime) -> Any:
        """Return the condition of a query of contacts that are not kept away."""
        # A selected delivery counts here, too: stage 2 would skip the contact that the publisher picks beside it.
        others = (self.same == self.of_contact) & self._others(now, UNFINISHED)
        return ~fn.EXISTS(Delivery.select(SQL("1")).where(others))

    def _others(self, now: dt.datetime, on_its_way: tuple[State, ...]) -> Any:
        if not self.sent:
            return in_states(*on_its_way)
        return in_states(State.SENT) & (Delivery.sent_at >= now - dt.timedelta(days=self.days(settings())))


_WEBSITE_ON_ITS_WAY = Rule(
    Reason.IN_FLIGHT, Delivery.website, Contact.website, lambda s: s.mail_dedupe_website_days, sent=False
)
#: In the order in which reasons are listed.
RULES = (
    Rule(Reason.CONTACTED_RECENTLY, Delivery.address, Contact.address, lambda s: s.mail_dedupe_contact_days, sent=True),
    Rule(
        Reason.WEBSITE_CONTACTED_RECENTLY,
        Delivery.website,
        Contact.website,
        lambda s: s.mail_dedupe_website_days,
        sent=True,
    ),
    _WEBSITE_ON_ITS_WAY,
)


def reasons_against(candidates: Sequence[Delivery]) -> dict[int, list[Reason]]:
    """Return all reasons against each of `candidates` (best first) that must not be mailed now.

    A delivery that is on its way to the same website is such a reason; of several candidates of one website, the first
    goes. A replay and a resend ask this, too, each with its one delivery.
    """
    now = database.now()
    ids = [d.id for d in candidates]
    suppressed = suppressed_among((d.address for d in candidates), now)
    # What is on its way is asked for before what was sent: what is sent in between is seen by the second question.
    apart = [d for d in candidates if not sequences.is_follow_up(d)]
    taken = {rule: rule.taken((_value(rule, d) for d in apart), ids, now) for rule in sorted(RULES, key=_is_sent)}
    in_sequence, ended = sequences.kept_back(candidates), sequences.ended(candidates)
    excluded = sequences.excluded(candidates)
    against: dict[int, list[Reason]] = defaultdict(list)
    for d in candidates:
        if d.address in suppressed:
            against[d.id].append(REASON_OF[suppressed[d.address]])
        if d.id in ended:
            against[d.id].append(Reason.SEQUENCE_ENDED)
        if d.id in excluded:
            against[d.id].append(Reason.ON_EXCLUDED_LIST)
        if not sequences.is_follow_up(d):
            against[d.id] += [rule.reason for rule in RULES if _value(rule, d) in taken[rule]]
        if d.id in in_sequence:
            against[d.id].append(Reason.IN_SEQUENCE)
        if not against[d.id] and _WEBSITE_ON_ITS_WAY.is_on and d.website_id:
            taken[_WEBSITE_ON_ITS_WAY].add(d.website_id)
    return {i: reasons for i, reasons in against.items() if reasons}


def conditions(now: dt.datetime, *, is_plain: bool = True) -> Iterator[Any]:
    """Yield the conditions under which a query of contacts finds those that may be written to at `now`. Suppression is
    not among them: that is checked page by page.

    Args:
        now: UTC.
        is_plain: with a plain mail; False: with the first one of a campaign in which they are enrolled.
    """
    for person in (Delivery.contact == Contact.id, Delivery.address == Contact.address):
        yield ~fn.EXISTS(Delivery.select(SQL("1")).where(person & in_states(*UNFINISHED)))
    for rule in RULES:
        if rule.is_on:
            yield rule.lets_in(now)
    yield from sequences.lets_in(is_plain=is_plain)


def is_on_its_way(contact: Contact) -> bool:
    """Tell whether a delivery is on its way to a contact, or to another with its address."""
    person = (Delivery.contact == contact.id) | (Delivery.address == contact.address)
    return bool(Delivery.select().where(person & in_states(*UNFINISHED)).exists())


def passes_at(reason: Reason, contact: Contact) -> dt.datetime | None:
    """Return from when on a rule does not apply to a contact any more (UTC); None if that is not a matter of time."""
    rule = next((rule for rule in RULES if rule.reason is reason and rule.sent), None)
    if rule is None:
        return None
    others = (rule.same == contact.__data__[rule.of_contact.name]) & in_states(State.SENT)
    last = Delivery.sent_at.python_value(Delivery.select(fn.MAX(Delivery.sent_at)).where(others).scalar())
    # A microsecond later, since at that very instant the rule still applies.
    return None if last is None else last + dt.timedelta(days=rule.days(settings()), microseconds=1)


class Picked:
    """Whom a run has picked: of one address, and of one website where that rule is on, only one."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._addresses: set[str] = set()
        self._websites: set[int] = set()

    def add(self, address: str, website_id: int | None) -> bool:
        """Pick somebody, unless there is one with this normalised address or of this website; tell whether it was."""
        if address in self._addresses or (_WEBSITE_ON_ITS_WAY.is_on and website_id in self._websites):
            return False
        self._addresses.add(address)
        if website_id is not None:
            self._websites.add(website_id)
        return True


def _is_sent(rule: Rule) -> bool:
    return rule.sent


def _value(rule: Rule, delivery: Delivery) -> Any:
    return delivery.__data__[rule.same.name]
