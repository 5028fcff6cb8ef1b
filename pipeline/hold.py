"""What a person holds up: pause, resume, cancel; accounts switched on, off, changed, or removed. Paused is not failed.

Writes: the pause, state or change, slots given back in the same transaction, and the action with its reason. Returns
handoffs: whatever frees capacity triggers the next reservation; a pause doesn't.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models import Control, Delivery, EmailTemplate, Reason, SmtpAccount, State, database
from models.control import ONLY, record_action
from models.delivery import NOT_CLAIMED, move

from . import logs, lookup, standing
from .claim import locked
from .flow import TRIGGER, Handoff
from .settings import settings
from .window import SendingWindow


@dataclass(frozen=True)
class Target:
    """What is paused or resumed: everything, an account, or a template."""

    account_id: int | None = None
    template_id: int | None = None

    def __str__(self) -> str:
        """Return it in words."""
        if self.account_id is not None:
            return f"account {self.account_id}"
        return f"template {self.template_id}" if self.template_id is not None else "everything"


def pause(target: Target, who: str, reason: str = "") -> bool:
    """Pause `target` and give its slots back; tell whether it was not paused before."""
    with database.transaction():
        changed = _set_paused(target, paused=True)
        if changed:
            standing.give_back(
                account_ids=None if target.account_id is None else [target.account_id],
                template_ids=None if target.template_id is None else [target.template_id],
            )
            record_action(who, "pause", str(target), database.now(), reason)
    return changed


def resume(target: Target, who: str, reason: str = "") -> list[Handoff]:
    """Resume `target`; return a trigger, or nothing if it was not paused."""
    with database.transaction():
        if not _set_paused(target, paused=False):
            return []
        record_action(who, "resume", str(target), database.now(), reason)
    return [TRIGGER]


def cancel(who: str, *, contact_id: int | None = None, template_id: int | None = None, reason: str = "") -> list[int]:
    """Cancel what waits for a contact or of a template; return the ids of the deliveries. What is claimed goes on."""
    which = Delivery.contact == contact_id if contact_id is not None else Delivery.template == template_id
    subject = f"contact {contact_id}" if contact_id is not None else f"template {template_id}"
    with database.transaction():
        cancelled = cancel_where(which, Reason.CANCELLED)
        record_action(who, "cancel", subject, database.now(), reason)
    logs.moved("cancel", cancelled, State.CANCELLED)
    return cancelled


def cancel_where(which: Any, reason: Reason) -> list[int]:
    """Cancel what can be cancelled; in the caller's transaction."""
    database.lock_throttle()
    return [i for origin in NOT_CLAIMED for i in move(origin, State.CANCELLED, which, reason=reason)]


def disable(account_id: int, who: str, reason: str = "") -> None:
    """Switch an account off and give its slot back. Raises NotThereError."""
    with database.transaction():
        _update_account(account_id, enabled=False, disabled_reason=reason or f"switched off by {who}")
        standing.give_back(account_ids=[account_id])
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
            standing.give_back(account_ids=[account_id])
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
        standing.give_back(account_ids=[account_id])
        _update_account(
            account_id, removed_at=now, enabled=False, password=None, name=f"{account.name} (removed {account_id})"
        )
        record_action(who, "remove", f"account {account_id}", now, reason)


def _update_account(account_id: int, **changes: Any) -> None:
    lookup.account(account_id)
    SmtpAccount.update(updated_at=database.now(), **changes).where(SmtpAccount.id == account_id).execute()


def _set_paused(target: Target, *, paused: bool) -> bool:
    model: Any
    if target.account_id is not None:
        model, row = SmtpAccount, lookup.account(target.account_id).id
    elif target.template_id is not None:
        model, row = EmailTemplate, lookup.template(target.template_id).id
    else:
        model, row = Control, ONLY
    now = database.now()
    query = model.update(paused_at=now if paused else None)
    return bool(query.where((model.id == row) & model.paused_at.is_null(paused)).execute())
