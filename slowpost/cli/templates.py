"""`templates add|list|show|preview|check|rerender|send-test`."""

from __future__ import annotations

import secrets

import click

from models import Contact, EmailTemplate, Website, database, lookup
from models.control import record_action
from pipeline.content import message
from pipeline.content.template import Footer, Parts, TemplateError, compile_template, render
from pipeline.flow import TRIGGER
from pipeline.operations import fields
from pipeline.reports import templates as reports
from pipeline.reports.templates import TemplateDetails
from pipeline.rules.eligible import eligible
from pipeline.runtime.settings import settings
from slowpost.cli.output import emit, show_fields, show_table
from slowpost.cli.shared import CONTACT, ID, Refused, as_json, hand_over, read_text, who, with_database


@click.group()
def templates() -> None:
    """What is written: subject, text, and HTML and preheader if you like, all of them Jinja2."""


@templates.command()
@click.argument("name")
@click.option("--subject", required=True, help="One line of Jinja2.")
@click.option("--text-file", required=True, help="The text body (- for stdin).")
@click.option("--html-file", help="The HTML body.")
@click.option("--preheader", help="One line that mail programs show after the subject.")
@click.option("--inactive", is_flag=True, help="Not to be picked by default.")
@as_json
@with_database
def add(
    name: str,
    subject: str,
    text_file: str,
    html_file: str | None,
    preheader: str | None,
    inactive: bool,
    as_json: bool,
) -> None:
    """Add a template, or replace the words of one with this name; mistakes in its syntax are refused.

    What is rendered already keeps its words: see `templates rerender`.
    """
    name = fields.name(name)
    if text_file == html_file == "-":
        raise click.UsageError("only one of --text-file and --html-file can be stdin")
    values = {
        "subject": fields.one_line(subject),
        "text": read_text(text_file),
        "html": read_text(html_file) if html_file else None,
        "preheader": preheader,
        "active": not inactive,
    }
    if not str(values["text"]).strip():
        raise Refused(f"{text_file}: it is empty")
    compile_template(EmailTemplate(**values))
    with database.transaction():
        now = database.now()
        insert = EmailTemplate.insert(name=name, created_at=now, updated_at=now, **values)
        changes = {getattr(EmailTemplate, k): v for k, v in values.items()} | {EmailTemplate.updated_at: now}
        query = insert.on_conflict(conflict_target=[EmailTemplate.name], update=changes).returning(EmailTemplate.id)
        template_id = next(iter(query.execute())).id
        record_action(who(), "write", f"template {template_id}", now)
    emit({"id": template_id, "name": name}, as_json, lambda: click.echo(f"template {template_id}: {name}"))


@templates.command("list")
@as_json
@with_database
def list_(as_json: bool) -> None:
    """List the templates."""
    rows = reports.templates()
    columns = {
        "id": "ID",
        "name": "NAME",
        "subject": "SUBJECT",
        "active": "ACTIVE",
        "paused": "PAUSED",
        "times_used": "SENT",
    }
    emit(rows, as_json, lambda: show_table(rows, columns, "no templates: add one with `slowpost templates add`"))


@templates.command()
@click.argument("template_id", type=ID)
@click.option("--text", "part", flag_value="text", help="Only the source of the text body, to be put into a file.")
@click.option("--html", "part", flag_value="html", help="Only the source of the HTML body.")
@as_json
@with_database
def show(template_id: int, part: str | None, as_json: bool) -> None:
    """Show a template with its source, as it was added."""
    if part is not None and as_json:
        raise click.UsageError("either --text, --html or --json, not both")
    found = reports.template(template_id)
    if part is None:
        emit(found, as_json, lambda: _details(found))
        return
    source = found.html if part == "html" else found.text
    if source is None:
        raise Refused(f"template {template_id} has no HTML body")
    click.echo(source, nl=False)


def _details(template: TemplateDetails) -> None:
    show_fields(template, ("id", "name"))
    click.echo(f"state: {'active' if template.active else 'not active'}{', paused' if template.paused else ''}")
    click.echo(f"sent: {template.times_used}")
    show_fields(template, ("created_at", "updated_at", "subject", "preheader"))
    for name, source in (("TEXT", template.text), ("HTML", template.html)):
        if source is not None:
            click.echo(f"\n{name}\n{source}")


@templates.command()
@click.argument("template_id", type=ID)
@click.option("--contact", type=CONTACT, required=True, help="For whom: an id or an address.")
@as_json
@with_database
def preview(template_id: int, contact: str, as_json: bool) -> None:
    """Show what a template becomes for a contact; the sender's fields stand in brackets."""
    parts = _with_names(_rendered(lookup.template(template_id), contact))
    data = {"subject": parts.subject, "preheader": parts.preheader, "text": parts.text, "html": parts.html}

    def show() -> None:
        for name, value in data.items():
            if value is not None:
                click.echo(f"{name.upper()}\n{value}\n")

    emit(data, as_json, show)


@templates.command()
@click.argument("template_id", type=ID)
@click.option(
    "--limit", default=1000, show_default=True, type=click.IntRange(1, 10_000), help="Eligible contacts to try."
)
@as_json
@with_database
def check(template_id: int, limit: int, as_json: bool) -> None:
    """Render a template for eligible contacts and say for whom it fails. Exit 1 if it fails for any."""
    template = lookup.template(template_id)
    ids = eligible(template, limit, 0)
    compiled = compile_template(template)
    failures = []
    for contact in Contact.select(Contact, Website).left_outer_join(Website).where(Contact.id.in_(ids)):
        try:
            render(compiled, contact, contact.website if contact.website_id else None, Footer.from_settings(settings()))
        except TemplateError as error:
            failures.append({"contact_id": contact.id, "problem": str(error)})

    def show() -> None:
        click.echo(f"tried with {len(ids)} eligible contacts, {len(failures)} fail")
        if failures:
            show_table(failures, {"contact_id": "CONTACT", "problem": "PROBLEM"}, "")

    emit({"tried": len(ids), "failures": failures}, as_json, show)
    if failures:
        raise Refused(f"template {template_id} fails for {len(failures)} of {len(ids)} contacts")


@templates.command()
@click.argument("template_id", type=ID)
@as_json
@with_database
def rerender(template_id: int, as_json: bool) -> None:
    """Render what waits with this template anew; slots that were planned for it are planned anew, too."""
    from pipeline.operations.rerender import rerender as run

    lookup.template(template_id)
    with database.transaction():
        done, errors = run(template_id)
        record_action(who(), "rerender", f"template {template_id}", database.now())
    hand_over([TRIGGER])
    data = {"rerendered": done, "errors": [{"delivery_id": i, "problem": e} for i, e in errors.items()]}
    emit(data, as_json, lambda: click.echo(f"{len(done)} rendered anew, {len(errors)} keep their words"))
    if errors:
        first = next(iter(errors.items()))
        raise Refused(f"{len(errors)} deliveries can't be rendered, the first is {first[0]}: {first[1]}")


@templates.command("send-test")
@click.argument("template_id", type=ID)
@click.option("--to", "to", required=True, help="Your own address.")
@click.option("--account", "account_id", type=ID, required=True)
@click.option("--contact", type=CONTACT, required=True, help="For whom it is rendered: an id or an address.")
@with_database
def send_test(template_id: int, to: str, account_id: int, contact: str) -> None:
    """Send what a template becomes for a contact to yourself, now. Counts for nothing, and touches no contact."""
    from pipeline.accounts.identity import endpoint_of, sender_of, unsubscribe
    from pipeline.smtp.pool import Connections
    from pipeline.smtp.reply import Verdict

    account = lookup.account(account_id)
    parts = _rendered(lookup.template(template_id), contact)
    sender = sender_of(account)
    message_id = f"<{secrets.token_hex(16)}@{sender.address.rpartition('@')[2]}>"
    words = message.Rendered(fields.email(to), "", parts.subject, parts.text, parts.html, parts.preheader, message_id)
    try:
        envelope = message.build(words, sender, database.now(), unsubscribe())
    except message.MessageRefusedError as error:
        raise Refused(str(error)) from None
    connections = Connections()
    try:
        with connections.transaction(endpoint_of(account)) as transaction:
            result = transaction.offer(envelope) or transaction.finish()
    finally:
        connections.close()
    if result.verdict is not Verdict.ACCEPTED:
        raise Refused(f"{result.phase}: {result.reply.code or ''} {result.reply.text}")
    click.echo(f"accepted by {account.host}: {result.reply.text}")


def _rendered(template: EmailTemplate, contact: str) -> Parts:
    meant = lookup.contact_of(contact)
    return render(compile_template(template), meant, meant.website, Footer.from_settings(settings()))


def _with_names(parts: Parts) -> Parts:
    sender = message.Sender(address="[sender.email]", name="[sender.name]", signature="[sender.signature]")

    def fill(text: str | None, as_html: bool = False) -> str | None:
        return None if text is None else message.fill_sender(text, sender, as_html=as_html)

    return Parts(fill(parts.subject) or "", fill(parts.text) or "", fill(parts.html, True), fill(parts.preheader))
