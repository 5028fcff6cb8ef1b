"""Forgetting a person: erased everywhere, and kept as a hash in the suppression list, so that nobody writes to them
again.

Reads: the contact, and others with the same normalised address, who are the same person. Writes, in one transaction:
deliveries cancelled, every word about the person blanked, the hash.
Trouble: a mail that is being sent at this moment stops it, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from peewee import Value

from models import (
    Action,
    Attempt,
    Cause,
    Contact,
    DeadLetter,
    Delivery,
    Reason,
    Resolution,
    SmtpAccount,
    State,
    Suppression,
    SuppressionKind,
    database,
    lookup,
)
from models.address import forms, normalise
from models.control import record_action
from models.errors import SlowpostError
from models.suppression import hashed, hashes, suppress
from pipeline.flow import TRIGGER
from pipeline.operations.cancel import cancel_where
from pipeline.operations.done import Done

#: What stands where words about a person were.
ERASED = "(erased)"
#: Columns of accounts in which people and servers write freely, and all others.
_OF_ACCOUNTS = (
    SmtpAccount.disabled_reason,
    SmtpAccount.paused_after,
    SmtpAccount.quota_after,
    SmtpAccount.rests_after,
)
_FREE_TEXT = (Action.reason, Suppression.reason, *_OF_ACCOUNTS)


class BeingSentError(SlowpostError):
    """A mail to the person is being sent at this moment."""


@dataclass(frozen=True)
class Forgotten(Done):
    """A person who has been erased.

    Attributes:
        contact_id: the contact that was named.
        contact_ids: all contacts with the same address, this one included.
    """

    contact_id: int
    contact_ids: tuple[int, ...]


def forget(contact: int | str, who: str, reason: str = "") -> Forgotten:
    """Erase the person behind a contact, in one transaction.

    Args:
        contact: the contact's id or address; others with the same normalised address are erased with it.
        who: who does it; kept with the action.
        reason: why; kept with the action, without the person's address.

    Raises:
        NotThereError: there is no such contact, or it has been forgotten.
        BeingSentError: a mail to the person is on its way to the server; try again in a minute.
    """
    with database.transaction():
        named = lookup.contact_of(str(contact))
        _lock_what_people_write()
        # Locked before the deliveries are read: stage 1, which locks contacts too, adds none in between.
        person = normalise(named.address)
        of_address = Contact.select().where(Contact.address.in_(forms(person))).order_by(Contact.id)
        now, same = database.now(), list(database.for_update(of_address))
        of_person = Delivery.contact.in_([c.id for c in same])
        database.lock_throttle()
        deliveries = list(database.for_update(Delivery.select().where(of_person).order_by(Delivery.id)))
        if any(d.state == State.SENDING for d in deliveries):
            raise BeingSentError(f"a mail to contact {named.id} is being sent: try again in a minute")
        cancel_where(of_person, Cause.FORGET, Reason.FORGOTTEN)
        record_action(who, "forget", f"contact {named.id}", now, reason)
        written = {*forms(person), *(c.email for c in same), *(d.recipient for d in deliveries)}
        _erase(same, of_person, person)
        _erase_mentions(written)
        suppress(SuppressionKind.ADDRESS, [hashed(person)], "forgotten", now)
    return Forgotten(named.id, tuple(c.id for c in same), handoffs=(TRIGGER,))


def forgotten_among(addresses: Iterable[str]) -> set[str]:
    """Return which of the normalised `addresses` belong to people who have been forgotten."""
    by_hash = {value: a for a in addresses for value in hashes(a)}
    which = (Suppression.kind == SuppressionKind.ADDRESS) & Suppression.value.in_(sorted(by_hash))
    return {by_hash[value] for (value,) in Suppression.select(Suppression.value).where(which).tuples()}


def _lock_what_people_write() -> None:
    """Lock the rows that may name a person, before the person's own, as `database.LOCK_ORDER` has it."""
    database.lock_rows(DeadLetter, DeadLetter.body.is_null(False))
    written = (column.is_null(False) for column in _OF_ACCOUNTS)
    database.lock_rows(SmtpAccount, reduce(or_, written))


def _erase(contacts: list[Contact], of_person: Any, person: str) -> None:
    """Blank the rows that are about the person, whose hash stands where the address was."""
    now, mark = database.now(), hashed(person)
    mine = Delivery.select(Delivery.id).where(of_person)
    Attempt.update(text="").where(Attempt.delivery.in_(mine)).execute()
    DeadLetter.update(detail="").where(DeadLetter.delivery.in_(mine)).execute()
    no_words = dict.fromkeys(("detail", "subject", "text", "html", "preheader"))
    Delivery.update(recipient="forgotten", address=mark, updated_at=now, **no_words).where(of_person).execute()
    which_address = (Suppression.kind == SuppressionKind.ADDRESS) & Suppression.value.in_(forms(person))
    Suppression.delete().where(which_address).execute()
    Contact.update(
        email=Value("forgotten-").concat(Contact.id.cast("TEXT")).concat("@forgotten.invalid"),
        address=mark,
        address_valid=False,
        validated=False,
        name="",
        website=None,
        timezone=None,
        extra={},
        forgotten_at=now,
        updated_at=now,
    ).where(Contact.id.in_([c.id for c in contacts])).execute()


def _erase_mentions(written: set[str]) -> None:
    """Blank what people, programs and servers have written that names the address, wherever it stands."""
    for column in _FREE_TEXT:
        for address in written:
            column.model.update({column: ERASED}).where(column.contains(address)).execute()
    needles = [address.lower().encode() for address in written]
    for letter in DeadLetter.select().where(DeadLetter.body.is_null(False)).iterator():
        words = bytes(letter.body) + f" {letter.reason} {letter.detail}".encode()
        if any(needle in words.lower() for needle in needles):
            # Without its words it can't be replayed: it is closed with them.
            blank = {"body": b"", "reason": ERASED, "detail": "", "resolution": Resolution.DISCARDED}
            closed = {"resolved_at": letter.resolved_at or database.now()}
            DeadLetter.update(**blank, **closed).where(DeadLetter.id == letter.id).execute()
