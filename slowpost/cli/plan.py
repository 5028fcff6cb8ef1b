"""`plan` and `why`: what is going to happen, and why something has not happened yet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import islice
from typing import Any

import click

from models import Delivery, SmtpAccount, State, database
from models.control import control
from models.delivery import in_states, of_ids
from pipeline.capacity import snapshot
from pipeline.reports.reasons import WORDS, Because
from pipeline.reports.why import Answer
from pipeline.runtime.settings import settings
from slowpost.cli.shared import ID, as_json, emit, progress, show_table, with_database

#: Rows looked up at a time.
BATCH = 500


@click.command()
@click.option("--days", type=click.IntRange(1, 366), default=1, show_default=True, help="How far ahead, 24 hours each.")
@as_json
@with_database
def plan(days: int, as_json: bool) -> None:
    """Show who is going to be mailed when and from which account, if nothing changes. Sends nothing.

    What is still in the first stages is taken for ready; what the batch publisher has not picked is not in it.
    """
    from pipeline.reports import plan as planning

    now = database.now()
    until = now + dt.timedelta(days=days)
    with progress("planning", (until - now).total_seconds()) as at:
        rows = list(_rows(planning.upcoming(until), now, at))
    paused = _paused()

    def show() -> None:
        columns = {"send_at": "AT", "contact_id": "CONTACT", "template_id": "TEMPLATE", "account": "ACCOUNT"}
        columns |= {"priority": "PRIORITY", "state": "NOW"}
        show_table(rows, columns, f"nothing is going to be sent before {_local(until)}")
        if paused:
            click.echo(f"not in the plan, because they are paused: {paused}", err=True)

    emit({"until": until, "planned": rows, "paused": paused}, as_json, show)


def _rows(planned: Iterator[Any], now: dt.datetime, at: Any) -> Iterator[dict[str, Any]]:
    names = dict(SmtpAccount.select(SmtpAccount.id, SmtpAccount.name).tuples())
    while some := list(islice(planned, BATCH)):
        at((some[-1].send_at - now).total_seconds())
        found = {d.id: d for d in Delivery.select().where(of_ids(p.delivery.id for p in some))}
        for entry in some:
            delivery = found.get(entry.delivery.id)
            if delivery is None:
                continue
            yield {
                "send_at": entry.send_at,
                "delivery_id": delivery.id,
                "contact_id": delivery.contact_id,
                "template_id": delivery.template_id,
                "account_id": entry.account_id,
                "account": names[entry.account_id],
                "priority": delivery.priority,
                "state": delivery.state,
            }


def _paused() -> int:
    """Return how many deliveries wait, and are not in the plan because they are paused."""
    waiting = in_states(State.SELECTED, State.CLEARED, State.READY)
    if control().paused_at is None:
        waiting &= Delivery.template.in_(snapshot.paused_templates())
    return Delivery.select().where(waiting).count()


@click.command()
@click.argument("contact_id", type=ID)
@as_json
@with_database
def why(contact_id: int, as_json: bool) -> None:
    """Say what became of a contact, or why it has not been written to yet, and when at the earliest it will be."""
    from pipeline.reports.why import why as ask

    answer = ask(contact_id)
    history = [_history(d) for d in Delivery.select().where(Delivery.contact == contact_id).order_by(Delivery.id)]

    def show() -> None:
        click.echo(f"contact {contact_id}: {_headline(answer)}")
        for because in answer.because:
            click.echo(f"  {_in_words(because)}")
        if answer.delivery is not None and answer.delivery.detail:
            click.echo(f"  {answer.delivery.detail}")
        if answer.again and answer.again != answer.because:
            click.echo("again:")
            for because in answer.again:
                click.echo(f"  {_in_words(because)}")
        if answer.earliest is not None:
            sender = "" if answer.account_id is None else f", from account {answer.account_id}"
            word = "planned for" if answer.is_planned else "not before"
            click.echo(f"{word} {_local(answer.earliest)}{sender}")
        columns = {"id": "DELIVERY", "template_id": "TEMPLATE", "state": "STATE", "reason": "REASON"}
        if history:
            show_table(history, columns | {"created_at": "SINCE", "sent_at": "SENT"}, "")

    data = {
        "contact_id": contact_id,
        "state": answer.state,
        "delivery_id": None if answer.delivery is None else answer.delivery.id,
        "reasons": [_plain(b) for b in answer.because],
        "again": [_plain(b) for b in answer.again],
        "earliest": answer.earliest,
        "is_planned": answer.is_planned,
        "account_id": answer.account_id,
        "history": history,
    }
    emit(data, as_json, show)


def _headline(answer: Answer) -> str:
    if answer.delivery is None:
        return "not on the route"
    return f"{answer.state.replace('_', ' ')}, delivery {answer.delivery.id} of template {answer.delivery.template_id}"


def _in_words(because: Because) -> str:
    until = "" if because.until is None else _local(because.until)
    return WORDS[because.reason].format(until=until, number=because.number)


def _plain(because: Because) -> dict[str, Any]:
    return {"reason": because.reason, "until": because.until, "number": because.number}


def _history(delivery: Delivery) -> dict[str, Any]:
    shown = ("id", "template_id", "state", "reason", "detail", "created_at", "sent_at")
    return {name: getattr(delivery, name) for name in shown}


def _local(at: dt.datetime) -> str:
    return f"{at.astimezone(settings().mail_window_timezone):%a %Y-%m-%d %H:%M:%S %Z}"
