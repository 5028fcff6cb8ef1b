"""`inbound import|read|list`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from pipeline.inbound.classify import Place
from pipeline.inbound.importing import import_mails
from pipeline.inbound.sources import Mail, NotMailError, mails_in, mails_of
from pipeline.reports import inbound as reports
from slowpost.cli.acting import finish
from slowpost.cli.output import emit, progress, show_table
from slowpost.cli.shared import COUNT, ID, Refused, as_json, with_database


@click.group()
def inbound() -> None:
    """What came back by mail: bounces, replies, complaints."""


@inbound.command("import")
@click.argument("path", metavar="FILE")
@click.option("--account", "account_id", type=ID, help="The account in whose mailbox they lay; kept with them.")
@click.option("--sent", is_flag=True, help="They lay in its folder Sent.")
@as_json
@with_database
def import_(path: str, account_id: int | None, sent: bool, as_json: bool) -> None:
    """Read mails and do what follows from them: from an mbox, a Maildir, a file with one mail, or - for stdin.

    As often as you like: each has its effect once. Nothing is changed in FILE.
    """
    place = Place.SENT if sent else Place.RECEIVED
    with progress("reading mails") as at:
        try:
            done = import_mails(_mails(path), place=place, mailbox=account_id, on_progress=at)
        except NotMailError as error:
            raise Refused(f"{path}: {error}") from None
        except FileNotFoundError:
            raise Refused(f"{path}: there is no such file") from None
    sentence = f"{done.read} mails: {_in_words(done.effects)}"
    for number, words in (
        (done.seen, "seen before"),
        (done.ended_doubt, "in doubt no more"),
        (done.early, "about mails that are being sent now: import them again"),
    ):
        sentence += f"; {number} {words}" if number else ""
    finish(done, as_json, sentence)


@inbound.command()
@click.option(
    "--due", is_flag=True, help="Only those that are due: after trouble a mailbox is tried less and less often."
)
@as_json
@with_database
def read(due: bool, as_json: bool) -> None:
    """Read the accounts' mailboxes now, each once; `run` and `scheduler` do it all the time. Cron does it with --due.

    Nothing is changed in a mailbox.
    """
    from schedules import read_mailboxes

    found = read_mailboxes.read(all_of_them=not due)
    columns = {"account_id": "ACCOUNT", "messages": "NEW", "fetched": "READ", "effects": "EFFECTS", "error": "ERROR"}
    rows = [vars(one) | {"effects": _in_words(one.effects)} for one in found]
    emit(found, as_json, lambda: show_table(rows, columns, "no account has a mailbox that nobody reads at this moment"))
    wrong = [str(one.account_id) for one in found if one.error is not None]
    if wrong:
        raise Refused(f"mailboxes that can't be read: account {', '.join(wrong)}")


@inbound.command("list")
@click.option("--limit", default=50, show_default=True, type=COUNT, help="Mails at most.")
@as_json
@with_database
def list_(limit: int, as_json: bool) -> None:
    """List what came back, the latest first, with what followed and why.

    GUESS: only a recipient's address says which delivery is meant, and nothing follows.
    """
    rows = reports.inbound(limit)
    columns = {"id": "ID", "read_at": "READ", "kind": "KIND", "effect": "EFFECT", "delivery_id": "DELIVERY"}
    columns |= {"contact_id": "CONTACT", "named_by": "NAMED BY", "enhanced_code": "CODE", "evidence": "EVIDENCE"}
    emit(rows, as_json, lambda: show_table(rows, columns, "nothing has come back: see `slowpost inbound import`"))


def _in_words(effects: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(effects.items())) or "nothing of ours"


def _mails(path: str) -> Iterator[Mail]:
    return mails_of(sys.stdin.buffer) if path == "-" else mails_in(Path(path))
