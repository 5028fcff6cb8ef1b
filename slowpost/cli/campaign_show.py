"""`campaigns list|show`."""

from __future__ import annotations

from typing import Any

import click

from pipeline.operations import campaign_apply
from pipeline.reports import campaigns as reports
from pipeline.reports.campaigns import CampaignDetails, CampaignRow, StepRow
from slowpost.cli.applying import FORMAT
from slowpost.cli.output import emit, show_fields, show_table
from slowpost.cli.saying import say, say_file
from slowpost.cli.shared import CAMPAIGN, as_json, with_database


@click.command("list")
@as_json
@with_database
def list_(as_json: bool) -> None:
    """List the campaigns and how far they have come."""
    rows = reports.campaigns()
    shown = [vars(row) | {"state": _state(row)} for row in rows]
    columns = {
        "id": "ID",
        "name": "NAME",
        "state": "STATE",
        "enrolled": "ENROLLED",
        "active": "ACTIVE",
        "ended": "ENDED",
        "sent": "SENT",
        "next_due_at": "NEXT FOLLOW-UP",
    }
    emit(rows, as_json, lambda: show_table(shown, columns, "no campaigns: make one with `slowpost campaigns add`"))


def _state(row: CampaignRow) -> str:
    return f"{row.state}, nobody waits" if row.state == "running" and not row.active else row.state


@click.command()
@click.argument("named", metavar="CAMPAIGN", type=CAMPAIGN)
@click.option("--format", "form", type=FORMAT, help="The file that describes it, for `campaigns apply`.")
@as_json
@with_database
def show(named: str, form: str | None, as_json: bool) -> None:
    """Show a campaign: its lists, accounts and steps, how far it has come, and what keeps it from running."""
    if form is not None:
        if as_json:
            raise click.UsageError("either --format or --json, not both")
        say_file(campaign_apply.written(named, form))
        return
    found = reports.campaign(named)
    emit(found, as_json, lambda: _details(found))


def _details(found: CampaignDetails) -> None:
    show_fields(found, ("id", "name"))
    say(f"state: {_state(found)}")
    show_fields(found, ("paused_after", "daily_limit", "starts_on", "ends_on", "hours", "weight"))
    say(f"lists: {_names(found.lists)}")
    if found.without:
        say(f"without: {_names(found.without)}")
    of_tags = f" (tags: {', '.join(found.tags)})" if found.tags else ""
    say(f"accounts: {_names(found.senders)}{of_tags}")
    show_fields(found, ("shares_contacts", "stops_website", "when_account_is_off", "reply_prefix", "no_footer_because"))
    show_fields(found, ("created_at", "started_at", "ended_at"))
    show_fields(found, ("enrolled", "active", "ended", "sent", "next_due_at"))
    say(f"bounces: {found.bounces.in_words() or 'none'}")
    rows = [vars(step) | {"after": _after(step), "templates": _variants(step)} for step in found.steps]
    columns = {"step": "STEP", "after": "AFTER", "templates": "TEMPLATES", "quotes": "QUOTES", "active": "NEXT FOR"}
    show_table(rows, columns | {"sent": "SENT"}, "no steps: add one with `slowpost campaigns add-step`")
    for problem in found.problems:
        say(f"can't run: {problem}")


def _names(rows: tuple[Any, ...]) -> str:
    return ", ".join(f"{row.name} ({row.id})" for row in rows) or "none"


def _after(step: StepRow) -> str | None:
    if step.step == 1:
        return None
    return f"{step.days} {'working days' if step.working_days else 'days'}"


def _variants(step: StepRow) -> str:
    weighted = len(step.variants) > 1
    return ", ".join(f"{v.template_id} {v.name}" + (f" (={v.weight})" if weighted else "") for v in step.variants)


SHOW_COMMANDS = (list_, show)
