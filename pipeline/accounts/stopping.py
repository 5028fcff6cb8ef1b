"""The program itself pauses an account, a template or a campaign, and somebody is told.

Writes, in a transaction of its own: the pause, slots given back, the action.
"""

from __future__ import annotations

from models import database
from models.control import PROGRAM, record_action
from pipeline.accounts.alerts import Alert, alert
from pipeline.capacity import pausing
from pipeline.capacity.pausing import Target


def stop(target: Target, what: Alert, reason: str) -> bool:
    """Pause `target` and alert; tell whether it was not paused before.

    Args:
        target: an account, a template or a campaign.
        what: what somebody is told of.
        reason: why, with the figures; it is shown until a person resumes it.
    """
    with database.transaction():
        changed = pausing.pause(target, reason)
        if changed:
            record_action(PROGRAM, "pause", str(target), database.now(), reason)
    if changed:
        alert(what, reason, database.now(), **vars(target))
    return changed
