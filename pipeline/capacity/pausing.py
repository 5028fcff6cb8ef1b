"""The act of pausing and resuming: rows and slots. Who does it and why is recorded by the caller.

Writes in the caller's transaction: account, template or campaign, then the throttle's lock and the slots, then the
control row, which is the order in which all take their locks (`database.LOCK_ORDER`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models import Campaign, CampaignState, Cause, Control, EmailTemplate, SmtpAccount, database
from models.control import ONLY
from pipeline.capacity import slots


@dataclass(frozen=True)
class Target:
    """What is paused or resumed: everything, an account, a template, or a campaign.

    Attributes:
        account_id: the account; null: not one account alone.
        template_id: the template; null: not one template alone.
        campaign_id: the campaign; null: not one campaign alone.
    """

    account_id: int | None = None
    template_id: int | None = None
    campaign_id: int | None = None

    def __str__(self) -> str:
        """Return it in words."""
        for noun in ("account", "template", "campaign"):
            if (its_id := getattr(self, f"{noun}_id")) is not None:
                return f"{noun} {its_id}"
        return "everything"


def pause(target: Target, after: str | None = None) -> bool:
    """Pause `target` and give its slots back; tell whether it was not paused before.

    Args:
        target: what to pause.
        after: why the program pauses it; None: a person does.
    """
    if target == Target():
        # The control row comes last, as in *reserve slot*: whoever has the throttle's lock may want it next.
        slots.give_back(Cause.PAUSE)
        return _set(Control, ONLY, paused=True)
    if target.campaign_id is not None:
        changed = _bring(target.campaign_id, CampaignState.RUNNING, CampaignState.PAUSED, paused_after=after)
    else:
        model, row = _row(target)
        changed = _set(model, row, paused=True, paused_after=after)
    if changed:
        slots.give_back(
            Cause.PAUSE,
            account_ids=None if target.account_id is None else [target.account_id],
            template_ids=None if target.template_id is None else [target.template_id],
            campaign_ids=None if target.campaign_id is None else [target.campaign_id],
        )
    return changed


def resume(target: Target) -> bool:
    """Resume `target`, whose bounces are counted from now on; tell whether it was paused."""
    if target == Target():
        return _set(Control, ONLY, paused=False)
    anew = {"paused_after": None, "resumed_at": database.now()}
    if target.campaign_id is not None:
        return _bring(target.campaign_id, CampaignState.PAUSED, CampaignState.RUNNING, **anew)
    model, row = _row(target)
    return _set(model, row, paused=False, **anew)


def _bring(campaign_id: int, origin: CampaignState, to: CampaignState, **said: Any) -> bool:
    """Bring a campaign from one state to another; tell whether it was there."""
    query = Campaign.update(state=to, updated_at=database.now(), **said)
    return bool(query.where((Campaign.id == campaign_id) & (Campaign.state == origin)).execute())


def _set(model: Any, row: int | None, *, paused: bool, **said: Any) -> bool:
    query = model.update(paused_at=database.now() if paused else None, **said)
    return bool(query.where((model.id == row) & model.paused_at.is_null(paused)).execute())


def _row(target: Target) -> tuple[Any, int | None]:
    if target.account_id is not None:
        return SmtpAccount, target.account_id
    return EmailTemplate, target.template_id
