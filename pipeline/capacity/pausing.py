"""The act of pausing and resuming: rows and slots. Who does it and why is recorded by the caller.

Writes in the caller's transaction. Takes the throttle's lock first, then the row that is paused: the order in which all
take their locks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models import Cause, Control, EmailTemplate, SmtpAccount, database
from models.control import ONLY
from pipeline.capacity import slots


@dataclass(frozen=True)
class Target:
    """What is paused or resumed: everything, an account, or a template.

    Attributes:
        account_id: the account; null: not one account alone.
        template_id: the template; null: not one template alone.
    """

    account_id: int | None = None
    template_id: int | None = None

    def __str__(self) -> str:
        """Return it in words."""
        if self.account_id is not None:
            return f"account {self.account_id}"
        return f"template {self.template_id}" if self.template_id is not None else "everything"


def pause(target: Target, after: str | None = None) -> bool:
    """Pause `target` and give its slots back; tell whether it was not paused before.

    Args:
        target: what to pause.
        after: why the program pauses it; None: a person does.
    """
    _lock(target)
    model, row = _row(target)
    said = {} if model is Control else {"paused_after": after}
    running = (model.id == row) & model.paused_at.is_null()
    changed = bool(model.update(paused_at=database.now(), **said).where(running).execute())
    if changed:
        slots.give_back(
            Cause.PAUSE,
            account_ids=None if target.account_id is None else [target.account_id],
            template_ids=None if target.template_id is None else [target.template_id],
        )
    return changed


def resume(target: Target) -> bool:
    """Resume `target`, whose record of bounces begins anew; tell whether it was paused."""
    _lock(target)
    model, row = _row(target)
    anew = {} if model is Control else {"paused_after": None, "resumed_at": database.now()}
    paused = (model.id == row) & model.paused_at.is_null(False)
    return bool(model.update(paused_at=None, **anew).where(paused).execute())


def _lock(target: Target) -> None:
    """Accounts come before the throttle in the order of locks, everything else after it."""
    if target.account_id is not None:
        database.for_update(SmtpAccount.select(SmtpAccount.id).where(SmtpAccount.id == target.account_id)).execute()
    database.lock_throttle()


def _row(target: Target) -> tuple[Any, int]:
    if target.account_id is not None:
        return SmtpAccount, target.account_id
    return (EmailTemplate, target.template_id) if target.template_id is not None else (Control, ONLY)
