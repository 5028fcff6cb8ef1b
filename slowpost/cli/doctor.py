"""`doctor`: what is wrong, why it matters, and what to do; and what a mail of an account to itself tells."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING

import click

from pipeline.reports.doctor.findings import Diagnosis, Finding, Level
from slowpost.cli.acting import finish, who
from slowpost.cli.output import cell, emit, progress, show_table
from slowpost.cli.saying import say
from slowpost.cli.shared import ID, Refused, as_json, read_bytes, with_database

if TYPE_CHECKING:
    from pipeline.operations.self_mail import SelfMailRead

_COLOURS = {Level.OK: "green", Level.UNKNOWN: "blue", Level.ADVICE: "cyan", Level.WARNING: "yellow", Level.ERROR: "red"}
_WIDTH = max(map(len, Level))


@click.command()
@click.argument("account_ids", metavar="[ACCOUNT_ID]...", type=ID, nargs=-1)
@click.option(
    "--dkim-selector", "selectors", multiple=True, help="The selector of a DKIM key; can be given several times."
)
@click.option("--offline", is_flag=True, help="Log in nowhere, and ask no DNS.")
@click.option(
    "--send", "sender", metavar="ACCOUNT_ID", type=ID, help="Let this account send a mail to itself; nothing else."
)
@click.option(
    "--received", metavar="FILE", help="Read that mail as it was received (- for stdin), with all its headers."
)
@as_json
@with_database
def doctor(
    account_ids: tuple[int, ...],
    selectors: tuple[str, ...],
    offline: bool,
    sender: int | None,
    received: str | None,
    as_json: bool,
) -> None:
    """Find problems in settings, database, accounts and their domains' DNS; say why they matter and what to do.

    Logs in to each account's server (or only to those named) and sends nothing. Exit code 1 if there is an error.

    With --send an account writes to itself: one of its mails of today. What has come into its mailbox is read with
    --received: whose signature covers the headers by which people unsubscribe, and whether sender, signature and server
    belong together. The account keeps that, and `accounts show` says it.
    """
    if sender is not None or received is not None:
        if account_ids or selectors or offline or (sender is not None and received is not None):
            raise click.UsageError("--send and --received go with nothing else")
        _send(sender, as_json) if sender is not None else _read(str(received), as_json)
        return
    from pipeline.reports.doctor.examine import examine

    with progress("asking servers and DNS") as at:
        found = examine(account_ids, selectors=selectors, offline=offline, on_progress=at)
    emit(found, as_json, lambda: _show(found))
    if found.hurts:
        raise Refused("there are errors: see what is marked as one")


def _send(account_id: int, as_json: bool) -> None:
    from pipeline.operations import self_mail

    done = self_mail.send(account_id, who())
    sentence = (
        f"account {account_id}: sent to {done.to}, accepted by {done.host}: {done.reply}\n"
        f"to do: save it as it is received, with all its headers (subject: {done.subject}), and let it be read: "
        "slowpost doctor --received FILE"
    )
    finish(done, as_json, sentence)


def _read(file: str, as_json: bool) -> None:
    from pipeline.operations import self_mail

    found = self_mail.read(read_bytes(file, self_mail.MAX_READ))
    emit(found, as_json, lambda: _show_read(found))


def _show_read(found: SelfMailRead) -> None:
    kept = "" if found.kept else "\nnot kept: the account was set up otherwise then, or a later mail has been read"
    say(f"account {found.account_id}, sent {cell(found.sent_at)}")
    say(f"the headers by which people unsubscribe are {'' if found.covered else 'not '}covered: {found.evidence}{kept}")
    columns = {"domain": "SIGNED BY", "selector": "SELECTOR", "algorithm": "ALGORITHM", "ours": "OURS"}
    columns |= {"covers": "COVERS BOTH", "aligned": "ALIGNED", "problem": "PROBLEM"}
    show_table(found.signatures, columns, "it has no signature")
    say(f"From: {cell(found.from_domain)}; DKIM {'' if found.dkim_aligned else 'not '}aligned")
    if found.spf is None:
        say("SPF: the receiving server says nothing of it")
    else:
        aligned = "aligned" if found.spf_aligned else "not aligned"
        say(f"SPF: {found.spf} for {cell(found.spf_domain)}, {aligned}")
    is_kept = "as it was sent" if found.message_id_kept else f"the provider has made it {cell(found.message_id)}"
    say(f"Message-ID: {is_kept}")


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
