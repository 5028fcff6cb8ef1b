"""`campaigns add-step|set-step|remove-step`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from pipeline.operations import campaign_steps as operations
from pipeline.operations.campaign_steps import StepDone
from slowpost.cli.acting import finish, who
from slowpost.cli.shared import CAMPAIGN, as_json, reason, with_database

_CAMPAIGN = click.argument("named", metavar="CAMPAIGN", type=CAMPAIGN)
_STEP = click.argument("position", metavar="STEP", type=click.IntRange(1, 1000))
_DAYS = click.IntRange(1, 365)


def _templates(*, required: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        "--template",
        "templates",
        metavar="ID[=WEIGHT]",
        multiple=True,
        required=required,
        help="What is written. Several are variants: each contact gets one, as often as its weight says (default: 1).",
    )


@click.command("add-step")
@_CAMPAIGN
@_templates(required=True)
@click.option("--after", metavar="DAYS", type=_DAYS, help="Working days after the step before; not for the first.")
@click.option("--calendar-days", is_flag=True, help="Count every day, not only working days.")
@click.option("--quote", is_flag=True, help="The mails before stand below its own words.")
@reason
@as_json
@with_database
def add_step(
    named: str,
    templates: tuple[str, ...],
    after: int | None,
    calendar_days: bool,
    quote: bool,
    reason: str,
    as_json: bool,
) -> None:
    """Put a step at the end of a campaign.

    A working day is a date on which the window opens. A contact who has had all steps before does not get the new one.
    """
    variants = operations.variants(templates)
    options: dict[str, Any] = {"days": after, "working_days": not calendar_days, "quotes": quote}
    done = operations.add(named, variants, who(), **options, reason=reason)
    finish(done, as_json, _sentence(done, "added"))


@click.command("set-step")
@_CAMPAIGN
@_STEP
@_templates(required=False)
@click.option("--after", metavar="DAYS", type=_DAYS, help="Days after the step before.")
@click.option("--calendar-days/--working-days", default=None, help="Which days count.")
@click.option("--quote/--no-quote", default=None, help="Whether the mails before stand below its own words.")
@reason
@as_json
@with_database
def set_step(
    named: str,
    position: int,
    templates: tuple[str, ...],
    after: int | None,
    calendar_days: bool | None,
    quote: bool | None,
    reason: str,
    as_json: bool,
) -> None:
    """Change only what is given of a step; STEP is its number. Templates take the place of those that it has.

    Who waits for it waits as long as it says now. A mail that is on its way goes as it is.
    """
    working_days = None if calendar_days is None else not calendar_days
    options = {"days": after, "working_days": working_days, "quotes": quote}
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if not given and not templates:
        raise click.UsageError("nothing to change is given")
    variants = operations.variants(templates)
    done = operations.change(named, position, variants, who(), **given, reason=reason)
    finish(done, as_json, _sentence(done, "changed" if done.changed else "is like that already"))


@click.command("remove-step")
@_CAMPAIGN
@_STEP
@reason
@as_json
@with_database
def remove_step(named: str, position: int, reason: str, as_json: bool) -> None:
    """Remove a step that no mail has been made for, nor for any behind it; those behind it move up."""
    done = operations.remove(named, position, who(), reason)
    finish(done, as_json, _sentence(done, "removed"))


def _sentence(done: StepDone, what: str) -> str:
    return f"campaign {done.id} ({done.name}): step {done.step} {what}"


STEP_COMMANDS = (add_step, set_step, remove_step)
