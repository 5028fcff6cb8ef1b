"""A campaign made, or changed, to what its file describes: all of it in one transaction, or nothing.

Writes: templates, the campaign, its lists and senders, its steps, and each action with its reason, by the operations
that people call for one of them. It can be looked at first: then the same is done and rolled back.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from peewee import fn

from models import Campaign, CampaignState, Delivery, EmailTemplate, State, Step, Variant, database, lookup
from pipeline.campaigns import readiness
from pipeline.operations import campaign_steps, campaigns, templates
from pipeline.operations.campaign_file import Wanted, WantedStep
from pipeline.operations.campaign_written import Change, changes, fields_of, table_of
from pipeline.operations.done import Done, OperationRefusedError
from pipeline.operations.file_values import Mistake
from pipeline.operations.file_writing import WRITERS


@dataclass(frozen=True)
class CampaignApplied(Done):
    """A campaign as its file describes it.

    Attributes:
        id: the campaign; null: it is not made.
        name: what you call it.
        state: where it stands; null: it is not made.
        changed: whether anything was stored.
        changes: what was changed, or would be.
        notes: what you may not have meant, such as a tag that no account has; in sentences.
        problems: what keeps it from running; in sentences.
        mistakes: what is wrong in the file, of which then nothing was stored; null: nothing is.
    """

    id: int | None
    name: str | None
    state: CampaignState | None
    changed: bool
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    mistakes: tuple[Mistake, ...] | None = None


def look(wanted: Wanted, who: str) -> CampaignApplied:
    """Return what `apply` would do. Raises what it would raise."""
    with database.transaction(undo=True):
        is_there = Campaign.select().where(Campaign.key == wanted.values["key"]).exists()
        done = _apply(wanted, who, "")
        there = {"id": done.id, "state": done.state} if is_there else {"id": None, "state": None}
    return CampaignApplied(
        **there, name=done.name, changed=False, changes=done.changes, notes=done.notes, problems=done.problems
    )


def apply(wanted: Wanted, who: str, reason: str = "", *, looked_at: Sequence[Change] | None = None) -> CampaignApplied:
    """Make a campaign, a draft, or change the one of that name, to what its file describes.

    Args:
        wanted: what a file without mistakes describes.
        who: who does it; kept with each action.
        reason: why; kept with each action.
        looked_at: what a person has agreed to.

    Raises:
        NotThereError: a list, account or template is not there any more.
        OperationRefusedError: the campaign is done; it is started, and could not be like that; a step has mails and
            can be neither removed nor moved; or it would not change what was agreed to.
    """
    with database.transaction():
        done = _apply(wanted, who, reason)
        if looked_at is not None and tuple(looked_at) != done.changes:
            raise OperationRefusedError("what is to be changed has changed since you were asked: look at it again")
        return done


def _apply(wanted: Wanted, who: str, reason: str) -> CampaignApplied:
    # Nobody is picked while it is half changed.
    database.lock_publisher()
    there = Campaign.get_or_none(Campaign.key == wanted.values["key"])
    before = fields_of(there, wanted.templates)
    notes = _write_templates(wanted, who, reason)
    if there is None:
        done = campaigns.add(wanted.values, wanted.parts, who, reason)
    else:
        done = campaigns.change(str(there.id), wanted.values, wanted.parts, who, reason, may_lack=True)
    _write_steps(str(done.id), wanted.steps, who, reason)
    campaign = Campaign.get_by_id(done.id)
    if campaign.state != CampaignState.DRAFT:
        campaigns.demand_ready(campaign)
    found = changes(before, fields_of(campaign, wanted.templates))
    return CampaignApplied(
        campaign.id,
        campaign.name,
        done.state,
        changed=bool(found),
        changes=found,
        notes=(*done.notes, *notes),
        problems=tuple(readiness.problems(campaign)),
        handoffs=done.handoffs,
    )


def _write_templates(wanted: Wanted, who: str, reason: str) -> list[str]:
    """Write templates; return what is to be said of those that are changed: who else has them, which mails keep their
    words.
    """
    written = wanted.templates
    there = EmailTemplate.select(EmailTemplate.name).where(EmailTemplate.name.in_(list(written)))
    # Those that are there are locked, in the order of their ids.
    names = [name for (name,) in there.order_by(EmailTemplate.id).tuples()]
    notes = []
    for name in [*names, *sorted(written.keys() - set(names))]:
        # A new one is for its campaign, and for nobody beside it, even when the campaign has it no longer.
        active = None if name in names else False
        done = templates.add(name, who, written[name], active=active, replace=True, reason=reason)
        if not done.changed:
            continue
        of_others = (Variant.template == done.id) & (Campaign.key != wanted.values["key"])
        others = Campaign.select(Campaign.name).join(Step).join(Variant).where(of_others).distinct()
        notes += [
            f"template {done.id} ({name}) is also in the campaign {other!r}"
            for (other,) in others.order_by(Campaign.name).tuples()
        ]
        if done.keep_their_words:
            notes.append(
                f"template {done.id} ({name}): {done.keep_their_words} mails that are rendered keep their words: "
                f"`slowpost templates rerender {done.id}`"
            )
    return notes


def _demand_in_place(campaign_id: int, wanted: Sequence[WantedStep]) -> None:
    """Refuse steps that move although mails have been made for them, or for one behind them: contacts who wait for a
    step would get one of them twice, or never.
    """
    its = (Delivery.campaign == campaign_id) & (Delivery.state != State.SKIPPED)
    made = Delivery.select(fn.MAX(Delivery.position)).where(its).scalar() or 0
    there: dict[int, set[str]] = {}
    variants = Variant.select(Step.position, EmailTemplate.name).join(Step).switch(Variant).join(EmailTemplate)
    for position, name in variants.where(Step.campaign == campaign_id).tuples():
        there.setdefault(position, set()).add(name)
    for position, step in enumerate(wanted, 1):
        names = {name for name, _ in step.variants}
        if names & there.get(position, set()):
            continue
        for other in sorted(there):
            if names & there[other] and min(position, other) <= made:
                raise OperationRefusedError(
                    f"step {position} would be what step {other} is, and mails have been made for step {made}: until "
                    "there each step stays where it is (if only its template is to be another's: `campaigns set-step`)"
                )


def _write_steps(named: str, wanted: Sequence[WantedStep], who: str, reason: str) -> None:
    _demand_in_place(int(named), wanted)
    there = Step.select().where(Step.campaign == int(named)).count()
    ids = _ids_of({name for step in wanted for name, _ in step.variants})
    for position, step in enumerate(wanted, 1):
        weighted = [(ids[name], weight) for name, weight in step.variants]
        values = dict(step.values)
        if position <= there:
            campaign_steps.change(named, position, weighted, who, reason=reason, may_lack=True, **values)
            continue
        values["days"] = values["days"] or None
        campaign_steps.add(named, weighted, who, reason=reason, may_lack=True, **values)
    for position in range(there, len(wanted), -1):
        campaign_steps.remove(named, position, who, reason, may_lack=True)


def _ids_of(names: Set[str]) -> dict[str, int]:
    found = dict(
        EmailTemplate.select(EmailTemplate.name, EmailTemplate.id).where(EmailTemplate.name.in_(list(names))).tuples()
    )
    if gone := names - found.keys():
        raise lookup.NotThereError(f"there is no template {min(gone)!r} any more")
    return found


def written(named: str, form: str) -> str:
    """Return a file (one of FORMATS) that describes a campaign as it is. Raises NotThereError."""
    return WRITERS[form](table_of(lookup.campaign(named)))
