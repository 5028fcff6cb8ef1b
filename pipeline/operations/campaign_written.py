"""A campaign as its file would say it: as a table that can be written, and flat, to be compared. Reads only."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from models import (
    Campaign,
    CampaignList,
    CampaignSender,
    ContactList,
    EmailTemplate,
    SmtpAccount,
    Step,
    Variant,
    lookup,
)
from pipeline.operations import campaign_values
from pipeline.operations.campaign_values import VALUES
from pipeline.operations.templates import PARTS


@dataclass(frozen=True)
class Change:
    """What becomes of a value of a campaign, or of a template of its file.

    Attributes:
        field: which value, such as `limit`, `steps[2].after` or `templates[hello].text`.
        was: what it is; null: nothing.
        becomes: what it will be, or has become; null: nothing.
    """

    field: str
    was: str | None
    becomes: str | None


def table_of(campaign: Campaign) -> dict[str, Any]:
    """Return a campaign as a table of its file, which writes all of its templates."""
    defaults = campaign_values.defaults()
    values = {name: getattr(campaign, column) for name, (column, _) in VALUES.items()}
    values = {name: value for name, value in values.items() if value != defaults[VALUES[name][0]]}
    table = {"name": values.pop("name")} | {key: words for key, words in _parts(campaign).items() if words} | values
    written: set[str] = set()
    if steps := [_table_of_step(step, written) for step in _steps(campaign)]:
        table["steps"] = steps
    return table


def fields_of(campaign: Campaign | None, template_names: Collection[str]) -> dict[str, str]:
    """Return what is said of a campaign, and of these templates, by field; nothing of one that is not there."""
    found = dict(_of_campaign(campaign)) if campaign is not None else {}
    for template in (
        EmailTemplate.select().where(EmailTemplate.name.in_(list(template_names))).order_by(EmailTemplate.name)
    ):
        found |= {f"templates[{template.name}].{part}": getattr(template, part) or "" for part in PARTS}
    return {name: text for name, text in found.items() if text}


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Change, ...]:
    """Return what differs, in the order of what is there afterwards; what is gone comes last."""
    names = [*after, *(name for name in before if name not in after)]
    return tuple(
        Change(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    )


def _of_campaign(campaign: Campaign) -> Iterator[tuple[str, str]]:
    yield "name", campaign.name
    for key, words in _parts(campaign, removed=True).items():
        yield key, ", ".join(words)
    for name, (column, _) in VALUES.items():
        yield name, _said(getattr(campaign, column))
    for step in _steps(campaign):
        where = f"steps[{step.position}]"
        if step.position > 1:
            yield f"{where}.after", _said(step.days)
            yield f"{where}.quote", _said(step.quotes)
        if step.position > 1 or not step.working_days:
            yield f"{where}.calendar-days", _said(not step.working_days)
        pairs = [(v.template.name, v.weight) for v in step.variants]
        yield f"{where}.templates", ", ".join(n if len(pairs) == 1 else f"{n} (weight {w})" for n, w in pairs)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _parts(campaign: Campaign, *, removed: bool = False) -> dict[str, list[str]]:
    """Return the names of lists and accounts, and the tags, by key. `removed`: also accounts that are gone."""
    of_lists = CampaignList.campaign == campaign.id
    lists = ContactList.select(ContactList.name, CampaignList.excluded).join(CampaignList).where(of_lists)
    names = list(lists.order_by(ContactList.key).tuples())
    senders = CampaignSender.select().where(CampaignSender.campaign == campaign.id)
    accounts = SmtpAccount.select().where(SmtpAccount.id.in_([s.account_id for s in senders if s.account_id]))
    return {
        "lists": [name for name, excluded in names if not excluded],
        "without": [name for name, excluded in names if excluded],
        "accounts": [_named(a) for a in accounts.order_by(SmtpAccount.name) if removed or a.removed_at is None],
        "tags": sorted(sender.tag for sender in senders if sender.tag is not None),
    }


def _steps(campaign: Campaign) -> list[Step]:
    steps = list(Step.select().where(Step.campaign == campaign.id).order_by(Step.position))
    for step in steps:
        variants = Variant.select(Variant, EmailTemplate).join(EmailTemplate).where(Variant.step == step.id)
        step.variants = list(variants.order_by(EmailTemplate.name))
    return steps


def _table_of_step(step: Step, written: set[str]) -> dict[str, Any]:
    table: dict[str, Any] = {} if step.position == 1 else {"after": step.days}
    table |= {"calendar-days": True} if not step.working_days else {}
    table |= {"quote": True} if step.quotes else {}
    templates = [(_table_of_template(v.template, written), v.weight) for v in step.variants]
    if len(templates) == 1 and templates[0][1] == 1:
        return table | {"template": templates[0][0]}
    return table | {"variants": [{"template": template, "weight": weight} for template, weight in templates]}


def _table_of_template(template: EmailTemplate, written: set[str]) -> str | dict[str, str]:
    if template.name in written:
        return _named(template)
    written.add(template.name)
    parts = {part: getattr(template, part) for part in ("subject", "preheader", "text", "html")}
    return {"name": template.name} | {part: words for part, words in parts.items() if words not in (None, "")}


def _named(row: Any) -> str:
    """Return by what a file names a row: its name, unless that would be taken for an id."""
    return str(row.id) if lookup.is_id(row.name) else str(row.name)
