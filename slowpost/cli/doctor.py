"""`doctor`: what is wrong, why it matters, and what to do."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

import click

from pipeline.reports.doctor.findings import Diagnosis, Finding, Level
from slowpost.cli.output import emit, progress
from slowpost.cli.saying import say
from slowpost.cli.shared import ID, Refused, as_json, with_database

_COLOURS = {Level.OK: "green", Level.UNKNOWN: "blue", Level.ADVICE: "cyan", Level.WARNING: "yellow", Level.ERROR: "red"}
_WIDTH = max(map(len, Level))


@click.command()
@click.argument("account_ids", metavar="[ACCOUNT_ID]...", type=ID, nargs=-1)
@click.option(
    "--dkim-selector", "selectors", multiple=True, help="The selector of a DKIM key; can be given several times."
)
@click.option("--offline", is_flag=True, help="Log in nowhere, and ask no DNS.")
@as_json
@with_database
def doctor(account_ids: tuple[int, ...], selectors: tuple[str, ...], offline: bool, as_json: bool) -> None:
    """Find problems in settings, database, accounts and their domains' DNS; say why they matter and what to do.

    Logs in to each account's server (or only to those named) and sends nothing. Exit code 1 if there is an error.
    """
    from pipeline.reports.doctor.examine import examine

    with progress("asking servers and DNS") as at:
        found = examine(account_ids, selectors=selectors, offline=offline, on_progress=at)
    emit(found, as_json, lambda: _show(found))
    if found.hurts:
        raise Refused("there are errors: see what is marked as one")


def _show(found: Diagnosis) -> None:
    for heading, findings in groupby(found.findings, key=_heading):
        say(heading)
        for finding in findings:
            _show_one(finding)
        say()
    counts = Counter(finding.level for finding in found.findings)
    say(", ".join(f"{level}: {counts[level]}" for level in reversed(Level) if counts[level]))


def _heading(finding: Finding) -> str:
    ids = ", ".join(map(str, finding.account_ids))
    if finding.domain is not None:
        return f"domain {finding.domain} (account {ids})"
    return "all accounts" if finding.account is None else f"account {ids}: {finding.account}"


def _show_one(finding: Finding) -> None:
    level = f"  {finding.level:<{_WIDTH}}"
    say(f"  {finding.check.replace('_', ' ')}: {finding.found}", label=level, colour=_COLOURS[finding.level])
    for line in (finding.why, finding.remedy and f"to do: {finding.remedy}"):
        if line:
            say(f"  {'':{_WIDTH}}  {line}")
