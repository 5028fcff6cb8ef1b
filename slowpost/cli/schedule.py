"""`sweep` and `check-health`: what the schedule runs."""

from __future__ import annotations

from dataclasses import asdict

import click

from slowpost.cli.output import emit
from slowpost.cli.saying import say
from slowpost.cli.shared import as_json, with_database


@click.command()
@as_json
@with_database
def sweep(as_json: bool) -> None:
    """Put back on the route what the broker lost, mark what is in doubt, end the campaigns whose last date is over,
    keep RabbitMQ's queue `dead-letter` the same as `slowpost dead list`, and sum the figures of days that are over.
    Cron runs it every minute.
    """
    from schedules import sweep as job

    swept = job.sweep()
    counts = asdict(swept)
    copies, ended, summed = (counts.pop(name) for name in ("dead_letters", "ended", "summed"))
    words = [f"campaign {campaign_id}: over" for campaign_id in ended]
    words += [f"{number} to {stage}" for stage, number in counts.items() if number]
    words += [f"dead letters {what}: {number}" for what, number in copies.items() if number]
    words += [f"days summed: {len(summed)}"] if summed else []
    emit(swept, as_json, lambda: say(", ".join(words) or "nothing to do"))


@click.command("check-health")
@as_json
@with_database
def check_health(as_json: bool) -> None:
    """Switch off accounts whose success rate is too low. Cron runs it daily at 23:00."""
    from schedules import check_health as job

    off = job.check()
    words = [f"account {account.id}: switched off" for account in off]
    emit(off, as_json, lambda: say("\n".join(words) or "all accounts are well"))
