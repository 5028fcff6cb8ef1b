"""Addresses in their one form: `"carol"@example.com` is carol@example.com, whatever the version before has stored.

No table changes. Contacts that have one mailbox become one: the older stays, and gets the younger's deliveries. Of two
deliveries that are on their way to one person then, or one to a person whose other spelling was written to already, the
waiting one is skipped. Every such row is told of. Hashes of forgotten people stay as they are, and are asked for in the
old form, too (`models.address.forms`).

The version before may be at work meanwhile: it waits until this transaction has ended.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from operator import attrgetter
from typing import Any

import peewee
from peewee import fn
from peewee_migrate import Migrator

from models import Cause, Contact, Delivery, Reason, State, Suppression, SuppressionKind, transition
from models import database as db
from models.address import mailbox, normalise
from models.control import PROGRAM, record_action
from models.delivery import by_id, in_states, of_ids
from models.errors import SlowpostError
from models.states import NOT_CLAIMED, UNFINISHED

#: Rows asked for, or changed, together.
BATCH = 500
#: Deliveries that have been judged by what was sent to their address, and would not be judged again.
JUDGED = (State.CLEARED, State.READY, State.RESERVED)
_OF_CONTACT = (
    *(Contact.id, Contact.email, Contact.address, Contact.address_valid, Contact.name, Contact.website),
    *(Contact.timezone, Contact.validated, Contact.extra, Contact.last_contacted_at),
)
_OF_SUPPRESSION = (Suppression.id, Suppression.kind, Suppression.value)


def migrate(migrator: Migrator, database: peewee.Database, *, fake: bool = False) -> None:
    """Bring the rows to it. (Where it has been done, it is replayed without a database.)"""
    if not fake:
        migrator.run(_bring_to_one_form, migrator.tell)


def _bring_to_one_form(tell: Callable[[str], None]) -> None:
    _lock("contact")
    merged = _contacts()
    db.lock_throttle()
    _lock("delivery", "suppression")
    _deliveries(tell)
    for kept, younger in merged:
        _move(kept, younger, tell)
    _suppressions(tell)


def _lock(*tables: str) -> None:
    if db.is_postgres():
        db.db.execute_sql(f"LOCK TABLE {', '.join(tables)} IN SHARE ROW EXCLUSIVE MODE")


def _contacts() -> list[tuple[Contact, Contact]]:
    """Write contacts' normalised addresses; return those that are one, the older first, which has what it lacked."""
    unusual = list(Contact.select(*_OF_CONTACT).where(_is_unusual(Contact.email) & Contact.forgotten_at.is_null()))
    changed = {c.id: normalise(c.email) for c in unusual if c.address != normalise(c.email)}
    for batch in _batches(sorted(changed)):
        Contact.update(address=peewee.Case(Contact.id, [(i, changed[i]) for i in batch])).where(
            Contact.id.in_(batch)
        ).execute()
    usual: list[Contact] = []
    for batch in _batches(sorted({mailbox(c.email) for c in unusual})):
        which = fn.LOWER(Contact.email).in_(batch) & ~_is_unusual(Contact.email) & Contact.forgotten_at.is_null()
        usual.extend(Contact.select(*_OF_CONTACT).where(which))
    merged = []
    by_mailbox = sorted([*unusual, *usual], key=lambda c: (mailbox(c.email), c.id))
    for _, same in groupby(by_mailbox, key=lambda c: mailbox(c.email)):
        kept, *younger = same
        merged += [(kept, other) for other in younger]
        for other in younger:
            _lay_under(kept, other)
        if younger:
            Contact.update(**{f.name: kept.__data__[f.name] for f in _OF_CONTACT[3:]}, updated_at=db.now()).where(
                Contact.id == kept.id
            ).execute()
    return merged


def _lay_under(kept: Contact, other: Contact) -> None:
    """Give the contact that stays what it lacks; whoever one of the two keeps from being written to, both do."""
    kept.address_valid = kept.address_valid and other.address_valid
    kept.validated = kept.validated and other.validated
    kept.name = kept.name or other.name
    kept.website = kept.website_id or other.website_id
    kept.timezone = kept.timezone or other.timezone
    kept.extra = other.extra | kept.extra
    contacted = [at for at in (kept.last_contacted_at, other.last_contacted_at) if at is not None]
    latest: Any = max(contacted, default=None)
    kept.last_contacted_at = latest


def _move(kept: Contact, younger: Contact, tell: Callable[[str], None]) -> None:
    """Give the deliveries of the younger contact to the one that stays, and delete it."""
    # Both may have come in one message, and a contact has one delivery of a message.
    source = Delivery.source.concat(f" (contact {younger.id})")
    moved = Delivery.update(contact=kept.id, source=source).where(Delivery.contact == younger.id).execute()
    waiting = (Delivery.contact == kept.id) & in_states(*NOT_CLAIMED)
    Delivery.update(timezone=kept.timezone or "").where(waiting).execute()
    Contact.delete().where(Contact.id == younger.id).execute()
    record_action(PROGRAM, "merge", f"contact {younger.id}", db.now(), f"into contact {kept.id}")
    tell(
        f"contact {younger.id} ({younger.email!r}) is contact {kept.id} ({kept.email!r}) now, "
        f"which got its deliveries: {moved}"
    )


def _deliveries(tell: Callable[[str], None]) -> None:
    """Write deliveries' normalised addresses; end those that would be a second mail to somebody."""
    unusual = Delivery.select(Delivery.id, Delivery.address, Delivery.recipient).where(_is_unusual(Delivery.address))
    changed = {d.id: normalise(d.recipient) for d in unusual if d.address != normalise(d.recipient)}
    matter = in_states(*UNFINISHED) | in_states(State.SENT)
    several: list[Delivery] = []
    for batch in _batches(sorted(set(changed.values()))):
        several.extend(_to_judge().where(Delivery.address.in_(batch) & matter))
    for batch in _batches(sorted(changed)):
        several.extend(_to_judge().where(of_ids(batch) & matter))
    several = list({d.id: d for d in several}.values())
    for d in several:
        d.person = changed.get(d.id, d.address)
    for _, of_person in groupby(sorted(several, key=attrgetter("person", "id")), key=attrgetter("person")):
        _keep_one(list(of_person), tell)
    for batch in _batches(sorted(changed)):
        Delivery.update(address=by_id({i: changed[i] for i in batch})).where(of_ids(batch)).execute()


def _to_judge() -> Any:
    return Delivery.select(Delivery.id, Delivery.address, Delivery.state)


def _keep_one(of_person: list[Delivery], tell: Callable[[str], None]) -> None:
    """Of deliveries to one person, leave one on its way: what is claimed or in doubt, else the oldest; and none if
    another spelling of the person was written to.
    """
    order = (State.SENDING, State.IN_DOUBT)
    unfinished = sorted(
        (d for d in of_person if d.state != State.SENT), key=lambda d: order.index(d.state) if d.state in order else 2
    )
    for first, second in ((unfinished[0], d) for d in unfinished[1:]):
        if second.state == State.SENDING:
            raise SlowpostError(
                f"deliveries {first.id} and {second.id} are being sent to one person: run it again in a minute"
            )
        if second.state == State.IN_DOUBT:
            # Whatever a person decides about the first, it is not sent again beside this one.
            transition(
                *(State.IN_DOUBT, State.SENT, of_ids([second.id])),
                cause=Cause.MIGRATION,
                reason=Reason.RESOLVED_SENT,
                sent_at=db.now(),
                recorded_at=None,
            )
            tell(f"delivery {second.id} was in doubt and counts as sent, since delivery {first.id} is to the same person")
        else:
            _skip(second, Reason.IN_FLIGHT, tell)
    sent_as = {d.address for d in of_person if d.state == State.SENT}
    if unfinished and unfinished[0].state in JUDGED and sent_as - {unfinished[0].address}:
        _skip(unfinished[0], Reason.CONTACTED_RECENTLY, tell)


def _skip(delivery: Delivery, reason: Reason, tell: Callable[[str], None]) -> None:
    transition(State(delivery.state), State.SKIPPED, of_ids([delivery.id]), cause=Cause.MIGRATION, reason=reason)
    tell(f"delivery {delivery.id} is skipped ({reason}): there is another to the same person")


def _suppressions(tell: Callable[[str], None]) -> None:
    """Write suppressed addresses in their normalised form; those that are one become one."""
    addresses = Suppression.kind == SuppressionKind.ADDRESS
    unusual = Suppression.select(*_OF_SUPPRESSION).where(addresses & _is_unusual(Suppression.value))
    for row in list(unusual.order_by(Suppression.id)):
        value = normalise(_whole(row.value))
        if value == row.value:
            continue
        there = Suppression.select(*_OF_SUPPRESSION).where(addresses & (Suppression.value == value)).first()
        if there is None:
            Suppression.update(value=value).where(Suppression.id == row.id).execute()
        else:
            Suppression.delete().where(Suppression.id == row.id).execute()
            tell(f"the suppression of {row.value!r} is that of {value!r} now")


def _whole(value: str) -> str:
    """Return a suppressed address with the quote at its end, which went with the tag (Gmail)."""
    local, _, domain = value.rpartition("@")
    return f'{local}"@{domain}' if local.startswith('"') and not local.endswith('"') else value


def _is_unusual(column: peewee.Field) -> Any:
    """Return the condition that a column has a quote, or is not ASCII: all others are in their form already."""
    octets = fn.OCTET_LENGTH(column) if db.is_postgres() else fn.LENGTH(column.cast("BLOB"))
    return column.contains('"') | (octets != fn.LENGTH(column))


def _batches(values: Iterable[Any]) -> Iterator[list[Any]]:
    left = iter(values)
    while batch := list(islice(left, BATCH)):
        yield batch
