"""What a person does to a campaign: made, changed.

Writes: the campaign, its lists and senders, slots given back in the same transaction where they were planned by what
has changed, and the action with its reason.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import peewee

from models import Campaign, CampaignState, Cause, database, lookup
from models.base import insert_new
from models.control import record_action
from pipeline.campaigns import readiness
from pipeline.capacity import slots
from pipeline.flow import TRIGGER
from pipeline.operations import campaign_values, fields
from pipeline.operations.campaign_values import Parts
from pipeline.operations.done import Done, OperationRefusedError

#: What slots are planned by.
PLANNED_WITH = ("daily_limit", "starts_on", "ends_on", "hours")


@dataclass(frozen=True)
class CampaignDone(Done):
    """A campaign that something was done to.

    Attributes:
        id: the campaign.
        name: what you call it.
        state: where it stands now.
        changed: false if it was like that already.
    """

    id: int
    name: str
    state: CampaignState
    changed: bool


@dataclass(frozen=True)
class CampaignWritten(CampaignDone):
    """A campaign that was made or changed.

    Attributes:
        notes: what you may not have meant, such as a tag that no account has; in sentences.
    """

    notes: tuple[str, ...]


def add(values: Mapping[str, Any], parts: Parts, who: str, reason: str = "") -> CampaignWritten:
    """Make a campaign, a draft.

    Args:
        values: by column, checked (see `campaign_values.parsed`); `name` and `key` are needed.
        parts: its lists and senders.
        who: who does it; kept with the action.
        reason: why; kept with the action.

    Raises:
        FieldError: its values do not fit together.
        NotThereError: there is no such list or account.
        OperationRefusedError: another campaign has the name.
    """
    _demand_whole(values)
    with database.transaction():
        now = database.now()
        added = insert_new(Campaign, **values, created_at=now, updated_at=now)
        if added is None:
            raise _name_taken(values["name"])
        campaign = Campaign.get_by_id(added)
        campaign_values.write_lists(campaign, parts)
        campaign_values.write_senders(campaign, parts)
        _record(who, "add", campaign, values, now, reason)
        return _written(campaign, changed=True)


def change(
    named: str, changes: Mapping[str, Any], parts: Parts, who: str, reason: str = "", *, may_lack: bool = False
) -> CampaignWritten:
    """Change a campaign; what is planned by its old values is planned anew. One that has been started must stay one
    that could be.

    Args:
        named: the campaign, by its name or id.
        changes: by column, checked (see `campaign_values.parsed`).
        parts: its lists and senders, those that are to be others.
        who: who does it; kept with the action.
        reason: why; kept with the action.
        may_lack: what a started one needs may come later in the caller's transaction, which demands it at its end.

    Raises:
        NotThereError: there is no such campaign, list or account.
        FieldError: its values do not fit together.
        OperationRefusedError: it is done, another campaign has the name, or it could not be started like that.
    """
    try:
        with database.transaction():
            was = locked(named)
            demand_open(was)
            now = database.now()
            changed = {column: value for column, value in changes.items() if getattr(was, column) != value}
            _demand_whole(was.__data__ | changed)
            if changed:
                Campaign.update(**changed, updated_at=now).where(Campaign.id == was.id).execute()
            has_other_lists = campaign_values.write_lists(was, parts)
            has_other_senders = campaign_values.write_senders(was, parts)
            becomes = Campaign.get_by_id(was.id)
            if was.state != CampaignState.DRAFT and not may_lack:
                demand_ready(becomes)
            is_planned_anew = has_other_senders or not changed.keys().isdisjoint(PLANNED_WITH)
            if is_planned_anew:
                slots.give_back(Cause.CAMPAIGN, campaign_ids=[was.id])
            anything = bool(changed) or has_other_lists or has_other_senders
            if anything:
                _record(who, "set", was, changed, now, reason)
            return _written(becomes, changed=anything, handoffs=(TRIGGER,) if is_planned_anew else ())
    except peewee.IntegrityError:
        raise _name_taken(str(changes.get("name"))) from None


def locked(named: str) -> Campaign:
    """Return the campaign that a person means, its row locked until the transaction ends. Raises NotThereError."""
    found = lookup.campaign(named)
    query = database.for_update(Campaign.select().where(Campaign.id == found.id))
    return cast(Campaign, query.first())


def demand_open(campaign: Campaign) -> None:
    """Refuse a campaign that is done."""
    if campaign.state == CampaignState.DONE:
        raise OperationRefusedError(f"campaign {campaign.id} ({campaign.name}) is done: nothing of it changes any more")


def demand_ready(campaign: Campaign) -> None:
    """Refuse a campaign that could not be started as it stands; the message says all that is in the way."""
    if problems := readiness.problems(campaign):
        raise OperationRefusedError(f"campaign {campaign.id} ({campaign.name}) can't run: {'; '.join(problems)}")


def _record(who: str, verb: str, campaign: Campaign, row: Mapping[str, Any], now: dt.datetime, reason: str) -> None:
    if because := row.get("no_footer_because"):
        record_action(who, "allow no footer", f"campaign {campaign.id}", now, because)
    record_action(who, verb, f"campaign {campaign.id}", now, reason)


def _demand_whole(row: Mapping[str, Any]) -> None:
    if problem := next(campaign_values.problems(row), None):
        raise fields.FieldError(problem)


def _written(campaign: Campaign, *, changed: bool, handoffs: tuple[Any, ...] = ()) -> CampaignWritten:
    notes = tuple(readiness.notes(campaign))
    state = CampaignState(campaign.state)
    return CampaignWritten(campaign.id, campaign.name, state, changed, notes, handoffs=handoffs)


def _name_taken(name: str) -> OperationRefusedError:
    return OperationRefusedError(f"there is a campaign {name!r} already")
