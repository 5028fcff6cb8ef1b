"""`sweep` and `check-health`: what the schedule runs."""

from __future__ import annotations

from collections import Counter

import click

from .shared import as_json, emit, with_database


@click.command()
@as_json
@with_database
def sweep(as_json: bool) -> None:
    """Put back on the route what the broker lost, and mark what is in doubt. Cron runs it every minute."""
    from schedules import sweep as job

    counts: Counter[str] = Counter()
    for handoff in job.run():
        counts[str(handoff.stage)] += max(1, len(handoff.ids))
    emit(
        dict(counts),
        as_json,
        lambda: click.echo(", ".join(f"{number} to {stage}" for stage, number in counts.items()) or "nothing to do"),
    )


@click.command("check-health")
@as_json
@with_database
def check_health(as_json: bool) -> None:
    """Switch off accounts whose success rate is too low. Cron runs it daily at 23:00."""
    from schedules import check_health as job

    off = [{"id": a.id, "name": a.name} for a in job.run()]
    emit(
        off,
        as_json,
        lambda: click.echo("\n".join(f"account {a['id']}: switched off" for a in off) or "all accounts are well"),
    )
