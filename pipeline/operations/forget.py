"""Forgetting a person: erased everywhere, and kept as a hash in the suppression list, so that nobody writes to them
again.

Reads: the contact, and others with the same normalised address, who are the same person. Writes, in one transaction:
deliveries cancelled, enrolments ended, every word about the person blanked, the hash, and the key that it is made with
if it is the first. What is erased and what stays: `docs/forgetting.md`.
Trouble: a mail that is being sent at this moment stops it, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

from peewee import Value

from models import (
    Action,
    Attempt,
    Campaign,
    Cause,
    Contact,
    DeadLetter,
    Delivery,
    DomainCheck,
    Enrolment,
    EnrolmentState,
    InboundMail,
    ListMember,
    Purpose,
    Reason,
    Resolution,
    SmtpAccount,
    State,
    Suppression,
    SuppressionKind,
    Website,
    database,
    lookup,
    on_disk,
)
from models.address import forms, normalise
from models.control import record_action
from models.delivery import FORGOTTEN, by_id
from models.enrolment import ends
from models.errors import SlowpostError
from models.suppression import suppress
from pipeline.flow import TRIGGER
from pipeline.operations import erased_websites, keyed_hashes
from pipeline.operations.cancel import cancel_where
from pipeline.operations.done import Done
from pipeline.operations.mentions import ERASED, Person, named_by
from pipeline.rules import forgotten
from pipeline.rules.addresses import domain_of
from pipeline.rules.domains import DOMAIN
from pipeline.runtime import keys, secret_key

#: Columns of accounts and campaigns in which people and servers write freely, and all others.
_OF_ACCOUNTS = (
    SmtpAccount.disabled_reason,
    SmtpAccount.paused_after,
    SmtpAccount.quota_after,
    SmtpAccount.rests_after,
)
_OF_CAMPAIGNS = (Campaign.no_footer_because, Campaign.paused_after)
_FREE_TEXT = (Action.reason, Suppression.reason, *_OF_ACCOUNTS, *_OF_CAMPAIGNS)
#: A dead letter's reason that quotes what a stranger has written, or a row.
_QUOTES = ('"', "fault: ")


class BeingSentError(SlowpostError):
    """A mail to the person is being sent at this moment."""


class BeingImportedError(SlowpostError):
    """The contact is being imported with another website at this moment."""


@dataclass(frozen=True)
class Forgotten(Done):
    """A person who has been erased.

    Attributes:
        contact_id: the contact that was named.
        contact_ids: all contacts with the same address, this one included.
        new_key: the key file, if one was made.
    """

    contact_id: int
    contact_ids: tuple[int, ...]
    new_key: Path | None = None


def forget(contact: int | str, who: str, reason: str = "") -> Forgotten:
    """Erase the person behind a contact, in one transaction.

    Args:
        contact: the contact's id or address; others with the same normalised address are erased with it.
        who: who does it; kept with the action.
        reason: why; kept with the action, without the person's address and name.

    Raises:
        NotThereError: there is no such contact, or it has been forgotten.
        BeingSentError, BeingImportedError: try again in a minute.
        SecretKeyError, KeyLockedError: the hash can't be made here.
    """
    with secret_key.noticing_a_new_one() as new_key, database.transaction():
        named = lookup.contact_of(str(contact))
        key = keys.make(Purpose.FORGOTTEN)
        _lock_what_people_write()
        # Locked before the deliveries are read: stage 1, which locks contacts too, adds none in between.
        person = normalise(named.address)
        of_address = Contact.select().where(Contact.address.in_(forms(person))).order_by(Contact.id)
        websites = {c.website_id for c in of_address if c.website_id is not None}
        database.lock_rows(Website, Website.id.in_(websites))
        now, same = database.now(), list(database.for_update(of_address))
        if {c.website_id for c in same} - {None, *websites}:
            raise BeingImportedError(f"contact {named.id} is being imported: try again in a minute")
        of_person = Delivery.contact.in_([c.id for c in same])
        mine = ListMember.contact.in_([c.id for c in same])
        database.lock_rows(ListMember, mine)
        ListMember.delete().where(mine).execute()
        database.lock_throttle()
        deliveries = list(database.for_update(Delivery.select().where(of_person).order_by(Delivery.id)))
        if any(d.state == State.SENDING for d in deliveries):
            raise BeingSentError(f"a mail to contact {named.id} is being sent: try again in a minute")
        cancel_where(of_person, Cause.FORGET, Reason.FORGOTTEN)
        ends(Enrolment.contact.in_([c.id for c in same]), EnrolmentState.FORGOTTEN, now, Reason.FORGOTTEN)
        record_action(who, "forget", f"contact {named.id}", now, reason)
        _erase(same, of_person, person)
        domains = erased_websites.erase(Website.id.in_(websites), key)
        _erase_mentions(_person(same, deliveries, domains, person), deliveries)
        suppress(SuppressionKind.ADDRESS, [forgotten.kept(key, person)], "forgotten", now)
    # Now at the latest there is a key for what versions before have left.
    keyed_hashes.bring_up_to_date()
    database.after_commit(on_disk.empty_log)
    return Forgotten(named.id, tuple(c.id for c in same), new_key.path, handoffs=(TRIGGER,))


def _lock_what_people_write() -> None:
    """Lock the rows that may name a person, before the person's own, as `database.LOCK_ORDER` has it."""
    database.lock_rows(DeadLetter, DeadLetter.body.is_null(False))
    for model, columns in ((SmtpAccount, _OF_ACCOUNTS), (Campaign, _OF_CAMPAIGNS)):
        database.lock_rows(model, reduce(or_, (column.is_null(False) for column in columns)))


def _person(contacts: list[Contact], deliveries: list[Delivery], domains: Iterable[str], address: str) -> Person:
    """Return by what a person is to be found; names of before an import stand in nothing but rendered mails."""
    names = {name for c in contacts for name in named_by(c.name)}
    written = {*forms(address), *(c.email for c in contacts), *(d.recipient for d in deliveries)}
    return Person(frozenset(c.id for c in contacts), frozenset(forms(address)), frozenset({*written, *names, *domains}))


def _erase(contacts: list[Contact], of_person: Any, person: str) -> None:
    """Blank the rows that are about the person alone."""
    now = database.now()
    mine = Delivery.select(Delivery.id).where(of_person)
    Attempt.update(text="").where(Attempt.delivery.in_(mine)).execute()
    DeadLetter.update(detail="").where(DeadLetter.delivery.in_(mine)).execute()
    InboundMail.update(evidence="").where(InboundMail.delivery.in_(mine)).execute()
    no_words = dict.fromkeys(("detail", "subject", "text", "html", "preheader", "wire_message_id"))
    nobody = {"recipient": FORGOTTEN, "address": _placeholder(Delivery.contact), "timezone": ""}
    Delivery.update(**nobody, **no_words, updated_at=now).where(of_person).execute()
    which_address = (Suppression.kind == SuppressionKind.ADDRESS) & Suppression.value.in_(forms(person))
    Suppression.delete().where(which_address).execute()
    Contact.update(
        email=_placeholder(Contact.id),
        address=_placeholder(Contact.id),
        address_valid=False,
        validated=False,
        name="",
        website=None,
        timezone=None,
        extra={},
        forgotten_at=now,
        updated_at=now,
    ).where(Contact.id.in_([c.id for c in contacts])).execute()
    domain = domain_of(contacts[0].address)
    if not Contact.select().where((domain == DOMAIN) & Contact.forgotten_at.is_null()).exists():
        DomainCheck.delete().where(DomainCheck.domain == domain).execute()


def _placeholder(contact_id: Any) -> Any:
    """Return the address of a forgotten contact: no two have the same, and it tells nothing."""
    return Value("forgotten-").concat(contact_id.cast("TEXT")).concat("@forgotten.invalid")


def _erase_mentions(person: Person, deliveries: list[Delivery]) -> None:
    """Blank what people, programs and servers have written that names the person, wherever it stands."""
    for column in _FREE_TEXT:
        written = column.model.select(column).where(column != "").distinct().tuples()
        naming = [text for (text,) in written if person.is_named_in(text)]
        column.model.update({column: ERASED}).where(column.in_(naming)).execute()
    # The id of a message that another program has sent; a redelivery meets no contact any more.
    sources = {d.id: f"{FORGOTTEN}-{d.id}" for d in deliveries if person.is_named_in(d.source)}
    if sources:
        Delivery.update(source=by_id(sources)).where(Delivery.id.in_(list(sources))).execute()
    for letter in DeadLetter.select().where(DeadLetter.body.is_null(False)).iterator():
        _erase_in_letter(person, letter)


def _erase_in_letter(person: Person, letter: DeadLetter) -> None:
    """Blank what names the person in a message's dead letter. An open one is closed, and one without these words takes
    its place: what it asks for others is not lost, and its copy on RabbitMQ goes.
    """
    body = bytes(letter.body)
    blanked = person.blanked_body(body)
    named = any(person.is_named_in(text) for text in (letter.reason, letter.detail, letter.message_id or ""))
    quoted = any(quote in letter.reason for quote in _QUOTES) and person.is_asked_for_by(body)
    if not named and not quoted and blanked == body:
        return
    wordless = {"reason": ERASED, "detail": "", "message_id": None}
    if letter.resolved_at is None:
        common = {"kind": letter.kind, "queue": letter.queue, "created_at": letter.created_at}
        DeadLetter.insert(**common, **wordless, body=blanked).execute()
    closed_at, how = letter.resolved_at or database.now(), letter.resolution or Resolution.DISCARDED
    DeadLetter.update(**wordless, body=b"", resolved_at=closed_at, resolution=how).where(
        DeadLetter.id == letter.id
    ).execute()
