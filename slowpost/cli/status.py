"""`status`, once or again and again."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from functools import partial
from typing import NoReturn

import click

from pipeline.reports.account_status import AccountStatus, HealthStatus
from pipeline.reports.mailboxes import UNSEEN
from pipeline.reports.running import ProcessStatus, Running
from pipeline.reports.status import Status
from pipeline.runtime.settings import settings
from pipeline.runtime.waiting import connected, what_is_away
from slowpost.cli.output import cell, emit, show_table
from slowpost.cli.saying import clear, say
from slowpost.cli.shared import Refused, as_json, problem_of, with_database

#: Seconds between two looks of `--watch`.
EVERY = 5


@click.command()
@click.option("--check", is_flag=True, help="Only say what is wrong, and nothing if all is well; exit code 1 if it is.")
@click.option("--watch", is_flag=True, help="Show it anew every few seconds, until Ctrl-C.")
@as_json
@with_database
def status(check: bool, watch: bool, as_json: bool) -> None:
    """Show what is wrong with the running of the program, who works, the window, accounts (used of limit, health, next
    slot), deliveries by state, and queues.
    """
    from pipeline.reports import running
    from pipeline.reports.status import status as report

    if watch:
        if check or as_json:
            raise click.UsageError("--watch goes neither with --check nor with --json")
        _watch()
    if not check:
        queues, away = _queue_depths()
        found = report(queues, away)
        emit(found, as_json, lambda: _show(found, away))
        return
    seen = running.running(_away())
    emit(seen, as_json, lambda: None)
    if seen.problems:
        raise Refused("; ".join(problem.words for problem in seen.problems))


def _watch() -> NoReturn:
    """Show it again and again; what is away is said, and waited for."""
    from pipeline.reports.status import status as report

    while True:
        shown: Callable[[], None]
        try:
            queues, away = _queue_depths()
            shown = partial(_show, connected(partial(report, queues, away))(), away)
        except Exception as error:
            if what_is_away(error) is None:
                raise
            shown = partial(say, label=f"{problem_of(error)}", colour="red")
        clear()
        shown()
        say(f"{dt.datetime.now().astimezone():%H:%M:%S}; again in {EVERY} seconds, Ctrl-C ends it")
        time.sleep(EVERY)


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
        vars(account)
        | {"health": _health(account.health), "bounces": account.bounces.in_words(), "mailbox": _mailbox(account)}
        for account in found.accounts
    ]
    columns |= {"bounces": "BOUNCES", "next_slot": "NEXT SLOT", "mailbox": "MAILBOX", "note": "NOTE"}
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


def _mailbox(account: AccountStatus) -> str:
    if account.mailbox is None:
        return UNSEEN
    return account.mailbox.in_words(settings().mail_window_timezone)
