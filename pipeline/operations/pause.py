"""Pause and resume: everything, an account or a template. Paused is not failed: nothing is used up, nothing expires.

Writes: the pause, slots given back in the same transaction, and the action with its reason. A pause triggers nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models import Cause, Control, EmailTemplate, SmtpAccount, database, lookup
from models.control import ONLY, record_action
from pipeline.capacity import slots
from pipeline.flow import TRIGGER
from pipeline.operations.done import Done


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


@dataclass(frozen=True)
class PauseDone(Done):
    """A pause or its end.

    Attributes:
        target: what is paused or resumed; both of its keys null: everything.
        changed: false if it was paused, or running, already.
    """

    target: Target
    changed: bool


def pause(target: Target, who: str, reason: str = "") -> PauseDone:
    """Pause `target` and give its slots back. Raises NotThereError."""
    with database.transaction():
        changed = _pause_everything() if target == Target() else _pause_one(target)
        if changed:
            record_action(who, "pause", str(target), database.now(), reason)
    return PauseDone(target, changed)


def resume(target: Target, who: str, reason: str = "") -> PauseDone:
    """Resume `target`; hands on a trigger if it was paused. Raises NotThereError."""
    with database.transaction():
        if not _set_paused(target, paused=False):
            return PauseDone(target, changed=False)
        record_action(who, "resume", str(target), database.now(), reason)
    return PauseDone(target, changed=True, handoffs=(TRIGGER,))


def _pause_everything() -> bool:
    # The control row comes last, as in *reserve slot*: whoever has the throttle's lock may want it next.
    slots.give_back(Cause.PAUSE)
    return _set_paused(Target(), paused=True)


def _pause_one(target: Target) -> bool:
    if not _set_paused(target, paused=True):
        return False
    slots.give_back(
        Cause.PAUSE,
        account_ids=None if target.account_id is None else [target.account_id],
        template_ids=None if target.template_id is None else [target.template_id],
    )
    return True


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
