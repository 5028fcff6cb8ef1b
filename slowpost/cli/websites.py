"""`websites import`."""

from __future__ import annotations

import click

from pipeline.operations import imports
from slowpost.cli.importing import import_options, run_import
from slowpost.cli.shared import with_database


@click.group()
def websites() -> None:
    """The sites that contacts belong to."""


@websites.command("import")
@import_options
@with_database
def import_(file: str, as_json: bool, strict: bool) -> None:
    """Import websites from a CSV file (- for stdin), as often as you like.

    Columns: domain (required), title, meets_requirements (yes or no, default yes). Every other column reaches the
    template as website.<column>. A domain that is there is updated.
    """
    run_import(file, imports.websites, as_json, strict=strict)
