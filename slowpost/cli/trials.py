"""`templates preview|check|send-test`."""

from __future__ import annotations

import click

from pipeline.operations import trials as operations
from slowpost.cli.acting import finish, who
from slowpost.cli.attachments import show_attachments
from slowpost.cli.output import emit, show_table
from slowpost.cli.saying import say
from slowpost.cli.shared import CONTACT, ID, Refused, as_json, reason, with_database


@click.command()
@click.argument("template_id", type=ID)
@click.option("--contact", type=CONTACT, required=True, help="For whom: an id or an address.")
@as_json
@with_database
def preview(template_id: int, contact: str, as_json: bool) -> None:
    """Show what a template becomes for a contact; the sender's fields stand in brackets."""
    found = operations.preview(template_id, contact)

    def show() -> None:
        for name in ("subject", "preheader", "text", "html"):
            value = getattr(found, name)
            if value is not None:
                say(f"{name.upper()}\n{value}\n")
        show_attachments(found.attachments, found.warning)
        _show_footer(found.footer)

    emit(found, as_json, show)


@click.command()
@click.argument("template_id", type=ID)
@click.option(
    "--limit", default=1000, show_default=True, type=click.IntRange(1, 10_000), help="Eligible contacts to try."
)
@as_json
@with_database
def check(template_id: int, limit: int, as_json: bool) -> None:
    """Render a template for eligible contacts and say for whom it fails. Exit 1 if it fails for any, or if its HTML
    refers to an inline image that is not there.
    """
    checked = operations.check(template_id, limit)

    def show() -> None:
        say(f"tried with {checked.tried} eligible contacts, {len(checked.failures)} fail")
        if checked.failures:
            show_table(checked.failures, {"contact_id": "CONTACT", "problem": "PROBLEM"}, "")
        show_attachments(checked.attachments, checked.warning)
        _show_footer(checked.footer)
        for cid in checked.unused:
            say(f"cid:{cid}: the HTML does not refer to it, and the image is not sent")

    emit(checked, as_json, show)
    if checked.failures:
        raise Refused(f"template {template_id} fails for {len(checked.failures)} of {checked.tried} contacts")
    if checked.missing:
        missing = ", ".join(f"cid:{cid}" for cid in checked.missing)
        raise Refused(f"template {template_id} refers to inline images that are not there: {missing}")


@click.command("send-test")
@click.argument("template_id", type=ID)
@click.option("--to", "to", required=True, help="Your own address.")
@click.option("--account", "account_id", type=ID, required=True)
@click.option("--contact", type=CONTACT, required=True, help="For whom it is rendered: an id or an address.")
@reason
@as_json
@with_database
def send_test(template_id: int, to: str, account_id: int, contact: str, reason: str, as_json: bool) -> None:
    """Send to yourself, now, what a template becomes for a contact. It uses up no limit and changes no contact."""
    done = operations.send_test(template_id, who(), to=to, account_id=account_id, contact=contact, reason=reason)
    finish(done, as_json, f"accepted by {done.host}: {done.reply}")


def _show_footer(problems: tuple[str, ...]) -> None:
    for problem in problems:
        say(f"footer: {problem}")
