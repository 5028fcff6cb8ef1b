"""What would go wrong with a campaign, gathered: as it stands, or as it would if it were started now.

Reads: the campaign, its templates, audience and accounts; renders its mails and logs in to its accounts' servers.
Writes and sends nothing. Trouble: rendering and each login end in bounded time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from models import Campaign, CampaignState, database, lookup
from models.control import control
from pipeline.accounts.identity import sender_of
from pipeline.campaigns import audience as enrolling
from pipeline.campaigns import readiness
from pipeline.campaigns.steps import Steps
from pipeline.capacity import usage
from pipeline.content.message import Sender
from pipeline.reports.campaign_check import audience, calendar, senders, words
from pipeline.reports.campaign_check.findings import About, CampaignChecked, CampaignFinding, Severity
from pipeline.reports.campaign_check.rendering import Trials
from pipeline.reports.ends import LOOKS_AHEAD, end_of

#: Contacts whose mails are rendered, if nobody says.
LIMIT = 1000

#: In whose name mails are rendered where no account sends.
_NOBODY = Sender("sender@slowpost.invalid")

#: Shows how far something is: what, in words, gives what is told how much is done, and of how much.
Progress = Callable[[str], AbstractContextManager[Callable[..., Any]]]


def examine(named: str, progress: Progress, *, limit: int = LIMIT, log_in: bool = True) -> CampaignChecked:
    """Return what would go wrong with a campaign.

    Args:
        named: the campaign, by its name or id.
        progress: shows how far it is.
        limit: of how many contacts the mails are rendered, evenly among all.
        log_in: whether to try its accounts' logins.

    Raises:
        NotThereError: there is no such campaign.
        TroubleOutsideError: nothing can be rendered now.
    """
    campaign, now = lookup.campaign(named), database.now()
    if campaign.state == CampaignState.DONE:
        done = CampaignFinding(Severity.PROBLEM, About.NOT_READY, "it is done: nothing of it is sent any more")
        return _checked(campaign, [done])
    steps, accounts = Steps.of([campaign.id]), senders.of(campaign)
    templates = words.written(steps)
    trials = Trials(campaign, steps, templates, sender_of(accounts[0]) if accounts else _NOBODY)
    with progress("contacts") as at:
        seen = audience.Audience(campaign, templates, trials, now).look(limit, at)
    with progress("logins") as at:
        of_senders, logins = senders.tried(accounts, at, log_in=log_in)
    with progress("expected end") as at:
        end = end_of([campaign], lambda seconds: at(seconds, LOOKS_AHEAD.total_seconds()))[campaign.id]
    a_day = senders.a_day(campaign, accounts, usage.date_of(now))
    found = [
        *_of_campaign(campaign),
        *(finding for one in templates for finding in words.findings(one)),
        *audience.findings(seen, has_audience=not enrolling.is_empty(campaign)),
        *trials.findings(),
        *of_senders,
        *(calendar.capacity(seen.goes, len(steps.step_of), a_day, end) if accounts else ()),
        *calendar.days(campaign, now, end.date),
    ]
    return _checked(
        campaign,
        found,
        audience=seen.number,
        goes=seen.goes,
        rendered=trials.rendered,
        logins=logins,
        expected_end=end.date,
    )


def _of_campaign(campaign: Campaign) -> Iterator[CampaignFinding]:
    for problem in readiness.problems(campaign):
        yield CampaignFinding(Severity.PROBLEM, About.NOT_READY, problem)
    for note in readiness.notes(campaign):
        yield CampaignFinding(Severity.NOTE, About.NOT_READY, note)
    if campaign.state == CampaignState.PAUSED:
        after = f" after {campaign.paused_after}" if campaign.paused_after else ""
        yield CampaignFinding(
            Severity.NOTE, About.PAUSED, f"it is paused{after}", f"`slowpost campaigns resume {campaign.id}`"
        )
    if control().paused_at is not None:
        yield CampaignFinding(Severity.NOTE, About.PAUSED, "everything is paused", "`slowpost resume`")


def _checked(campaign: Campaign, found: list[CampaignFinding], **figures: Any) -> CampaignChecked:
    none = {"audience": 0, "goes": 0, "rendered": 0, "logins": 0, "expected_end": None}
    hurts = any(finding.severity is Severity.PROBLEM for finding in found)
    in_order = sorted(found, key=lambda finding: finding.severity is Severity.NOTE)
    return CampaignChecked(
        id=campaign.id,
        name=campaign.name,
        state=CampaignState(campaign.state),
        hurts=hurts,
        findings=tuple(in_order),
        **none | figures,
    )
