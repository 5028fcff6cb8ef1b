"""Who has been written to, and to whom something is on its way, as the forecast comes along: the rules of
`duplicates` and `sequences` about first mails, asked of what is stored and of what is planned. Reads only.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any, Protocol

from peewee import Field, fn

from models import Delivery, State
from models.delivery import in_states
from models.states import UNFINISHED
from pipeline.capacity.usage import to_time
from pipeline.flow import chunks
from pipeline.rules import duplicates, sequences
from pipeline.runtime.settings import settings

#: Values named in one statement.
BATCH = 500

#: Something that a mail has in common with others: the name of the column, and its value.
Common = tuple[str, Any]


class Person(Protocol):
    """Somebody who may be written to; `address` is normalised."""

    @property
    def contact_id(self) -> int:
        """The contact."""

    @property
    def address(self) -> str:
        """Its normalised address."""

    @property
    def website(self) -> int | None:
        """Its website."""


class Contacted:
    """What keeps first mails back."""

    def __init__(self) -> None:
        """Know of nobody yet."""
        self._rules = [
            (rule.of_contact.name, dt.timedelta(days=rule.days(settings())) if rule.sent else None)
            for rule in duplicates.RULES
            if rule.is_on
        ]
        self._asked: set[Common] = set()
        self._sent: dict[Common, dt.datetime] = {}
        self._on_its_way: Counter[Common] = Counter()
        self._of_delivery: dict[int, set[Common]] = defaultdict(set)
        self._begun: dict[int | None, set[int]] = defaultdict(set)
        self._enrolled: set[str] = set()

    def read(self, people: Iterable[Person], now: dt.datetime) -> None:
        """Read what is stored about people at `now` (UTC)."""
        new = {common for person in people for common in _of(person)} - self._asked
        self._asked |= new
        for column in (Delivery.contact, Delivery.address, Delivery.website):
            for some in chunks(sorted(value for name, value in new if name == column.name), BATCH):
                self._read_unfinished(column, some)
                if column is Delivery.website:
                    for website_id, contact_ids in sequences.written_to(some).items():
                        self._begun[website_id] |= contact_ids
                for rule in duplicates.RULES:
                    if rule.is_on and rule.sent and rule.same is column:
                        self._read_sent(column, some, now - dt.timedelta(days=rule.days(settings())))

    def _read_unfinished(self, column: Field, values: list[Any]) -> None:
        rows = Delivery.select(Delivery.id, column).where(column.in_(values) & in_states(*UNFINISHED))
        for delivery_id, value in rows.tuples():
            self._of_delivery[delivery_id].add((column.name, value))
            self._on_its_way[column.name, value] += 1

    def _read_sent(self, column: Field, values: list[Any], since: dt.datetime) -> None:
        sent = column.in_(values) & in_states(State.SENT) & (Delivery.sent_at >= since)
        for value, at in Delivery.select(column, fn.MAX(Delivery.sent_at)).where(sent).group_by(column).tuples():
            if (last := to_time(at)) is not None:
                self._sent[column.name, value] = last

    def lets_in(self, person: Person, now: dt.datetime, *, is_plain: bool) -> bool:
        """Tell whether a plain mail may go to somebody at `now` (UTC), or a first one of a campaign."""
        of = dict(_of(person))
        if any(self._on_its_way[name, of[name]] for name in ("contact", "address")):
            return False
        for name, days in self._rules:
            common = name, of.get(name)
            if days is None and self._on_its_way[common]:
                return False
            if days is not None and common in self._sent and self._sent[common] >= now - days:
                return False
        if is_plain and person.address in self._enrolled:
            return False
        return person.website is None or not self._begun[person.website] - {person.contact_id}

    def enrols(self, person: Person) -> None:
        """Take note of somebody who is put into a campaign."""
        self._enrolled.add(person.address)

    def enters(self, delivery_id: int, person: Person) -> None:
        """Take note of a mail that is put onto the route."""
        self._of_delivery[delivery_id] = set(_of(person))
        self._on_its_way.update(self._of_delivery[delivery_id])

    def sent(self, delivery_id: int, at: dt.datetime) -> None:
        """Take note of a mail that is sent at `at` (UTC)."""
        for common in self._of_delivery.pop(delivery_id, ()):
            self._on_its_way[common] -= 1
            self._sent[common] = at

    def goes_on(self, person: Person, *, goes_on: bool) -> None:
        """Take note of somebody who has been written to in a sequence that goes on, or has ended with that."""
        if not goes_on:
            self._begun[person.website].discard(person.contact_id)
        elif settings().mail_dedupe_website_days > 0:
            self._begun[person.website].add(person.contact_id)


def _of(person: Person) -> Iterable[Common]:
    yield "contact", person.contact_id
    yield "address", person.address
    if person.website is not None:
        yield "website", person.website
