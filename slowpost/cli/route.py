"""`send`, `publish`, `status`, `pause`, `resume`, `cancel`."""

from __future__ import annotations

import click

from models import Contact, EmailTemplate, lookup
from pipeline.flow import TRIGGER
from pipeline.operations import cancel as cancelling
from pipeline.operations import pause as pausing
from pipeline.operations.pause import Target
from pipeline.reports.status import HealthStatus
from pipeline.runtime.settings import settings
from slowpost.cli.output import emit, show_table
from slowpost.cli.shared import ID, PRIORITY, Refused, as_json, hand_over, reason, who, with_database


@click.command()
@click.argument("contact_id", type=ID)
@click.option("--template", "template_id", type=ID, help="What to write (default: the active one with the lowest id).")
@click.option("--priority", type=PRIORITY, help="0 to 9, higher first (default: the contact's own).")
@as_json
@with_database
def send(contact_id: int, template_id: int | None, priority: int | None, as_json: bool) -> None:
    """Put one contact onto the route."""
    lookup.contact(contact_id)
    if template_id is not None:
        lookup.template(template_id)
    elif not EmailTemplate.select().where(EmailTemplate.active).exists():
        raise Refused("there is no active template")
    from actors import entry

    source = entry.enter([contact_id], template_id=template_id, priority=priority)[0]
    emit(
        {"contact_id": contact_id, "source": source},
        as_json,
        lambda: click.echo(f"contact {contact_id} is on the route"),
    )


@click.command()
@click.option("--limit", type=click.IntRange(0), help="Contacts at most (default: today's capacity).")
@click.option("--min-priority", type=PRIORITY, help="Only contacts of at least this priority.")
@click.option("--template", "template_id", type=ID, help="What to write (default: the active one with the lowest id).")
@click.option("--dry-run", is_flag=True, help="Only say who would be picked.")
@as_json
@with_database
def publish(limit: int | None, min_priority: int | None, template_id: int | None, dry_run: bool, as_json: bool) -> None:
    """The batch publisher: put as many eligible contacts onto the route as there is capacity for today."""
    from schedules import publish_batch

    if template_id is not None:
        lookup.template(template_id)
    batch = publish_batch.publish(limit=limit, min_priority=min_priority, template_id=template_id, dry_run=dry_run)
    done = "would be put" if dry_run else "put"

    def show() -> None:
        click.echo(batch.reason or f"{len(batch.contact_ids)} contacts {done} onto the route")
        if dry_run and batch.contact_ids:
            click.echo(" ".join(map(str, batch.contact_ids)))

    emit(
        {
            "contact_ids": list(batch.contact_ids),
            "template_id": batch.template_id,
            "capacity": batch.capacity,
            "on_its_way": batch.on_its_way,
            "reason": batch.reason,
            "dry_run": dry_run,
        },
        as_json,
        show,
    )


@click.command()
@as_json
@with_database
def status(as_json: bool) -> None:
    """Show accounts (used of limit, health, next slot), deliveries by state, queues, and the window."""
    from pipeline.reports.status import status as report

    queues: dict[str, int] = {}
    if not settings().is_embedded:
        from actors import entry

        queues = entry.queue_counts()
    found = report(queues)

    def show() -> None:
        click.echo(found.summary)
        columns = {"id": "ID", "name": "ACCOUNT", "state": "STATE", "used": "USED", "limit": "OF", "health": "HEALTH"}
        accounts = [vars(account) | {"health": _health(account.health)} for account in found.accounts]
        show_table(accounts, columns | {"next_slot": "NEXT SLOT", "note": "NOTE"}, "no accounts")
        show_table(found.deliveries, {"state": "DELIVERIES", "count": "COUNT", "reason": "REASON"}, "no deliveries")
        show_table(found.queues, {"queue": "QUEUE", "messages": "MESSAGES"}, "queues: in the process itself")

    emit(found, as_json, show)


def _health(health: HealthStatus) -> str | None:
    return None if health.rate is None else f"{health.rate:.0%} of {health.attempts}"


def _target(account_id: int | None, template_id: int | None) -> Target:
    if account_id is not None and template_id is not None:
        raise click.UsageError("either --account or --template, not both")
    return Target(account_id, template_id)


@click.command()
@click.option("--account", "account_id", type=ID)
@click.option("--template", "template_id", type=ID)
@reason
@with_database
def pause(account_id: int | None, template_id: int | None, reason: str) -> None:
    """Hold up everything, an account or a template. Paused is not failed: nothing is used up, nothing expires."""
    target = _target(account_id, template_id)
    changed = pausing.pause(target, who(), reason)
    click.echo(f"{target}: {'paused' if changed else 'was paused already'}")


@click.command()
@click.option("--account", "account_id", type=ID)
@click.option("--template", "template_id", type=ID)
@reason
@with_database
def resume(account_id: int | None, template_id: int | None, reason: str) -> None:
    """Go on with what was paused."""
    target = _target(account_id, template_id)
    handoffs = pausing.resume(target, who(), reason)
    hand_over(handoffs)
    click.echo(f"{target}: {'resumed' if handoffs else 'was not paused'}")


@click.command()
@click.argument("contact_id", type=ID, required=False)
@click.option("--template", "template_id", type=ID)
@reason
@as_json
@with_database
def cancel(contact_id: int | None, template_id: int | None, reason: str, as_json: bool) -> None:
    """Cancel what waits for a contact, or of a template. A mail whose dot is claimed goes on."""
    if (contact_id is None) == (template_id is None):
        raise click.UsageError("either a CONTACT_ID or --template is needed")
    if contact_id is not None and Contact.get_or_none(Contact.id == contact_id) is None:
        raise Refused(f"there is no contact {contact_id}")
    if template_id is not None:
        lookup.template(template_id)
    cancelled = cancelling.cancel(who(), contact_id=contact_id, template_id=template_id, reason=reason)
    hand_over([TRIGGER] if cancelled else [])
    emit({"cancelled": cancelled}, as_json, lambda: click.echo(f"{len(cancelled)} deliveries cancelled"))
