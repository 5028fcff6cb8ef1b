"""`templates add|set|activate|deactivate|remove|list|show|rerender`; the others stand in `trials` and `attachments`."""

from __future__ import annotations

import click

from pipeline.operations import templates as operations
from pipeline.operations.rerender import rerender as render_anew
from pipeline.operations.templates import TemplateDone
from pipeline.reports import templates as reports
from pipeline.reports.templates import TemplateDetails
from slowpost.cli import attachments, trials
from slowpost.cli.acting import finish, who
from slowpost.cli.output import emit, progress, show_fields, show_table
from slowpost.cli.saying import say, say_file
from slowpost.cli.shared import ID, Refused, as_json, read_text, reason, with_database

FOLLOW_UP = "Without a subject: for mails that follow another, and have its subject."
OF_MAIL_BEFORE = "(that of the mail before)"


@click.group()
def templates() -> None:
    """What is written: subject, text, and HTML and preheader if you like, all of them Jinja2."""


@templates.command()
@click.argument("name")
@click.option("--subject", help="One line of Jinja2.")
@click.option("--follow-up", is_flag=True, help=FOLLOW_UP)
@click.option("--text-file", help="The text body (- for stdin).")
@click.option("--html-file", help="The HTML body.")
@click.option("--preheader", help="One line that mail programs show after the subject.")
@click.option(
    "--active/--inactive", default=None, help="Whether it can be picked where no template is named (default: yes)."
)
@click.option(
    "--replace",
    is_flag=True,
    help="If a template has this name already, overwrite the given parts of it, and only those.",
)
@reason
@as_json
@with_database
def add(
    name: str,
    subject: str | None,
    follow_up: bool,
    text_file: str | None,
    html_file: str | None,
    preheader: str | None,
    active: bool | None,
    replace: bool,
    reason: str,
    as_json: bool,
) -> None:
    """Add a template; mistakes in its syntax are refused.

    Deliveries that are rendered already keep their words: see `templates rerender`.
    """
    if not replace:
        has_subject = subject is not None or follow_up
        for option, is_given in (("--subject", has_subject), ("--text-file", text_file is not None)):
            if not is_given:
                raise click.UsageError(f"Missing option '{option}'.")
    words = _words(subject, follow_up, text_file, html_file, preheader)
    done = operations.add(name, who(), words, active=active, replace=replace, reason=reason)
    sentence = f"template {done.id}: {done.name}"
    finish(done, as_json, f"{sentence}; {_keeps(done)}" if done.keep_their_words else sentence)


@templates.command("set")
@click.argument("template_id", type=ID)
@click.option("--subject", help="One line of Jinja2.")
@click.option("--follow-up", is_flag=True, help=FOLLOW_UP)
@click.option("--text-file", help="The text body (- for stdin).")
@click.option("--html-file", help="The HTML body.")
@click.option("--no-html", is_flag=True, help="Remove the HTML body.")
@click.option("--preheader", help="One line that mail programs show after the subject.")
@click.option("--no-preheader", is_flag=True, help="Remove the preheader.")
@click.option("--name", help="Another name.")
@reason
@as_json
@with_database
def set_(
    template_id: int,
    subject: str | None,
    follow_up: bool,
    text_file: str | None,
    html_file: str | None,
    no_html: bool,
    preheader: str | None,
    no_preheader: bool,
    name: str | None,
    reason: str,
    as_json: bool,
) -> None:
    """Change only the given parts of a template; mistakes in its syntax are refused.

    Deliveries that are rendered already keep their words: see `templates rerender`.
    """
    if no_html and html_file is not None:
        raise click.UsageError("either --html-file or --no-html, not both")
    if no_preheader and preheader is not None:
        raise click.UsageError("either --preheader or --no-preheader, not both")
    words = _words(subject, follow_up, text_file, html_file, preheader)
    words |= {part: None for part, gone in (("html", no_html), ("preheader", no_preheader)) if gone}
    if not words and name is None:
        raise click.UsageError("nothing to change is given")
    done = operations.change(template_id, who(), words, name=name, reason=reason)
    changed = f"template {template_id}: {'changed' if done.changed else 'is like that already'}"
    finish(done, as_json, f"{changed}; {_keeps(done)}")


def _words(
    subject: str | None, follow_up: bool, text_file: str | None, html_file: str | None, preheader: str | None
) -> dict[str, str | None]:
    """Return the parts of a template that are given."""
    if follow_up and subject is not None:
        raise click.UsageError("either --subject or --follow-up, not both")
    if text_file == html_file == "-":
        raise click.UsageError("only one of --text-file and --html-file can be stdin")
    text = None if text_file is None else read_text(text_file)
    html = None if html_file is None else read_text(html_file)
    words = {"subject": subject, "text": text, "html": html, "preheader": preheader}
    given: dict[str, str | None] = {part: source for part, source in words.items() if source is not None}
    return given | ({"subject": None} if follow_up else {})


def _keeps(done: TemplateDone) -> str:
    return (
        f"deliveries that are rendered already ({done.keep_their_words}) keep their words: "
        f"`slowpost templates rerender {done.id}` renders them anew"
    )


@templates.command()
@click.argument("template_id", type=ID)
@reason
@as_json
@with_database
def activate(template_id: int, reason: str, as_json: bool) -> None:
    """Let a template be picked where none is named (of several active ones, the one with the lowest id is picked)."""
    done = operations.set_active(template_id, who(), active=True, reason=reason)
    finish(done, as_json, f"template {template_id}: {'active' if done.changed else 'was active already'}")


@templates.command()
@click.argument("template_id", type=ID)
@reason
@as_json
@with_database
def deactivate(template_id: int, reason: str, as_json: bool) -> None:
    """No longer pick a template where none is named. Deliveries that wait with it go on: `pause` stops them."""
    done = operations.set_active(template_id, who(), active=False, reason=reason)
    finish(done, as_json, f"template {template_id}: {'not active' if done.changed else 'was not active'}")


@templates.command()
@click.argument("template_id", type=ID)
@reason
@as_json
@with_database
def remove(template_id: int, reason: str, as_json: bool) -> None:
    """Remove a template that no delivery was ever made with. Any other can only be deactivated."""
    finish(operations.remove(template_id, who(), reason), as_json, f"template {template_id}: removed")


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
    shown = [vars(row) | {"subject": row.subject or OF_MAIL_BEFORE} for row in rows]
    emit(rows, as_json, lambda: show_table(shown, columns, "no templates: add one with `slowpost templates add`"))


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
    say_file(source)


def _details(template: TemplateDetails) -> None:
    show_fields(template, ("id", "name"))
    say(f"state: {'active' if template.active else 'not active'}{', paused' if template.paused else ''}")
    say(f"sent: {template.times_used}")
    show_fields(template, ("created_at", "updated_at"))
    say(f"subject: {template.subject or OF_MAIL_BEFORE}")
    show_fields(template, ("preheader",))
    for name, source in (("TEXT", template.text), ("HTML", template.html)):
        if source is not None:
            say(f"\n{name}\n{source}")
    if template.attachments:
        say()
        attachments.show_attachments(template.attachments, template.warning)


@templates.command()
@click.argument("template_id", type=ID)
@reason
@as_json
@with_database
def rerender(template_id: int, reason: str, as_json: bool) -> None:
    """Render the deliveries that wait with this template anew; those whose words change are also planned anew.

    They are committed a few hundred at a time: if it is stopped, it can be run again.
    """
    with progress("rerender", 1) as show:
        done = render_anew(template_id, who(), reason, progress=lambda done, of: show(done / of))
    finish(done, as_json, f"{len(done.rerendered)} rendered anew, {len(done.errors)} keep their words")
    if done.errors:
        first = done.errors[0]
        raise Refused(
            f"{len(done.errors)} deliveries can't be rendered, the first is {first.delivery_id}: {first.problem}"
        )


for command in (trials.preview, trials.check, trials.send_test, attachments.attach, attachments.detach):
    templates.add_command(command)
