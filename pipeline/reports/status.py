"""What `status` shows: plain values, for a table or for JSON."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from peewee import fn

from models import Delivery, SmtpAccount, State, database
from models.control import control
from pipeline.accounts.health import health_of
from pipeline.capacity import snapshot, usage
from pipeline.runtime.settings import settings
from pipeline.throttle.window import SendingWindow


def status(queues: Mapping[str, int]) -> dict[str, Any]:
    """Return accounts, deliveries by state and reason, queues, and the window."""
    now = database.now()
    window = SendingWindow.from_settings(settings())
    is_open = window.contains(now)
    paused = control().paused_at is not None
    change = window.closes_at(now) if is_open else window.next_opening(now)
    word = "closes" if is_open else "opens"
    when = f", {word} {change.astimezone(window.zone):%a %Y-%m-%d %H:%M %Z}"
    if is_open and window.contains(change):
        when = ""  # it opens again at the same instant
    summary = f"window {'open' if is_open else 'closed'}{when}{'; everything is paused' if paused else ''}"
    return {
        "summary": summary,
        "paused": paused,
        "window": {"open": is_open, word: change},
        "accounts": _accounts(now, window),
        "deliveries": _deliveries(),
        "put_back_by_the_sweep": Delivery.select().where(Delivery.nudged_at.is_null(False)).count(),
        "queues": [{"queue": name, "messages": number} for name, number in queues.items()],
    }


def _accounts(now: dt.datetime, window: SendingWindow) -> list[dict[str, Any]]:
    day = window.local_date(now)
    slots = snapshot.stored_slots()
    rows = []
    for account in SmtpAccount.select().where(SmtpAccount.removed_at.is_null()).order_by(SmtpAccount.id):
        health = health_of(account)
        slot = slots.get(account.id)
        rows.append(
            {
                "id": account.id,
                "name": account.name,
                "state": _state(account, now),
                "used": usage.used_on(account.id, day),
                "limit": usage.limit_of(account, day),
                "health": None if health.rate is None else f"{health.rate:.0%} of {health.attempts}",
                "next_slot": slot.slot.send_at if slot else None,
                "note": account.disabled_reason,
            }
        )
    return rows


def _state(account: SmtpAccount, now: dt.datetime) -> str:
    if not account.enabled:
        return "off"
    if account.paused_at is not None:
        return "paused"
    return "cooling down" if account.cooling_until is not None and now < account.cooling_until else "on"


def _deliveries() -> list[dict[str, Any]]:
    query = Delivery.select(Delivery.state, Delivery.reason, fn.COUNT(Delivery.id)).group_by(
        Delivery.state, Delivery.reason
    )
    order = {state: number for number, state in enumerate(State)}
    rows = sorted(query.tuples(), key=lambda row: (order[State(row[0])], row[1] or ""))
    return [{"state": state, "reason": reason, "count": count} for state, reason, count in rows]
