"""What a person holds up: pause, resume, cancel; accounts switched on, off, changed, or removed. Paused is not failed.

Writes: the pause, state or change, slots given back in the same transaction, and the action with its reason. Returns
handoffs: whatever frees capacity triggers the next reservation; a pause doesn't.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from models import Cause, SmtpAccount, database, lookup
from models.control import record_action
from pipeline.capacity import slots
from pipeline.delivery.claim import locked
from pipeline.runtime.settings import settings
from pipeline.throttle.window import SendingWindow


def disable(account_id: int, who: str, reason: str = "") -> None:
    """Switch an account off and give its slot back. Raises NotThereError."""
    with database.transaction():
        _update_account(account_id, enabled=False, disabled_reason=reason or f"switched off by {who}")
        slots.give_back(Cause.ACCOUNT, account_ids=[account_id])
        record_action(who, "disable", f"account {account_id}", database.now(), reason)


def enable(account_id: int, who: str, reason: str = "") -> None:
    """Switch an account on; its record starts anew. Raises NotThereError."""
    with database.transaction():
        _update_account(
            account_id,
            enabled=True,
            disabled_reason=None,
            enabled_at=database.now(),
            failures_in_row=0,
            cooling_until=None,
        )
        record_action(who, "enable", f"account {account_id}", database.now(), reason)


def change(account_id: int, who: str, changes: Mapping[str, Any], reason: str = "") -> None:
    """Change columns of an account; another limit or warm-up gives its slot back. Raises NotThereError."""
    with database.transaction():
        lookup.account(account_id)
        was = locked(account_id).__data__
        now = database.now()
        becomes = was | changes
        _update_account(account_id, **changes, warmup_on=warmup_on(becomes, was, today(now)))
        if any(becomes[column] != was[column] for column in ("daily_limit", "warmup_start", "warmup_step")):
            slots.give_back(Cause.ACCOUNT, account_ids=[account_id])
        record_action(who, "set", f"account {account_id}", now, reason)


def warmup_on(becomes: Mapping[str, Any], was: Mapping[str, Any], today: dt.date) -> dt.date | None:
    """Return the first day of a changed account's warm-up: the ramp that it was on goes on, another begins today."""
    if becomes["warmup_start"] is None:
        return None
    same = all(becomes[column] == was[column] for column in ("warmup_start", "warmup_step"))
    return was["warmup_on"] if same else today


def today(now: dt.datetime) -> dt.date:
    """Return the date in the window's zone: the one that limits and warm-ups count by."""
    return SendingWindow.from_settings(settings()).local_date(now)


def remove(account_id: int, who: str, reason: str = "") -> None:
    """Take an account out of use for good, with its password; its attempts stay. Raises NotThereError."""
    with database.transaction():
        lookup.account(account_id)
        # Account, throttle, delivery: the order in which all take their locks. The name comes last, since a row whose
        # key is changed is locked even against those that only refer to it.
        account = locked(account_id)
        now = database.now()
        slots.give_back(Cause.ACCOUNT, account_ids=[account_id])
        _update_account(
            account_id, removed_at=now, enabled=False, password=None, name=f"{account.name} (removed {account_id})"
        )
        record_action(who, "remove", f"account {account_id}", now, reason)


def _update_account(account_id: int, **changes: Any) -> None:
    lookup.account(account_id)
    SmtpAccount.update(updated_at=database.now(), **changes).where(SmtpAccount.id == account_id).execute()
