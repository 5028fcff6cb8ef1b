"""`status`."""

from __future__ import annotations

import click

from pipeline.reports.running import ProcessStatus, Running
from pipeline.reports.status import HealthStatus, Status
from pipeline.runtime.settings import settings
from slowpost.cli.output import cell, emit, show_table
from slowpost.cli.saying import say
from slowpost.cli.shared import Refused, as_json, with_database


@click.command()
@click.option("--check", is_flag=True, help="Only say what is wrong, and nothing if all is well; exit code 1 if it is.")
@as_json
@with_database
def status(check: bool, as_json: bool) -> None:
    """Show what is wrong with the running of the program, who works, the window, accounts (used of limit, health, next
    slot), deliveries by state, and queues.
    """
    from pipeline.reports import running
    from pipeline.reports.status import status as report

    if not check:
        queues, away = _queue_depths()
        found = report(queues, away)
        emit(found, as_json, lambda: _show(found, away))
        return
    seen = running.running(_away())
    emit(seen, as_json, lambda: None)
    if seen.problems:
        raise Refused("; ".join(problem.words for problem in seen.problems))


def _away() -> str | None:
    """Return why RabbitMQ can't be reached, if there is one."""
    if settings().is_embedded:
        return None
    from actors import entry

    return entry.broker_away()


def _queue_depths() -> tuple[dict[str, int], str | None]:
    """Return the depths of RabbitMQ's queues, and why it can't be asked."""
    if settings().is_embedded:
        return {}, None
    from actors import entry

    return entry.queue_depths()


def _show(found: Status, away: str | None) -> None:
    for problem in found.running.problems:
        say(label=problem.words, colour="red")
    say(f"database: {found.database}")
    _show_processes(found.running)
    say(found.summary)
    columns = {"id": "ID", "name": "ACCOUNT", "state": "STATE", "used": "USED", "limit": "OF", "health": "HEALTH"}
    accounts = [
        vars(account) | {"health": _health(account.health), "bounces": account.bounces.in_words()}
        for account in found.accounts
    ]
    columns |= {"bounces": "BOUNCES", "next_slot": "NEXT SLOT", "note": "NOTE"}
    show_table(accounts, columns, "no accounts")
    templates = [vars(template) | {"bounces": template.bounces.in_words()} for template in found.templates]
    columns = {"id": "ID", "name": "TEMPLATE", "active": "ACTIVE", "paused": "PAUSED", "bounces": "BOUNCES"}
    show_table(templates, columns | {"note": "NOTE"}, "no templates")
    if found.campaigns:
        campaigns = [vars(campaign) | {"bounces": campaign.bounces.in_words()} for campaign in found.campaigns]
        columns = {"id": "ID", "name": "CAMPAIGN", "state": "STATE", "active": "ACTIVE", "bounces": "BOUNCES"}
        show_table(campaigns, columns | {"note": "NOTE"}, "no campaigns")
    show_table(found.deliveries, {"state": "DELIVERIES", "count": "COUNT", "reason": "REASON"}, "no deliveries")
    without = "queues: in the process itself" if away is None else "queues: not known while RabbitMQ is away"
    show_table(found.queues, {"queue": "QUEUE", "messages": "MESSAGES"}, without)


def _show_processes(running: Running) -> None:
    columns = {"kind": "PROCESS", "process": "ID", "since": "SINCE", "beat_at": "LAST SIGN", "says": "STATE"}
    rows = [vars(process) | {"says": _state(process)} for process in running.processes]
    show_table(rows, columns, "no process has said that it works")
    say(f"last sweep: {cell(running.sweep_ran_at)}, last batch: {cell(running.publisher_ran_at)}")


def _state(process: ProcessStatus) -> str:
    if not process.lives:
        return "silent"
    return "works" if process.waits_for is None else f"waits for {process.waits_for}"


def _health(health: HealthStatus) -> str | None:
    return None if health.rate is None else f"{health.rate:.0%} of {health.attempts}"
