"""`send`, `publish`, `pause`, `resume`, `cancel`."""

from __future__ import annotations

import click

from pipeline.operations import cancel as cancelling
from pipeline.operations import pause as pausing
from pipeline.operations.pause import Target
from pipeline.operations.send import Entered, contact_to_send
from slowpost.cli.acting import finish, report, who
from slowpost.cli.shared import CONTACT, ID, PRIORITY, as_json, lists_option, reason, with_database


@click.command()
@click.argument("contact", type=CONTACT)
@click.option("--template", "template_id", type=ID, help="What to write (default: the active one with the lowest id).")
@click.option("--priority", type=PRIORITY, help="0 to 9, higher first (default: the contact's own).")
@as_json
@with_database
def send(contact: str, template_id: int | None, priority: int | None, as_json: bool) -> None:
    """Put one contact onto the route. CONTACT is its id or its address."""
    contact_id = contact_to_send(contact, template_id)
    from actors import entry

    source = entry.enter([contact_id], template_id=template_id, priority=priority)[0]
    report([], as_json, f"contact {contact_id} is on the route", Entered(contact_id, source))


@click.command()
@click.option("--limit", type=click.IntRange(0), help="Contacts at most (default: today's capacity).")
@click.option("--min-priority", type=PRIORITY, help="Only contacts of at least this priority.")
@click.option("--template", "template_id", type=ID, help="What to write (default: the active one with the lowest id).")
@lists_option("Only contacts of this list")
@click.option("--dry-run", is_flag=True, help="Only say who would be picked.")
@as_json
@with_database
def publish(
    limit: int | None,
    min_priority: int | None,
    template_id: int | None,
    lists: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """The batch publisher: put as many steps of campaigns, then contacts, onto the route as could go today."""
    from schedules import publish_batch

    batch = publish_batch.publish(
        limit=limit, min_priority=min_priority, template_id=template_id, lists=lists, dry_run=dry_run
    )
    done = "would be put" if dry_run else "put"
    steps = f"{len(batch.enrolment_ids)} steps of campaigns and " if batch.enrolment_ids else ""
    sentence = batch.reason or f"{steps}{len(batch.contact_ids)} contacts {done} onto the route"
    if dry_run and batch.contact_ids:
        sentence += "\n" + " ".join(map(str, batch.contact_ids))
    finish(batch, as_json, sentence)


def _target(account_id: int | None, template_id: int | None) -> Target:
    if account_id is not None and template_id is not None:
        raise click.UsageError("either --account or --template, not both")
    return Target(account_id, template_id)


@click.command()
@click.option("--account", "account_id", type=ID)
@click.option("--template", "template_id", type=ID)
@reason
@as_json
@with_database
def pause(account_id: int | None, template_id: int | None, reason: str, as_json: bool) -> None:
    """Pause everything, an account or a template. Paused is not failed: nothing is used up, nothing expires."""
    done = pausing.pause(_target(account_id, template_id), who(), reason)
    finish(done, as_json, f"{done.target}: {'paused' if done.changed else 'was paused already'}")


@click.command()
@click.option("--account", "account_id", type=ID)
@click.option("--template", "template_id", type=ID)
@reason
@as_json
@with_database
def resume(account_id: int | None, template_id: int | None, reason: str, as_json: bool) -> None:
    """Go on with what was paused."""
    done = pausing.resume(_target(account_id, template_id), who(), reason)
    finish(done, as_json, f"{done.target}: {'resumed' if done.changed else 'was not paused'}")


@click.command()
@click.argument("contact", type=CONTACT, required=False)
@click.option("--template", "template_id", type=ID)
@reason
@as_json
@with_database
def cancel(contact: str | None, template_id: int | None, reason: str, as_json: bool) -> None:
    """Cancel the mails that wait for a contact (its id or address), or with a template, and end the contact's
    campaigns. A claimed mail goes on.
    """
    if (contact is None) == (template_id is None):
        raise click.UsageError("either a CONTACT or --template is needed")
    done = cancelling.cancel(who(), contact=contact, template_id=template_id, reason=reason)
    ended = f", {len(done.ended)} enrolments ended" if done.ended else ""
    finish(done, as_json, f"{len(done.cancelled)} deliveries cancelled{ended}")
