"""`templates attach|detach`, and how attachments are shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from pipeline.operations import attachments as operations
from pipeline.operations.attachments import MAX_MESSAGE, AttachmentsDone, Given
from slowpost.cli.acting import finish, who
from slowpost.cli.output import show_table
from slowpost.cli.saying import say
from slowpost.cli.shared import ID, as_json, read_bytes, reason, with_database


@click.command()
@click.argument("template_id", type=ID)
@click.argument("files", metavar="FILE...", nargs=-1)
@click.option("--name", help="What the file is called in the mail (default: as on this machine).")
@click.option(
    "--inline",
    "cid",
    is_flag=False,
    flag_value="",
    metavar="[CID]",
    help='An image that the HTML shows: <img src="cid:CID"> (default: cid: and the name).',
)
@click.option("--replace", is_flag=True, help="If there is an attachment of that name, put this one in its place.")
@reason
@as_json
@with_database
def attach(
    template_id: int,
    files: tuple[str, ...],
    name: str | None,
    cid: str | None,
    replace: bool,
    reason: str,
    as_json: bool,
) -> None:
    """Let files (- for stdin) go with each mail of a template, from the next one on, rendered already or not.

    A mail has at most 10 MB, and a file is a third larger there. Attachments hurt cold mail: a link does less harm.
    """
    if not files:
        said = " (what stands behind --inline is its CID: --inline=CID, or at the end)" if cid else ""
        raise click.UsageError(f"Missing argument 'FILE...'{said}.")
    if len(files) > 1 and (name is not None or cid):
        raise click.UsageError(f"{'--name' if name is not None else '--inline CID'} is for one file")
    if "-" in files and name is None:
        raise click.UsageError("stdin needs a --name")
    done = operations.attach(template_id, who(), list(_read(files, name, cid)), replace=replace, reason=reason)
    _finish(done, as_json, "attached" if done.changed else "is like that already")


@click.command()
@click.argument("template_id", type=ID)
@click.argument("name")
@reason
@as_json
@with_database
def detach(template_id: int, name: str, reason: str, as_json: bool) -> None:
    """Let a file no longer go with a template's mails, from the next mail on."""
    _finish(operations.detach(template_id, who(), name, reason), as_json, "detached")


def show_attachments(attachments: Sequence[Any], warning: str | None) -> None:
    """Print a template's attachments, and what is to be said of them; nothing where there are none."""
    if not attachments:
        return
    columns = {"name": "ATTACHMENT", "type": "TYPE", "size": "BYTES", "cid": "INLINE AS", "note": "NOTE"}
    filled = {name: heading for name, heading in columns.items() if any(getattr(one, name) for one in attachments)}
    show_table(attachments, filled, "")
    if warning is not None:
        say(warning)


def _read(files: Sequence[str], name: str | None, cid: str | None) -> Iterator[Given]:
    left = MAX_MESSAGE
    for path in files:
        data = read_bytes(path, left)
        left -= len(data)
        yield Given(Path(path).name if name is None else name, data, cid)


def _finish(done: AttachmentsDone, as_json: bool, what: str) -> None:
    finish(done, as_json, f"template {done.id}: {what}")
    if as_json:
        return
    show_attachments(done.attachments, None)
    if done.attachments:
        say(f"they add {done.on_wire:,} bytes to a mail, which has at most {MAX_MESSAGE:,}")
    for note in done.notes:
        say(note, err=True)
