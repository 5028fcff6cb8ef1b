"""What a person does to the steps of a campaign: added at the end, changed, removed.

Writes: steps and their variants, enrolments that wait for another time than before, and the action with its reason. A
step that a mail has been made for stays where it is, so that nobody gets it twice and the figures stay true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models import (
    Campaign,
    CampaignState,
    Delivery,
    Enrolment,
    EnrolmentState,
    State,
    Step,
    Variant,
    database,
    lookup,
)
from models.control import record_action
from models.enrolment import ends
from pipeline.operations import fields
from pipeline.operations.campaigns import demand_open, demand_ready, locked
from pipeline.operations.done import Done, OperationRefusedError
from pipeline.operations.send import template_to_begin_with

#: A template of a step, and its weight beside the others.
Weighted = tuple[int, int]


@dataclass(frozen=True)
class StepDone(Done):
    """A step of a campaign that something was done to.

    Attributes:
        id: the campaign.
        name: what you call it.
        step: which of its steps, from 1.
        changed: false if it was like that already.
    """

    id: int
    name: str
    step: int
    changed: bool


def variants(texts: Sequence[str]) -> list[Weighted]:
    """Return what is written as `7` or `7=2`: the template, and its weight (1 where none is given).

    Raises:
        FieldError: one is not written like that, or a template is there twice.
    """
    found: dict[int, int] = {}
    for text in texts:
        template, has_weight, weight = text.partition("=")
        try:
            template_id = fields.template_id(template)
            value = fields.weight(weight) if has_weight else 1
        except fields.FieldError as error:
            raise fields.FieldError(f"template: {error}") from None
        if template_id in found:
            raise fields.FieldError(f"template: {template_id} is there twice")
        found[template_id] = value
    return list(found.items())


def add(
    named: str,
    templates: Sequence[Weighted],
    who: str,
    *,
    days: int | None,
    working_days: bool = True,
    quotes: bool = False,
    reason: str = "",
    may_lack: bool = False,
) -> StepDone:
    """Put a step at the end of a campaign. Who has finished it already does not get the new one.

    Args:
        named: the campaign, by its name or id.
        templates: its variants; at least one.
        who: who does it; kept with the action.
        days: how long after the step before; None for the first.
        working_days: count only dates on which the window opens.
        quotes: the mails before stand below its own words.
        reason: why; kept with the action.
        may_lack: see `campaigns.change`.

    Raises:
        NotThereError: there is no such campaign or template.
        FieldError: the first step has a number of days, or one behind it has none.
        OperationRefusedError: the campaign is done, or a first step's template has no subject.
    """
    with database.transaction():
        campaign = _locked(named)
        position = _steps(campaign).count() + 1
        if position == 1 and (days is not None or quotes):
            raise fields.FieldError("the first step follows nothing: it has neither days after it nor a quote")
        if position > 1 and days is None:
            raise fields.FieldError("after: how many days after the step before?")
        values = {"days": days or 0, "working_days": working_days, "quotes": quotes}
        step = Step.create(campaign=campaign, position=position, **values)
        _write_variants(step, templates)
        return _recorded(campaign, position, who, "add step", reason, may_lack)


def change(
    named: str,
    position: int,
    templates: Sequence[Weighted],
    who: str,
    *,
    reason: str = "",
    may_lack: bool = False,
    **values: Any,
) -> StepDone:
    """Change a step. Who waits for it waits as long as it says now; what is on its way goes as it is.

    Args:
        named: the campaign, by its name or id.
        position: which step, from 1.
        templates: its variants from now on; none: those that it has.
        who: who does it; kept with the action.
        values: `days`, `working_days`, `quotes`, those that are to be others.
        reason: why; kept with the action.
        may_lack: see `campaigns.change`.

    Raises:
        NotThereError: there is no such campaign, step or template.
        FieldError: the first step has a number of days.
        OperationRefusedError: the campaign is done, a first step's template has no subject, or the campaign is started
            and could not be like that.
    """
    with database.transaction():
        campaign = _locked(named)
        step = _step(campaign, position)
        changes = {column: value for column, value in values.items() if getattr(step, column) != value}
        if position == 1 and changes.keys() & {"days", "quotes"}:
            raise fields.FieldError("the first step follows nothing: it has neither days after it nor a quote")
        has_others = bool(templates) and _write_variants(step, templates)
        if changes:
            Step.update(**changes).where(Step.id == step.id).execute()
        if changes.keys() & {"days", "working_days"}:
            _wait_anew(campaign, position)
        if not changes and not has_others:
            return StepDone(campaign.id, campaign.name, position, changed=False)
        return _recorded(campaign, position, who, "set step", reason, may_lack)


def remove(named: str, position: int, who: str, reason: str = "", *, may_lack: bool = False) -> StepDone:
    """Remove a step; those behind it move up. Who waits for it waits for the one that takes its place, or has finished.

    Raises:
        NotThereError: there is no such campaign or step.
        OperationRefusedError: the campaign is done, or a mail has been made for this step or one behind it.
    """
    with database.transaction():
        campaign = _locked(named)
        step = _step(campaign, position)
        made = (Delivery.campaign == campaign.id) & (Delivery.position >= position) & (Delivery.state != State.SKIPPED)
        if Delivery.select().where(made).exists():
            raise OperationRefusedError(
                f"campaign {campaign.id} ({campaign.name}) has made mails for step {position} or one behind it: "
                "it can't be removed any more"
            )
        Step.delete().where(Step.id == step.id).execute()
        behind = list(_steps(campaign).where(Step.position > position).order_by(Step.position))
        for one in behind:  # In their order, since no two may ever have the same position.
            Step.update(position=one.position - 1).where(Step.id == one.id).execute()
        if behind:
            Step.update(days=0, quotes=False).where((Step.campaign == campaign.id) & (Step.position == 1)).execute()
            _wait_anew(campaign, position)
        elif position > 1:
            here = (Enrolment.campaign == campaign.id) & (Enrolment.position == position)
            ends(here, EnrolmentState.FINISHED, database.now())
        return _recorded(campaign, position, who, "remove step", reason, may_lack)


def _locked(named: str) -> Campaign:
    # Nobody is picked for a step that is just being changed.
    database.lock_publisher()
    campaign = locked(named)
    demand_open(campaign)
    return campaign


def _steps(campaign: Campaign) -> Any:
    return Step.select().where(Step.campaign == campaign.id)


def _step(campaign: Campaign, position: int) -> Step:
    found: Step | None = _steps(campaign).where(Step.position == position).first()
    if found is None:
        raise lookup.NotThereError(f"campaign {campaign.id} ({campaign.name}) has no step {position}")
    return found


def _write_variants(step: Step, templates: Sequence[Weighted]) -> bool:
    """Give a step its variants; tell whether that changes anything."""
    if not templates:
        raise fields.FieldError("template: a step needs at least one")
    for template_id, _ in templates:
        if step.position == 1:
            template_to_begin_with(template_id)
        else:
            lookup.template(template_id)
    of_step = Variant.step == step.id
    was = dict(Variant.select(Variant.template, Variant.weight).where(of_step).tuples())
    if was == dict(templates):
        return False
    Variant.delete().where(of_step).execute()
    Variant.insert_many([{"step": step.id, "template": i, "weight": weight} for i, weight in templates]).execute()
    return True


def _wait_anew(campaign: Campaign, position: int) -> None:
    """Let when a step is due be worked out anew for those who wait for it."""
    of_step = (Enrolment.campaign == campaign.id) & (Enrolment.position == position)
    waits = (Enrolment.state == EnrolmentState.ACTIVE) & Enrolment.delivery_id.is_null()
    changed = of_step & waits & Enrolment.due_at.is_null(False)
    Enrolment.update(due_at=None, updated_at=database.now()).where(changed).execute()


def _recorded(campaign: Campaign, position: int, who: str, verb: str, reason: str, may_lack: bool) -> StepDone:
    if campaign.state != CampaignState.DRAFT and not may_lack:
        demand_ready(campaign)
    now = database.now()
    Campaign.update(updated_at=now).where(Campaign.id == campaign.id).execute()
    record_action(who, verb, f"campaign {campaign.id}", now, reason)
    return StepDone(campaign.id, campaign.name, position, changed=True)
