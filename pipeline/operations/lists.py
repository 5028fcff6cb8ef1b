"""What a person does to a list of contacts: made, renamed, removed, contacts put on it and taken off.

Writes: the list, who is on it, and the action with its reason. No contact changes, and no delivery.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import peewee

from models import Campaign, CampaignList, Contact, ContactList, ListMember, database, lookup
from models.base import insert_new
from models.contact_list import enlist, key_of
from models.control import record_action
from pipeline.operations import fields
from pipeline.operations.batches import Record, in_batches
from pipeline.operations.csv_rows import Listener, RefusedLine, Row, Summary
from pipeline.operations.done import Done, OperationRefusedError


@dataclass(frozen=True)
class ListDone(Done):
    """A list that something was done to.

    Attributes:
        id: the list.
        name: what you call it; a removed one: what you called it.
        members: contacts on it; a removed one: those that were on it.
    """

    id: int
    name: str
    members: int


@dataclass(frozen=True)
class MembersDone(Done):
    """Contacts that were put on a list, or taken off it.

    Attributes:
        id: the list.
        name: what you call it.
        changed: contacts that were put on it, or taken off.
        unchanged: those that were on it already, or not on it at all.
        refused: those that are not there.
        refused_lines: which those are, by their place among those that were named; each is on stderr, too.
    """

    id: int
    name: str
    changed: int
    unchanged: int
    refused: int
    #: Filled in by whoever listened and has kept them.
    refused_lines: tuple[RefusedLine, ...] = ()


def add(name: str, who: str, reason: str = "") -> ListDone:
    """Make an empty list.

    Raises:
        FieldError: it can't have that name.
        OperationRefusedError: another list has it.
    """
    name = fields.list_name(name)
    with database.transaction():
        made = _made(name, who, reason)
        if made is None:
            raise _name_taken(name)
    return ListDone(made, name, 0)


def rename(named: str, name: str, who: str, reason: str = "") -> ListDone:
    """Give a list another name.

    Args:
        named: the list, by its name or id.
        name: its name from now on.
        who: who does it; kept with the action.
        reason: why; kept with the action.

    Raises:
        NotThereError: there is no such list.
        FieldError: it can't have that name.
        OperationRefusedError: another list has it.
    """
    name = fields.list_name(name)
    try:
        with database.transaction():
            found = _locked(lookup.contact_list(named).id)
            ContactList.update(name=name, key=key_of(name)).where(ContactList.id == found.id).execute()
            record_action(who, "rename", f"list {found.id}", database.now(), reason)
    except peewee.IntegrityError:
        raise _name_taken(name) from None
    return ListDone(found.id, name, _members(found.id))


def remove(named: str, who: str, reason: str = "") -> ListDone:
    """Remove a list, by its name or id; its contacts stay. Raises NotThereError, OperationRefusedError: a campaign has
    it.
    """
    with database.transaction():
        found = _locked(lookup.contact_list(named).id)
        campaigns = Campaign.select(Campaign.name).join(CampaignList).where(CampaignList.list == found.id)
        if (campaign := campaigns.order_by(Campaign.id).first()) is not None:
            raise OperationRefusedError(f"list {found.id} ({found.name}) is in the campaign {campaign.name!r}")
        members = _members(found.id)
        # In the order in which all lock them; they go with the list.
        database.lock_rows(ListMember, ListMember.list == found.id)
        ContactList.delete().where(ContactList.id == found.id).execute()
        record_action(who, "remove", f"list {found.id}", database.now(), reason)
    return ListDone(found.id, found.name, members)


def put(named: str, contacts: Iterable[str], listener: Listener, who: str, reason: str = "") -> MembersDone:
    """Put contacts on a list, batch by batch.

    Args:
        named: the list, by its name or id.
        contacts: each an id or an address.
        listener: who is told of refused contacts, and how it goes.
        who: who does it; kept with the action.
        reason: why; kept with the action.

    Raises:
        NotThereError: there is no such list, or no longer.
    """
    return _change(named, contacts, listener, Record(who, "put", "", reason), lambda on, ids: enlist([on], ids))


def take(named: str, contacts: Iterable[str], listener: Listener, who: str, reason: str = "") -> MembersDone:
    """Take contacts off a list, batch by batch; see `put`."""
    return _change(named, contacts, listener, Record(who, "take", "", reason), _take_off)


def demand(names: Sequence[str]) -> None:
    """Refuse what `find_or_make` would refuse.

    Raises:
        FieldError: a list can't have that name.
        NotThereError: there is no list with that id.
    """
    for name in names:
        if lookup.is_id(name):
            lookup.contact_list(name)
        else:
            fields.list_name(name)


def find_or_make(names: Sequence[str], who: str) -> list[int]:
    """Lock lists, by their names or ids, and return their ids; a name that no list has makes one. In the caller's
    transaction.
    """
    for name in names:
        if not lookup.is_id(name):
            _made(fields.list_name(name), who, "")
    ids = sorted({lookup.contact_list(name).id for name in names})
    database.lock_rows(ContactList, ContactList.id.in_(ids))
    return ids


def _made(name: str, who: str, reason: str) -> int | None:
    """Make a list; return its id, or None where there is one with this name."""
    made = insert_new(ContactList, name=name, key=key_of(name), created_at=database.now())
    if made is not None and who:
        record_action(who, "add", f"list {made}", database.now(), reason)
    return made


def _locked(list_id: int) -> ContactList:
    query = database.for_update(ContactList.select().where(ContactList.id == list_id))
    return query.first() or lookup.contact_list(str(list_id))


def _members(list_id: int) -> int:
    return int(ListMember.select().where(ListMember.list == list_id).count())


def _name_taken(name: str) -> OperationRefusedError:
    return OperationRefusedError(f"there is a list {name!r} already")


#: Changes who is on a list: its id, contacts' ids; tells how many that changes.
_Change = Callable[[int, set[int]], int]


def _change(named: str, contacts: Iterable[str], listener: Listener, record: Record, change: _Change) -> MembersDone:
    found = lookup.contact_list(named)
    record = replace(record, subject=f"list {found.id}")
    store = partial(_store, list_id=found.id, change=change)
    rows = contacts_in(contacts, listener)
    done = in_batches(rows, lambda row: row["contact"], store, listener, record, (ListMember,))
    return MembersDone(found.id, found.name, done.added, done.unchanged, done.refused)


def contacts_in(contacts: Iterable[str], listener: Listener) -> Iterator[tuple[int, Row | None]]:
    """Yield the contact that each of some texts names, with its place; None where it can name none, which is told."""
    for number, text in enumerate(contacts, 1):
        try:
            if text.strip():
                yield number, {"contact": fields.contact(text)}
        except fields.FieldError as error:
            listener.refused(number, str(error))
            yield number, None


def ids_of(rows: dict[str, Row], lines: dict[str, int], listener: Listener) -> list[int]:
    """Return the ids of the contacts that rows of `contacts_in` name; those that are not there are told."""
    ids = []
    for text, meant in lookup.contacts_of(rows).items():
        if isinstance(meant, Contact):
            ids.append(meant.id)
        else:
            listener.refused(lines[text], str(meant))
    return ids


def _store(
    rows: dict[str, Row],
    lines: dict[str, int],
    summary: Summary,
    listener: Listener,
    *,
    list_id: int,
    change: _Change,
) -> None:
    _locked(list_id)
    before = lookup.contacts_of(rows).values()
    database.lock_rows(Contact, Contact.id.in_([c.id for c in before if isinstance(c, Contact)]))
    # Asked again when they are locked: nobody is forgotten between here and the commit.
    ids = ids_of(rows, lines, listener)
    changed = change(list_id, set(ids))
    summary.refused += len(rows) - len(ids)
    summary.added += changed
    summary.unchanged += len(ids) - changed


def _take_off(list_id: int, contact_ids: set[int]) -> int:
    which = (ListMember.list == list_id) & ListMember.contact.in_(contact_ids)
    return int(ListMember.delete().where(which).execute())
