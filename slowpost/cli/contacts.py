"""`contacts import|list|find|show|check|replied|forget`; `story` has a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import click

from pipeline.operations import forget as forgetting
from pipeline.operations import imports, stops
from pipeline.operations.check_contacts import ContactsChecked
from pipeline.reports import contacts as reports
from pipeline.reports.contacts import ContactDetails, ContactRow
from pipeline.reports.reasons import WORDS
from slowpost.cli.acting import report, say_where_the_key_is, who
from slowpost.cli.importing import import_options, run_import
from slowpost.cli.named_contacts import contacts_argument, each_named
from slowpost.cli.output import cell, emit, progress, show_fields, show_table
from slowpost.cli.saying import say
from slowpost.cli.shared import (
    CONTACT,
    COUNT,
    ID,
    Refused,
    as_json,
    lists_option,
    problem_of,
    reason,
    with_database,
)
from slowpost.cli.story import show_what_came_back, story
from slowpost.handing_on import hand_on


@click.group()
def contacts() -> None:
    """The people you write to."""


@contacts.command("import")
@import_options
@lists_option("Put each contact of the file on this list, which is made if it is not there")
@with_database
def import_(file: str, lists: tuple[str, ...], as_json: bool, strict: bool) -> None:
    """Import contacts from a CSV file (- for stdin), as often as you like.

    Columns: email (required), name, website (a domain or URL; made if new), priority (0 to 9), timezone, validated
    (yes or no, default yes). Every other column reaches the template as contact.<column>. An address that is there is
    updated.
    """
    run_import(file, partial(imports.contacts, onto=lists), as_json, strict=strict)


@contacts.command("list")
@click.option("--limit", default=50, show_default=True, type=COUNT, help="Contacts at most.")
@click.option("--after", default=0, type=click.IntRange(0, ID.max), help="Only contacts with a higher id.")
@as_json
@with_database
def list_(limit: int, after: int, as_json: bool) -> None:
    """List contacts by id."""
    rows = reports.contacts(limit, after)
    emit(rows, as_json, lambda: _table(rows, "no contacts: import some with `slowpost contacts import`"))


@contacts.command()
@click.argument("text", required=False)
@lists_option("Only contacts of this list")
@click.option("--limit", default=50, show_default=True, type=COUNT, help="Contacts at most.")
@as_json
@with_database
def find(text: str | None, lists: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Find contacts by a part of their address, their name or their website's domain; or all of a list.

    A whole address finds its other spellings, too (for Gmail: dots and +tags).
    """
    if text is None and not lists:
        raise click.UsageError("either a TEXT or --list is needed")
    rows = reports.find(text or "", limit, lists)
    of = " of these lists" if lists else ""
    nobody = f"no contact{of} has {text!r} in its address, name or website" if text else f"there is no contact{of}"
    emit(rows, as_json, lambda: _table(rows, nobody))


def _table(rows: list[ContactRow], empty: str) -> None:
    columns = {"id": "ID", "email": "EMAIL", "name": "NAME", "website": "WEBSITE", "priority": "PRIORITY"}
    show_table(rows, columns | {"validated": "VALIDATED", "last_contacted_at": "LAST CONTACTED"}, empty)


@contacts.command()
@click.argument("contact", type=CONTACT)
@as_json
@with_database
def show(contact: str, as_json: bool) -> None:
    """Show all that is known of a contact, with its deliveries, what came back of them, and what keeps it from being
    mailed.

    CONTACT is its id or its address. `slowpost why` says what it waits for, `slowpost contacts story` what has
    happened.
    """
    found = reports.contact(contact)
    emit(found, as_json, lambda: _details(found))


def _details(contact: ContactDetails) -> None:
    show_fields(contact, ("id", "email", "name", "website"))
    if contact.website_details is not None and not contact.website_details.meets_requirements:
        say("its website does not meet the requirements")
    show_fields(contact, ("priority", "timezone", "validated", "address_valid", "extra"))
    if contact.lists:
        say(f"lists: {', '.join(found.name for found in contact.lists)}")
    show_fields(contact, ("last_contacted_at", "created_at", "updated_at"))
    for row in contact.suppressions:
        say(f"suppressed {row.kind}: {row.value}{f' ({row.reason})' if row.reason else ''}")
    for request in contact.requests:
        back = "" if request.taken_back_at is None else f", taken back {cell(request.taken_back_at)}"
        until = "" if request.until is None else f", until {cell(request.until)}"
        say(f"asked for no more mails: {request.choice}, {cell(request.made_at)}, by {request.way}{until}{back}")
    columns = {"id": "DELIVERY", "template": "TEMPLATE", "state": "STATE", "reason": "REASON", "detail": "DETAIL"}
    show_table(contact.deliveries, columns | {"created_at": "SINCE", "sent_at": "SENT"}, "never on the route")
    show_what_came_back(contact.inbound)


@contacts.command()
@lists_option("Look only at contacts of this list")
@click.option("--all", "again", is_flag=True, help="Ask also for domains whose answer is less than 30 days old.")
@as_json
@with_database
def check(lists: tuple[str, ...], again: bool, as_json: bool) -> None:
    """Ask DNS which contacts' domains take no mail, and list addresses of roles and throw-away addresses.

    These contacts are not written to from then on, each with its reason (`slowpost why`); DNS's answers count for 30
    days. Addresses that several people read, such as info@, are only listed. A domain about which DNS gives no answer
    is written to as before.
    """
    from pipeline.operations import check_contacts

    with progress("asking for domains") as at:
        found = check_contacts.check(again=again, lists=lists, on_progress=at)
    emit(found, as_json, lambda: _checked(found))
    if found.is_dns_away:
        raise Refused(f"DNS can't be asked: nothing new is known of {found.asked} domains, and nothing has changed")


#: Rows of a table that a person is shown.
_ROWS = 50


#: What DNS says of a domain that takes no mail, in words.
_WITHOUT_MAIL = {
    "no_such_domain": "there is no such domain",
    "no_mail_server": "it has neither a mail server nor an address",
    "null_mx": "it says itself that it takes none (null MX)",
}


def _checked(found: ContactsChecked) -> None:
    say(f"domains: {found.domains}, asked for now: {found.asked}, answered: {found.answered}")
    if found.asked > found.answered and not found.is_dns_away:
        say("domains about which DNS gave no answer are written to as before")
    domains = [vars(row) | {"why": _WITHOUT_MAIL[row.result]} for row in found.without_mail]
    columns = {"domain": "DOMAIN", "contacts": "CONTACTS", "why": "WHY"}
    _shown_first(domains, columns, "domains that take no mail, and are left out")
    left_out = [vars(row) | {"why": WORDS[row.reason]} for row in found.addresses if row.reason is not None]
    columns = {"contact_id": "CONTACT", "email": "EMAIL", "why": "WHY"}
    _shown_first(left_out, columns, "addresses that are left out")
    shared = [row for row in found.addresses if row.reason is None]
    columns = {"contact_id": "CONTACT", "email": "EMAIL"}
    _shown_first(shared, columns, "addresses that several people read, and are written to all the same")


def _shown_first(rows: Sequence[Any], columns: dict[str, str], title: str) -> None:
    if rows:
        say(f"\n{title}: {len(rows)}")
        show_table(rows[:_ROWS], columns, "")
    if len(rows) > _ROWS:
        say(f"… and {len(rows) - _ROWS} more: --json has all of them")


@dataclass(frozen=True)
class NotNoted:
    """A contact whose reply was not noted.

    Attributes:
        contact: as it was named.
        problem: why.
    """

    contact: str
    problem: str


@dataclass(frozen=True)
class Noted:
    """What replies have ended.

    Attributes:
        contact_ids: the contacts that were named.
        ended: enrolments that this has ended, also those of others at a website.
        cancelled: deliveries that were cancelled.
        refused: what was named and is nobody. (If only one is named and refused, no JSON is printed.)
    """

    contact_ids: tuple[int, ...]
    ended: tuple[int, ...]
    cancelled: tuple[int, ...]
    refused: tuple[NotNoted, ...]


@contacts.command()
@contacts_argument
@reason
@as_json
@with_database
def replied(contacts: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Stop writing to contacts that have replied: their campaigns end for them, and what waits for them is cancelled.

    CONTACT is an id or an address; - reads one from each line of stdin. Contacts with another spelling of the same
    address are the same person. Where a campaign says so, it ends for the others of the website, too. A claimed mail
    goes on.
    """
    meant: list[int] = []
    refused: list[NotNoted] = []
    with each_named(contacts) as each:
        for text in filter(None, map(str.strip, each)):
            try:
                meant.append(stops.person_of(text))
            except Exception as error:
                problem = problem_of(error)
                if problem is None or contacts == (text,):
                    raise
                say(problem, err=True)
                refused.append(NotNoted(text, problem))
    done = stops.replied(meant, who(), reason)
    noted = Noted(done.contact_ids, done.ended, done.cancelled, tuple(refused))
    words = (
        f"{len(done.contact_ids)} replied: {len(done.ended)} enrolments ended, {len(done.cancelled)} mails cancelled"
    )
    report(hand_on(done.handoffs), as_json, words, noted)
    if refused:
        raise Refused(f"{len(refused)} of {len(refused) + len(meant)} contacts were refused")


@contacts.command()
@click.argument("contact", type=CONTACT)
@reason
@as_json
@with_database
def forget(contact: str, reason: str, as_json: bool) -> None:
    """Erase a person everywhere; a hash stays in the suppression list, so that nobody writes to them again.

    CONTACT is its id or its address. Contacts with another spelling of the same address (for Gmail: dots and +tags)
    are the same person.
    """
    done = forgetting.forget(contact, who(), reason)
    say_where_the_key_is(done.new_key)
    warnings = hand_on(done.handoffs, remove_copies=True)
    report(warnings, as_json, f"contact {done.contact_id}: forgotten", done)


contacts.add_command(story)
