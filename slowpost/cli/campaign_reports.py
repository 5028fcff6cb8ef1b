"""`campaigns report|check`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from pipeline.reports import campaign_report as reports
from pipeline.reports.campaign_check.findings import CampaignChecked, CampaignFinding
from pipeline.reports.campaign_report import CampaignReport, Comparison, Figures, Verdict
from pipeline.reports.ends import LOOKS_AHEAD
from pipeline.reports.reasons import in_words
from pipeline.runtime.settings import settings
from slowpost.cli.output import emit, progress, show_csv, show_fields, show_table
from slowpost.cli.saying import say
from slowpost.cli.shared import CAMPAIGN, Refused, as_json, with_database

#: What enrolments wait for, in words.
_WAITING = {
    "outcome": "the outcome of what is being sent",
    "decision": "your decision: in doubt (`slowpost in-doubt list`)",
    "start": "the start of the campaign",
    "resumption": "what is paused to be resumed",
    "account": "an account that is on",
    "on_its_way": "a mail that is on its way",
    "first_mail": "room for the first mail, or the day on which it may be written to",
    "due_time": "the day of the next step",
    "room": "room for the next step, which is due",
}


@click.command()
@click.argument("named", metavar="CAMPAIGN", type=CAMPAIGN)
@click.option("--csv", "as_csv", is_flag=True, help="CSV on stdout: a line for each step and template.")
@as_json
@with_database
def report(named: str, as_csv: bool, as_json: bool) -> None:
    """Say what has come of a campaign: who waits for what and how the others ended; and the figures of each step, of
    variants side by side, with the number of mails that it takes to tell them apart.
    """
    if as_csv and as_json:
        raise click.UsageError("either --csv or --json, not both")
    with progress("expected end", LOOKS_AHEAD.total_seconds()) as at:
        found = reports.report(named, at)
    if as_csv:
        show_csv(reports.rows(found), reports.COLUMNS)
        return
    emit(found, as_json, lambda: _show(found))


def _show(found: CampaignReport) -> None:
    show_fields(found, ("id", "name", "state", "started_at"))
    if found.expected_end is not None:
        say(f"expected end: {_end(found)}")
    ended = ", ".join(f"{state} {number}" for state, number in found.ended.items())
    say(f"enrolled: {found.enrolled}; ended: {sum(found.ended.values())}{f' ({ended})' if ended else ''}")
    for word, number in found.waiting.items():
        say(f"waiting for {_WAITING[word]}: {number}")
    if found.replied_to_none:
        say(f"replied or unsubscribed before any mail of it: {found.replied_to_none}")
    columns = {"step": "STEP", "template": "TEMPLATE", "sent": "SENT", "bounced": "BOUNCED", "replied": "REPLIED"}
    columns |= {"unsubscribed": "UNSUBSCRIBED", "failed": "FAILED"}
    show_table(_lines(found), columns, "no steps: add one with `slowpost campaigns add-step`")
    for step in found.steps:
        for comparison in step.comparisons:
            say(f"step {step.step}: {_in_words(comparison)}")


def _end(found: CampaignReport) -> str:
    end = found.expected_end
    assert end is not None
    if end.date is not None:
        return str(end.date)
    return "can't be told" if end.why is None else in_words(end.why, settings().mail_window_timezone)


def _lines(found: CampaignReport) -> Iterator[dict[str, object]]:
    for step in found.steps:
        for variant in step.variants:
            yield {"step": step.step, "template": f"{variant.template_id} {variant.name}"} | _figures(variant)
        if len(step.variants) > 1:
            yield {"step": step.step, "template": "all"} | _figures(step)
    if len(found.steps) > 1:
        yield {"step": "all", "template": ""} | _figures(found)


def _figures(figures: Figures) -> dict[str, object]:
    shown: dict[str, object] = {"sent": figures.sent}
    for name in ("bounced", "replied", "unsubscribed", "failed"):
        number, rate = getattr(figures, name), getattr(figures, f"{name}_rate")
        shown[name] = f"{number} ({rate:.1%})" if rate else str(number)
    return shown


def _in_words(one: Comparison) -> str:
    first, second = one.template_ids
    if one.verdict is Verdict.NOTHING_SENT:
        return f"templates {first} and {second} can't be compared: one of them was not sent yet"
    if one.verdict is Verdict.EQUAL:
        return f"templates {first} and {second} have equal shares of replies: nothing tells them apart"
    p_value = f"p = {one.p_value:.2g}"
    if one.verdict is Verdict.DIFFERENT:
        return f"the difference can be told: template {first} has more replies than {second} ({p_value})"
    return (
        f"too few to tell templates {first} and {second} apart by their replies: {one.more} more mails of each, "
        f"{one.needed} in all ({p_value})"
    )


@click.command()
@click.argument("named", metavar="CAMPAIGN", type=CAMPAIGN)
@click.option("--no-login", is_flag=True, help="Log in nowhere.")
@click.option(
    "--limit",
    default=1000,
    show_default=True,
    type=click.IntRange(0, 100_000),
    help="Contacts whose mails are rendered, evenly among all; 0: none.",
)
@as_json
@with_database
def check(named: str, no_login: bool, limit: int, as_json: bool) -> None:
    """Say what would go wrong with a campaign before its first mail. Exit code 1 if anything would hurt.

    Looks at its templates, at each of its contacts and at its accounts; renders its mails, logs in to its accounts'
    servers, and sends nothing.
    """
    from pipeline.reports.campaign_check.examine import examine

    found = examine(named, progress, limit=limit, log_in=not no_login)
    emit(found, as_json, lambda: _show_checked(found))
    if found.hurts:
        problems = sum(finding.severity == "problem" for finding in found.findings)
        raise Refused(f"campaign {found.id} ({found.name}): {problems} of these would hurt")


def _show_checked(found: CampaignChecked) -> None:
    for finding in found.findings:
        label = f"{finding.severity:<7}"
        colour = "red" if finding.severity == "problem" else "cyan"
        say(f"  {_where(finding)}{finding.found}{_whom(finding)}", label=label, colour=colour)
        if finding.remedy:
            say(f"{'':7}  to do: {finding.remedy}")
    say(
        f"{found.audience} contacts to write to, {found.goes} of them can be; {found.rendered} mails rendered, "
        f"{found.logins} logins tried"
    )


def _where(finding: CampaignFinding) -> str:
    if finding.step is not None:
        return f"step {finding.step}, template {finding.template_id}: "
    return "" if finding.account_id is None else f"account {finding.account_id}: "


def _whom(finding: CampaignFinding) -> str:
    if not finding.contacts:
        return ""
    ids = ", ".join(map(str, finding.contact_ids))
    if finding.contacts == 1:
        return f" (contact {ids})"
    return f" ({finding.contacts} contacts: {ids}{', …' if finding.contacts > len(finding.contact_ids) else ''})"


REPORT_COMMANDS = (report, check)
