"""`lists list|show|add|rename|remove|put|take`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import click

from pipeline.operations import lists as operations
from pipeline.operations.lists import MembersDone
from pipeline.reports import lists as reports
from pipeline.reports.lists import ListDetails
from slowpost.cli.acting import finish, report, who
from slowpost.cli.named_contacts import contacts_argument, with_each
from slowpost.cli.output import emit, progress, show_fields, show_table
from slowpost.cli.shared import COUNT, ID, LIST, Refused, as_json, reason, with_database


@click.group()
def lists() -> None:
    """Named sets of contacts, to write to these alone. A contact can be on several.

    LIST is a list's name, in upper or lower case, or its id.
    """


@lists.command("list")
@as_json
@with_database
def list_(as_json: bool) -> None:
    """List the lists: how many contacts are on each, and how many of them could be written to now."""
    with progress("counting") as at:
        rows = reports.lists(at)
    columns = {"id": "ID", "name": "NAME", "members": "CONTACTS", "writable": "WRITABLE NOW", "created_at": "SINCE"}
    emit(rows, as_json, lambda: show_table(rows, columns, "no lists: make one with `slowpost lists add`"))


@lists.command()
@click.argument("named", metavar="LIST", type=LIST)
@click.option("--limit", default=50, show_default=True, type=COUNT, help="Contacts at most.")
@click.option("--after", default=0, type=click.IntRange(0, ID.max), help="Only contacts with a higher id.")
@as_json
@with_database
def show(named: str, limit: int, after: int, as_json: bool) -> None:
    """Show a list and who is on it, by id."""
    found = reports.details(named, limit, after)
    emit(found, as_json, lambda: _details(found))


def _details(found: ListDetails) -> None:
    show_fields(found, ("id", "name", "members", "writable", "created_at"))
    columns = {"id": "CONTACT", "email": "EMAIL", "name": "NAME", "website": "WEBSITE", "priority": "PRIORITY"}
    show_table(found.contacts, columns | {"last_contacted_at": "LAST CONTACTED"}, "nobody is on it")


@lists.command()
@click.argument("name")
@reason
@as_json
@with_database
def add(name: str, reason: str, as_json: bool) -> None:
    """Make an empty list. Its name has 1 to 100 printable characters, not only digits."""
    done = operations.add(name, who(), reason)
    finish(done, as_json, f"list {done.id}: {done.name}")


@lists.command()
@click.argument("named", metavar="LIST", type=LIST)
@click.argument("name")
@reason
@as_json
@with_database
def rename(named: str, name: str, reason: str, as_json: bool) -> None:
    """Give a list another name."""
    done = operations.rename(named, name, who(), reason)
    finish(done, as_json, f"list {done.id}: {done.name}")


@lists.command()
@click.argument("named", metavar="LIST", type=LIST)
@reason
@as_json
@with_database
def remove(named: str, reason: str, as_json: bool) -> None:
    """Remove a list. Its contacts stay, and whatever was sent to them."""
    done = operations.remove(named, who(), reason)
    finish(done, as_json, f"list {done.id}: removed; {done.members} contacts were on it")


def _members(command: Callable[..., Any]) -> Callable[..., Any]:
    argument = click.argument("named", metavar="LIST", type=LIST)
    return argument(contacts_argument(reason(as_json(with_database(command)))))


@lists.command()
@_members
def put(named: str, contacts: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Put contacts on a list. CONTACT is an id or an address; - reads one from each line of stdin.

    Contacts that are not there are refused, and the others are put on it.
    """
    change = partial(operations.put, named, who=who(), reason=reason)
    _change(change, contacts, as_json, "put on it", "were on it already")


@lists.command()
@_members
def take(named: str, contacts: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Take contacts off a list. CONTACT is an id or an address; - reads one from each line of stdin.

    Contacts that are not there are refused, and the others are taken off.
    """
    change = partial(operations.take, named, who=who(), reason=reason)
    _change(change, contacts, as_json, "taken off", "were not on it")


def _change(
    change: Callable[..., MembersDone], contacts: tuple[str, ...], as_json: bool, changed: str, unchanged: str
) -> None:
    done, refused = with_each(contacts, change)
    sentence = f"list {done.id} ({done.name}): {done.changed} {changed}, {done.unchanged} {unchanged}"
    report([], as_json, f"{sentence}, {done.refused} refused", replace(done, refused_lines=tuple(refused)))
    if refused:
        raise Refused(f"{done.refused} of {done.changed + done.unchanged + done.refused} contacts were refused")
