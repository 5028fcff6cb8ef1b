"""`campaigns apply`: a campaign from a file that describes it."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

import click

from pipeline.operations import campaign_apply as operations
from pipeline.operations import campaign_file
from pipeline.operations.campaign_apply import CampaignApplied
from pipeline.operations.campaign_written import Change
from pipeline.operations.fields import FieldError
from pipeline.operations.file_values import Mistake
from slowpost.cli.acting import finish, report, who
from slowpost.cli.output import cell
from slowpost.cli.saying import say
from slowpost.cli.shared import Refused, as_json, read_text, reason, with_database

FORMAT = click.Choice(list(campaign_file.FORMATS))
_ENDINGS = {".yaml": "yaml", ".yml": "yaml", ".toml": "toml"}


@click.command()
@click.argument("file")
@click.option("--format", "form", type=FORMAT, help="What FILE is (default: what its name ends in).")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option("--yes", is_flag=True, help="Change it without asking.")
@reason
@as_json
@with_database
def apply(file: str, form: str | None, dry_run: bool, yes: bool, reason: str, as_json: bool) -> None:
    """Make a campaign, or change it, to what FILE describes (YAML or TOML; - for stdin).

    What would change is shown, and you are asked. Again: changes nothing. What FILE does not say of the campaign is as
    in a new one; it stays a draft, or goes on, as it does.
    """
    if yes and dry_run:
        raise click.UsageError("either --dry-run or --yes, not both")
    if as_json and not (yes or dry_run):
        raise click.UsageError("with --json nobody is asked: give --yes or --dry-run")
    form = form or _ENDINGS.get(Path(file).suffix.lower())
    if form is None:
        raise click.UsageError(f"{file}: neither .yaml nor .toml: give its --format")
    wanted = campaign_file.read(read_text(file), form, lambda path: _read_beside(file, path))
    if wanted.mistakes:
        _refuse(file, wanted.mistakes, as_json)
    looked = operations.look(wanted, who())
    sentences = _sentences(looked)
    if dry_run or not looked.changes:
        report([], as_json, "\n".join(sentences), looked)
        return
    if not yes:
        say("\n".join(sentences))
        _ask(file)
        sentences = []
    done = operations.apply(wanted, who(), reason, looked_at=looked.changes)
    changed = f"campaign {done.id} ({done.name}): {'changed' if looked.id else 'made'}"
    finish(done, as_json, "\n".join([*sentences, changed]))


def _read_beside(file: str, path: str) -> str:
    """Read a file that the campaign's file names, from its folder."""
    try:
        return read_text(str((Path() if file == "-" else Path(file).parent).absolute() / path))
    except Refused as error:
        raise FieldError(error.message) from None


def _refuse(file: str, mistakes: tuple[Mistake, ...], as_json: bool) -> None:
    for one in mistakes:
        say(f"{file}:{one.line}: {f'{one.field}: ' if one.field else ''}{one.problem}", err=True)
    report([], as_json, "", CampaignApplied(None, None, None, changed=False, mistakes=mistakes))
    number = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    raise Refused(f"{file}: {number}, nothing was changed")


def _ask(file: str) -> None:
    if file == "-" or sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask whether to do that: give --yes, or --dry-run to look only")
    if not click.confirm("Do that?", err=True):
        raise Refused("nothing was changed")


def _sentences(looked: CampaignApplied) -> list[str]:
    """Return what would change, and what a person should know of it."""
    said = "new" if looked.id is None else f"campaign {looked.id}, {looked.state}"
    if not looked.changes:
        said += ", is like that already"
    lines = [f"{looked.name} ({said})"]
    for change in looked.changes:
        lines += [f"  {line}" for line in _said(change, is_new=looked.id is None)]
    lines += [f"note: {note}" for note in looked.notes]
    return lines + [f"can't run: {problem}" for problem in looked.problems]


def _said(change: Change, *, is_new: bool) -> list[str]:
    """Return what becomes of a value, in a line; of a text of several, those that differ."""
    was, becomes = (change.was or "").splitlines(), (change.becomes or "").splitlines()
    if len(was) <= 1 and len(becomes) <= 1:
        return [f"{change.field}: {'' if is_new else f'{cell(change.was)} → '}{cell(change.becomes)}"]
    if not was or not becomes:
        return [f"{change.field}: {'new' if becomes else 'removed'}, {len(was or becomes)} lines"]
    differ = list(difflib.unified_diff(was, becomes, n=1, lineterm=""))[2:]
    return [f"{change.field}:", *(f"  {line}" for line in differ)]
