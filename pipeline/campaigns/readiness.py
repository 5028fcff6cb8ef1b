"""What keeps a campaign from starting, in words. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from peewee import Select

from models import AccountTag, Campaign, CampaignSender, EmailTemplate, SmtpAccount, Step, Variant, database
from models.campaign import senders
from pipeline.campaigns import audience
from pipeline.capacity import usage
from pipeline.content import footer
from pipeline.content.template import Footer
from pipeline.runtime.setting_types import intervals_of
from pipeline.runtime.settings import settings
from pipeline.throttle import hours


def problems(campaign: Campaign) -> list[str]:
    """Return what keeps a campaign from starting, or from going on; nothing if it may."""
    found = list(_problems(campaign))
    if campaign.no_footer_because is None and (missing := list(_without_footer(campaign))):
        *others, last = missing
        found += [*others, f"{last} (if that has a reason: --no-footer-because REASON when it is started)"]
    return found


def _problems(campaign: Campaign) -> Iterator[str]:
    if audience.is_empty(campaign):
        yield "it has neither a list nor anybody enrolled"
    if not SmtpAccount.select().where(sends(campaign)).exists():
        yield "no account sends it"
    if campaign.ends_on is not None and campaign.ends_on < usage.date_of(database.now()):
        yield f"its last date, {campaign.ends_on}, is over"
    yield from outside_hours(campaign.hours)
    yield from _problems_of_steps(campaign)


def outside_hours(written: str) -> Iterator[str]:
    """Yield which of a campaign's own hours are not inside the window's."""
    window = settings().window_intervals
    for interval in hours.outside(intervals_of(written), window) if written else ():
        yield f"hours: {hours.written([interval])} is not inside the window's, {hours.written(window)}"


def notes(campaign: Campaign) -> Iterator[str]:
    """Yield what a person may not have meant: tags that no account has, accounts that are all switched off."""
    tags = CampaignSender.select(CampaignSender.tag).where(
        (CampaignSender.campaign == campaign.id) & CampaignSender.tag.is_null(False)
    )
    used = AccountTag.select(AccountTag.tag).join(SmtpAccount).where(SmtpAccount.removed_at.is_null())
    for (tag,) in tags.where(CampaignSender.tag.not_in(used)).order_by(CampaignSender.tag).tuples():
        yield f"no account has the tag {tag}"
    its_accounts = SmtpAccount.select().where(sends(campaign))
    if its_accounts.exists() and not its_accounts.where(SmtpAccount.enabled).exists():
        yield "all of its accounts are switched off"


def sends(campaign: Campaign) -> Any:
    """Return the condition that an account, which has not been removed, sends a campaign."""
    pair = senders().alias("pair")
    its = Select([pair], [pair.c.account]).where(pair.c.campaign == campaign.id)
    return SmtpAccount.removed_at.is_null() & SmtpAccount.id.in_(its)


def _without_footer(campaign: Campaign) -> Iterator[str]:
    """Yield which mails of a campaign do not say how to get no more of them, or who sends them from where."""
    said = Footer.from_settings(settings())
    for where, _, template in _templates(campaign):
        yield from (f"{where}: {problem}" for problem in footer.missing(template, said))


def _problems_of_steps(campaign: Campaign) -> Iterator[str]:
    written, said = list(_templates(campaign)), Footer.from_settings(settings())
    if not written:
        yield "it has no step"
    for where, position, template in written:
        if position == 1 and template.is_follow_up:
            yield f"{where}: it has no subject, it is for mails that follow another"
        yield from (f"{where}: {problem}" for problem in footer.undefined(template, said))


def _templates(campaign: Campaign) -> Iterator[tuple[str, int, EmailTemplate]]:
    """Yield each template of a campaign: in words where it stands, its step's position, itself."""
    query = (
        Variant.select(Variant, Step, EmailTemplate)
        .join(Step)
        .switch(Variant)
        .join(EmailTemplate)
        .where(Step.campaign == campaign.id)
        .order_by(Step.position, EmailTemplate.id)
    )
    for variant in query:
        yield f"step {variant.step.position}, template {variant.template_id}", variant.step.position, variant.template
